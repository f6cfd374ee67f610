#!/bin/sh
# Greedy chain of thought: one solution a question at temperature 0.
# Each variable can also be given from the environment: TASK_NAME=MATH LM=Qwen2.5-Math-1.5B-Instruct sh scripts/eval/cot_greedy.sh
set -eu
cd "$(dirname "$0")/../.."

LM=${LM:-openr-tiny-policy}
TASK_NAME=${TASK_NAME:-arithmetic}
CONTROLLER_ADDR=${CONTROLLER_ADDR:-http://127.0.0.1:${CONTROLLER_PORT:-28777}}
NUM_WORKER=${NUM_WORKER:-32}
SEED=${SEED:-0}
SAVE_DIR=${SAVE_DIR:-results}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

exec "$PYTHON" reason/evaluation/evaluate.py \
    --method cot \
    --LM "$LM" \
    --task_name "$TASK_NAME" \
    --controller_addr "$CONTROLLER_ADDR" \
    --num_worker "$NUM_WORKER" \
    --seed "$SEED" \
    --save_dir "$SAVE_DIR" \
    "$@" # further flags, such as --limit 100
