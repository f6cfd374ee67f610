#!/bin/sh
# From a bare checkout to four search methods side by side: bash scripts/quickstart.sh
#
# Installs into .venv, serves the two embedded models, solves the same arithmetic problems with greedy chain of
# thought, best-of-16, beam search and MCTS, prints one table, and stops what it started. Each variable can be given
# from the environment; PYTHON, VENV, VLLM and NEED_MB are those of setup_env.sh, ENGINE is that of the services.
# Without a GPU the transformers engine serves; VLLM=cpu installs vLLM's CPU build and serves with it.
# Exit status: 0, 1 when a part failed, 2 when something here must be mended first, 130 after Ctrl-C.
set -eu
cd "$(dirname "$0")/.."

PROBLEMS=${PROBLEMS:-50}
SAVE_DIR=${SAVE_DIR:-results/quickstart}
CONTROLLER_PORT=${CONTROLLER_PORT:-28777}
WORKER_BASE_PORT=${WORKER_BASE_PORT:-30010} # and the next one
VENV=${VENV:-.venv}

VLLM=${VLLM:-auto}
HOST_ADDR=127.0.0.1

fail() { # STATUS MESSAGE
    printf 'quickstart.sh: %s\n' "$2" >&2
    exit "$1"
}

check_port() { # VARIABLE PORT: before minutes of installing; any Python can tell, and a missing one is named later
    status=0
    "${PYTHON:-python3}" - "$HOST_ADDR" "$2" 2>/dev/null <<'EOF' || status=$?
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    s.bind((sys.argv[1], int(sys.argv[2])))
except (OSError, OverflowError, ValueError):
    sys.exit(98)
EOF
    [ "$status" -ne 98 ] || fail 2 "port $2 is taken or cannot be used: stop what listens there, or set $1 to another"
}

check_port CONTROLLER_PORT "$CONTROLLER_PORT"
check_port WORKER_BASE_PORT "$WORKER_BASE_PORT"
check_port WORKER_BASE_PORT "$((WORKER_BASE_PORT + 1))"

child=
end() { # STATUS: told to end while it installs
    trap '' INT TERM HUP
    kill "$child" 2>/dev/null && wait "$child" 2>/dev/null || true
    exit "$1"
}
trap 'end 130' INT
trap 'end 143' TERM
trap 'end 129' HUP
export VLLM VENV
sh scripts/setup_env.sh &
child=$!
wait "$child"
trap - INT TERM HUP

PATH=$(cd "$VENV/bin" && pwd):$PATH
PYTHON=$(command -v python)
export PATH PYTHON PROBLEMS SAVE_DIR
if [ "$VLLM" = cpu ] || nvidia-smi >/dev/null 2>&1; then ENGINE=${ENGINE:-auto}; else ENGINE=${ENGINE:-transformers}; fi
export LM=openr-tiny-policy RM=openr-tiny-prm TASK_NAME=arithmetic BEGAN="$(date +%s)"

echo "==> services"
exec sh reason/llm_service/create_service_tiny.sh \
    --policy_model_name "$LM" \
    --value_model_name "$RM" \
    --engine "$ENGINE" \
    --host_addr "$HOST_ADDR" \
    --controller_port "$CONTROLLER_PORT" \
    --worker_base_port "$WORKER_BASE_PORT" \
    --session "openr-quickstart-$CONTROLLER_PORT" \
    --logdir "logs_quickstart/$CONTROLLER_PORT" \
    -- sh scripts/eval/four_methods.sh
