#!/bin/sh
# Accuracy against budget: any set of methods at several budgets, then one table and the curves (report.py).
# Services must be running (reason/llm_service/create_service_tiny.sh). Finished runs are not run again, others are
# resumed where they were stopped, so the script can be started again, also with more METHODS, BUDGETS or SEEDS.
# Each variable can also be given from the environment: METHODS="cot best_of_n dvts" sh scripts/eval/scaling.sh
set -eu
cd "$(dirname "$0")/../.."

METHODS=${METHODS:-cot best_of_n beam_search dvts lookahead rebase particle_filtering vanila_mcts mcts_alpha \
    adaptive_best_of_n}
BUDGETS=${BUDGETS:-1 4 16 64} # best_of_n runs at the largest alone: the report subsamples the others from it
LM=${LM:-openr-tiny-policy}
RM=${RM:-openr-tiny-prm}
SCORERS=${SCORERS:-$RM}       # several: SCORERS="openr-tiny-prm oracle", where the task has an oracle
TASK_NAME=${TASK_NAME:-arithmetic}
LIMIT=${LIMIT:-1000}
SEEDS=${SEEDS:-0}             # several are averaged question by question
NUM_WORKER=${NUM_WORKER:-64}
CONTROLLER_ADDR=${CONTROLLER_ADDR:-http://127.0.0.1:${CONTROLLER_PORT:-28777}}
SAVE_DIR=${SAVE_DIR:-results/scaling}
REPORT_DIR=${REPORT_DIR:-$SAVE_DIR/report}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

# lists of words, unquoted on purpose
exec "$PYTHON" -m reason.evaluation.sweep scaling \
    --methods $METHODS \
    --budgets $BUDGETS \
    --scorers $SCORERS \
    --seeds $SEEDS \
    --LM "$LM" \
    --task_name "$TASK_NAME" \
    --limit "$LIMIT" \
    --num_worker "$NUM_WORKER" \
    --controller_addr "$CONTROLLER_ADDR" \
    --save_dir "$SAVE_DIR" \
    --report_dir "$REPORT_DIR" \
    -- "$@" # further flags of all runs: --temperature 0.8, --steps_per_solution 8
