#!/bin/sh
# From a bare checkout to four search methods side by side: bash scripts/quickstart.sh
#
# Installs into .venv, serves the two embedded models, solves the same arithmetic problems with greedy chain of
# thought, best-of-16, beam search and MCTS, prints one table, and stops what it started. Each variable can be given
# from the environment; PYTHON, VENV, VLLM and NEED_MB are those of setup_env.sh, ENGINE is that of the services.
# Exit status: 0, 1 when a part failed, 2 when something here must be mended first, 130 after Ctrl-C.
set -eu
cd "$(dirname "$0")/.."

PROBLEMS=${PROBLEMS:-50}
SAVE_DIR=${SAVE_DIR:-results/quickstart}
CONTROLLER_PORT=${CONTROLLER_PORT:-28777}
WORKER_BASE_PORT=${WORKER_BASE_PORT:-30010} # and the next one
VENV=${VENV:-.venv}

HOST_ADDR=127.0.0.1
SESSION=openr-quickstart-$CONTROLLER_PORT # of tmux
LOGDIR=logs_quickstart/$CONTROLLER_PORT   # what the services say
POLICY_MODEL_NAME=openr-tiny-policy
VALUE_MODEL_NAME=openr-tiny-prm
SERVICES=reason/llm_service

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

sh scripts/setup_env.sh
PATH=$(cd "$VENV/bin" && pwd):$PATH
PYTHON=$(command -v python)
LM=$POLICY_MODEL_NAME RM=$VALUE_MODEL_NAME TASK_NAME=arithmetic CONTROLLER_ADDR=http://$HOST_ADDR:$CONTROLLER_PORT
export PATH PYTHON HOST_ADDR CONTROLLER_PORT WORKER_BASE_PORT SESSION LOGDIR POLICY_MODEL_NAME VALUE_MODEL_NAME
export LM RM TASK_NAME CONTROLLER_ADDR SAVE_DIR

began=$(date +%s)
serving=no # create_service_tiny.sh cleans up after itself when it does not come to its end
console=$(mktemp)
leave() {
    status=$?
    trap '' INT TERM
    [ "$serving" = no ] || sh $SERVICES/stop_service.sh || status=1
    rm -f "$console"
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "==> services"
sh $SERVICES/create_service_tiny.sh
serving=yes

folders=
run() { # TITLE SCRIPT: one method, its progress on stderr
    printf '==> %s\n' "$1"
    status=0
    sh "scripts/eval/$2" --limit "$PROBLEMS" >"$console" || status=$?
    [ "$status" -eq 0 ] || {
        cat "$console"
        fail "$status" "scripts/eval/$2 ended with status $status; the services' logs are in $LOGDIR"
    }
    folders="$folders $(sed -n 's/^Run folder: //p' "$console")"
}
export NUM_SEQUENCE TREE_MAX_WIDTH
NUM_SEQUENCE=16 TREE_MAX_WIDTH=4
run "cot: greedy chain of thought" cot_greedy.sh
run "best_of_n: $NUM_SEQUENCE solutions" cot_rerank.sh
NUM_SEQUENCE=4
run "beam_search: $NUM_SEQUENCE beams, $TREE_MAX_WIDTH steps from each" beam_search.sh
export BUDGET=16
run "vanila_mcts: as many steps as $BUDGET solutions have, $TREE_MAX_WIDTH from each node" vanila_mcts.sh

printf '\nThe same %s problems with each method; accuracies in %% with 95 %% intervals.\n\n' "$PROBLEMS"
python reason/evaluation/compare.py $folders
printf '\nRun folders, each with config.json, record.jsonl and avg_result.json:\n'
printf '    %s\n' $folders
printf '\nDone in %s s after the install.\n' "$(($(date +%s) - began))"
