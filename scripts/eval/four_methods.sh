#!/bin/sh
# Greedy chain of thought, best-of-16, beam search and MCTS on the same problems, and one table of them.
# Services must be running (reason/llm_service/create_service_tiny.sh). Each variable can also be given from the
# environment, as can those of the four scripts it calls: PROBLEMS=200 sh scripts/eval/four_methods.sh
set -eu
cd "$(dirname "$0")/../.."

PROBLEMS=${PROBLEMS:-50}
SAVE_DIR=${SAVE_DIR:-results}
BEGAN=${BEGAN:-$(date +%s)} # when the clock was started
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
export PYTHON SAVE_DIR NUM_SEQUENCE TREE_MAX_WIDTH=4 BUDGET=16

mkdir -p "$SAVE_DIR"
console=$SAVE_DIR/console.txt # what the run under way says; its progress is on stderr

run() { # TITLE SCRIPT
    printf '==> %s\n' "$1"
    status=0
    sh "scripts/eval/$2" --limit "$PROBLEMS" >"$console" || status=$?
    [ "$status" -eq 0 ] || {
        cat "$console"
        printf 'four_methods.sh: scripts/eval/%s ended with status %s\n' "$2" "$status" >&2
        exit "$status"
    }
    folder=$(sed -n 's/^Run folder: //p' "$console")
    rm -f "$console"
}

run "cot: greedy chain of thought" cot_greedy.sh
set -- "$folder"
NUM_SEQUENCE=16
run "best_of_n: $NUM_SEQUENCE solutions" cot_rerank.sh
set -- "$@" "$folder"
NUM_SEQUENCE=4
run "beam_search: $NUM_SEQUENCE beams, $TREE_MAX_WIDTH steps from each" beam_search.sh
set -- "$@" "$folder"
run "vanila_mcts: as many steps as $BUDGET solutions have, $TREE_MAX_WIDTH from each node" vanila_mcts.sh
set -- "$@" "$folder"

printf '\nThe same %s problems with each method; accuracies in %% with 95 %% intervals.\n\n' "$PROBLEMS"
"$PYTHON" -m reason.evaluation.compare "$@"
printf '\nRun folders, each with config.json, record.jsonl and avg_result.json:\n'
printf '    %s\n' "$@"
printf '\nDone in %s s.\n' "$(($(date +%s) - BEGAN))"
