#!/bin/sh
# Label solution steps by OmegaPRM. Services must be running (reason/llm_service/create_service_*.sh); several policy
# workers share the load. The same command goes on where a killed run stopped.
# Each variable can also be given from the environment: TASK_NAME=arithmetic LM=openr-tiny-policy sh data/omegaprm/run_omegaprm.sh
# On many machines: SHARD=1/8, SHARD=2/8, ... each with an OUTPUT_DIR of its own, then
# python -m data.omegaprm.merge OUTPUT_DIR... --output FILE
set -eu
cd "$(dirname "$0")/../.."

LM=${LM:-openr-tiny-policy}
TASK_NAME=${TASK_NAME:-arithmetic}
QUESTION_FILE=${QUESTION_FILE:-} # JSONL or JSON list with problem and final_answer; empty: the task's own problems
LIMIT=${LIMIT:-1000}
OUTPUT_DIR=${OUTPUT_DIR:-output/omegaprm}
SHARD=${SHARD:-1/1}
PRESET=${PRESET:-default} # default, paper or openr
NUM_ROLLOUTS=${NUM_ROLLOUTS:-} # of a point; empty: the preset's, as for the two below
MAX_SEARCH_COUNT=${MAX_SEARCH_COUNT:-}
ROLLOUT_BUDGET=${ROLLOUT_BUDGET:-}
SAVE_DATA_TREE=${SAVE_DATA_TREE:-True}
CONTROLLER_ADDR=${CONTROLLER_ADDR:-http://127.0.0.1:${CONTROLLER_PORT:-28777}}
NUM_WORKER=${NUM_WORKER:-256}
SEED=${SEED:-0}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

if [ -n "$QUESTION_FILE" ]; then set -- --question_file "$QUESTION_FILE" "$@"; fi
exec "$PYTHON" data/omegaprm/run_omegaprm.py \
    --LM "$LM" \
    --task_name "$TASK_NAME" \
    --limit "$LIMIT" \
    --output_dir "$OUTPUT_DIR" \
    --shard "$SHARD" \
    --preset "$PRESET" \
    ${NUM_ROLLOUTS:+--num_rollouts "$NUM_ROLLOUTS"} \
    ${MAX_SEARCH_COUNT:+--max_search_count "$MAX_SEARCH_COUNT"} \
    ${ROLLOUT_BUDGET:+--rollout_budget "$ROLLOUT_BUDGET"} \
    --save_data_tree "$SAVE_DATA_TREE" \
    --controller_addr "$CONTROLLER_ADDR" \
    --num_worker "$NUM_WORKER" \
    --seed "$SEED" \
    "$@" # further flags, such as --early_stop True
