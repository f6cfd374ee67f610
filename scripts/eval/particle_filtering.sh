#!/bin/sh
# Particle filtering: N partial solutions, resampled by the reward model at each step.
# Each variable can also be given from the environment: TASK_NAME=MATH LM=Qwen2.5-Math-1.5B-Instruct sh scripts/eval/particle_filtering.sh
set -eu
cd "$(dirname "$0")/../.."

LM=${LM:-openr-tiny-policy}
RM=${RM:-openr-tiny-prm}
BUDGET=${BUDGET:-16} # solutions' worth of sampled steps
TASK_NAME=${TASK_NAME:-arithmetic}
CONTROLLER_ADDR=${CONTROLLER_ADDR:-http://127.0.0.1:${CONTROLLER_PORT:-28777}}
NUM_WORKER=${NUM_WORKER:-32}
SEED=${SEED:-0}
SAVE_DIR=${SAVE_DIR:-results}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

exec "$PYTHON" reason/evaluation/evaluate.py \
    --method particle_filtering \
    --LM "$LM" \
    --RM "$RM" \
    --budget "$BUDGET" \
    --task_name "$TASK_NAME" \
    --controller_addr "$CONTROLLER_ADDR" \
    --num_worker "$NUM_WORKER" \
    --seed "$SEED" \
    --save_dir "$SAVE_DIR" \
    "$@" # further flags, such as --limit 100
