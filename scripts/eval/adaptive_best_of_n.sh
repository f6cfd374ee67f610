#!/bin/sh
# Adaptive best-of-N: samples in waves, until those that remain cannot change the vote any more.
# Each variable can also be given from the environment: TASK_NAME=MATH LM=Qwen2.5-Math-1.5B-Instruct sh scripts/eval/adaptive_best_of_n.sh
set -eu
cd "$(dirname "$0")/../.."

LM=${LM:-openr-tiny-policy}
RM=${RM:-openr-tiny-prm}
BUDGET=${BUDGET:-16} # solutions' worth of sampled steps
WAVE_SIZE=${WAVE_SIZE:-4} # samples between looks
TASK_NAME=${TASK_NAME:-arithmetic}
CONTROLLER_ADDR=${CONTROLLER_ADDR:-http://127.0.0.1:${CONTROLLER_PORT:-28777}}
NUM_WORKER=${NUM_WORKER:-32}
SEED=${SEED:-0}
SAVE_DIR=${SAVE_DIR:-results}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

exec "$PYTHON" reason/evaluation/evaluate.py \
    --method adaptive_best_of_n \
    --LM "$LM" \
    --RM "$RM" \
    --budget "$BUDGET" \
    --wave_size "$WAVE_SIZE" \
    --task_name "$TASK_NAME" \
    --controller_addr "$CONTROLLER_ADDR" \
    --num_worker "$NUM_WORKER" \
    --seed "$SEED" \
    --save_dir "$SAVE_DIR" \
    "$@" # further flags, such as --limit 100
