#!/bin/sh
# The README's table: greedy, best-of-16, beam search and MCTS on 1,000 test questions, with the PRM and with the
# oracle as scorer, three run seeds. Services must be running (reason/llm_service/create_service_tiny.sh).
# Each run is resumed where it was killed, so the script can be started again. Half an hour on two cores with
# ENGINE=transformers NUM_LM_WORKER=2.
set -eu
cd "$(dirname "$0")/../.."

LM=${LM:-openr-tiny-policy}
RM=${RM:-openr-tiny-prm}
TASK=${TASK:-arithmetic}
LIMIT=${LIMIT:-1000}
SEEDS=${SEEDS:-0 1 2}
SCORERS=${SCORERS:-$RM oracle}
BUDGET=${BUDGET:-16}               # solutions' worth of sampled steps
# MCTS samples more of the late steps, which are short: so many solutions' worth of its steps cost the tokens of 16
# sampled solutions (2,656 against 2,652 a question on 200 questions of the dev split)
MCTS_BUDGET=${MCTS_BUDGET:-21}
WIDTH=${WIDTH:-4}                  # of an expansion
NUM_WORKER=${NUM_WORKER:-256}
CONTROLLER_ADDR=${CONTROLLER_ADDR:-http://127.0.0.1:${CONTROLLER_PORT:-28777}}
SAVE_DIR=${SAVE_DIR:-results/main_table}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

# lists of words, unquoted on purpose
exec "$PYTHON" -m reason.evaluation.sweep main_table \
    --seeds $SEEDS \
    --scorers $SCORERS \
    --LM "$LM" \
    --task_name "$TASK" \
    --limit "$LIMIT" \
    --budget "$BUDGET" \
    --mcts_budget "$MCTS_BUDGET" \
    --tree_max_width "$WIDTH" \
    --num_worker "$NUM_WORKER" \
    --controller_addr "$CONTROLLER_ADDR" \
    --save_dir "$SAVE_DIR" \
    -- "$@" # further flags of all runs
