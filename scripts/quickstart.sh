#!/bin/sh
# From a bare checkout to four search methods side by side: bash scripts/quickstart.sh
#
# Installs into .venv, serves the two embedded models, solves the same arithmetic problems with greedy chain of
# thought, best-of-16, beam search and MCTS, prints one table, and stops what it started. Each variable can be given
# from the environment; PYTHON, VLLM and NEED_MB are those of setup_env.sh.
# Exit status: 0, 1 when a part failed, 2 when something here must be mended first, 130 after Ctrl-C.
set -eu
cd "$(dirname "$0")/.."

PROBLEMS=${PROBLEMS:-50}
SAVE_DIR=${SAVE_DIR:-results/quickstart}
VENV=${VENV:-.venv}
HOST_ADDR=${HOST_ADDR:-127.0.0.1}
CONTROLLER_PORT=${CONTROLLER_PORT:-28777}
WORKER_BASE_PORT=${WORKER_BASE_PORT:-30010}
SESSION=${SESSION:-openr-quickstart} # tmux session of the services
LOGDIR=${LOGDIR:-logs_quickstart}    # what the services say
SERVICES=reason/llm_service

fail() { # STATUS MESSAGE
    printf 'quickstart.sh: %s\n' "$2" >&2
    exit "$1"
}

check_port() { # NAME PORT
    taken='import socket, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try: s.bind((sys.argv[1], int(sys.argv[2])))
except (OSError, OverflowError, ValueError): sys.exit(98)'
    status=0
    "${PYTHON:-python3}" -c "$taken" "$HOST_ADDR" "$2" 2>/dev/null || status=$?
    [ "$status" -ne 98 ] ||
        fail 2 "port $2 of $HOST_ADDR is taken or cannot be used: stop what listens there, or give another, as $1=$(($2 + 1000))"
}

check_port CONTROLLER_PORT "$CONTROLLER_PORT"
check_port WORKER_BASE_PORT "$WORKER_BASE_PORT"
check_port WORKER_BASE_PORT "$((WORKER_BASE_PORT + 1))"

sh scripts/setup_env.sh
PYTHON=$PWD/$VENV/bin/python
PATH=$PWD/$VENV/bin:$PATH
CONTROLLER_ADDR=http://$HOST_ADDR:$CONTROLLER_PORT
export PATH PYTHON HOST_ADDR CONTROLLER_PORT WORKER_BASE_PORT SESSION LOGDIR CONTROLLER_ADDR SAVE_DIR

work=$(mktemp -d)
started=no
stop() {
    status=$?
    trap '' INT TERM
    [ "$started" = no ] || sh $SERVICES/stop_service.sh || status=1
    rm -rf "$work"
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

began=$(date +%s)
echo "==> services for openr-tiny-policy and openr-tiny-prm"
started=yes
sh $SERVICES/create_service_tiny.sh

folders=
method() { # TITLE SCRIPT: one evaluation, with its progress on stderr
    echo "==> $1"
    status=0
    sh "scripts/eval/$2" --limit "$PROBLEMS" >"$work/out" || status=$?
    [ "$status" -eq 0 ] || { cat "$work/out"; fail "$status" "$2 ended with status $status; the services' logs are in $LOGDIR"; }
    folders="$folders $(sed -n 's/^Run folder: //p' "$work/out")"
}
method "greedy chain of thought" cot_greedy.sh
NUM_SEQUENCE=16 method "best of 16" cot_rerank.sh
NUM_SEQUENCE=4 TREE_MAX_WIDTH=4 method "beam search, 4 beams x 4 steps" beam_search.sh
NUM_SEQUENCE=4 TREE_MAX_WIDTH=4 method "MCTS, 4 paths x 4 steps" vanila_mcts.sh

printf '\nThe same %s problems, accuracy in %% with its 95 %% interval:\n\n' "$PROBLEMS"
python reason/evaluation/compare.py $folders
printf '\nRun folders, each with config.json, record.jsonl and avg_result.json:\n'
printf '    %s\n' $folders
echo "Done in $(($(date +%s) - began)) s. Larger runs: scripts/eval/*.sh, after sh $SERVICES/create_service_tiny.sh"
