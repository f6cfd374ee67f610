#!/bin/sh
# Monte Carlo tree search over steps, guided by the reward model.
# Each variable can also be given from the environment: TASK_NAME=MATH LM=Qwen2.5-Math-1.5B-Instruct sh scripts/eval/vanila_mcts.sh
set -eu
cd "$(dirname "$0")/../.."

LM=${LM:-openr-tiny-policy}
RM=${RM:-openr-tiny-prm}
BUDGET=${BUDGET:-}               # solutions' worth of steps to sample; without it, as many as NUM_SEQUENCE paths take
NUM_SEQUENCE=${NUM_SEQUENCE:-4} # paths from the root to the end of a solution
TREE_MAX_WIDTH=${TREE_MAX_WIDTH:-4} # steps drawn at an expansion
TASK_NAME=${TASK_NAME:-arithmetic}
CONTROLLER_ADDR=${CONTROLLER_ADDR:-http://127.0.0.1:${CONTROLLER_PORT:-28777}}
NUM_WORKER=${NUM_WORKER:-32}
SEED=${SEED:-0}
SAVE_DIR=${SAVE_DIR:-results}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

if [ -n "$BUDGET" ]; then set -- --budget "$BUDGET" "$@"; else set -- --num_sequence "$NUM_SEQUENCE" "$@"; fi
exec "$PYTHON" reason/evaluation/evaluate.py \
    --method vanila_mcts \
    --LM "$LM" \
    --RM "$RM" \
    --tree_max_width "$TREE_MAX_WIDTH" \
    --task_name "$TASK_NAME" \
    --controller_addr "$CONTROLLER_ADDR" \
    --num_worker "$NUM_WORKER" \
    --seed "$SEED" \
    --save_dir "$SAVE_DIR" \
    "$@" # further flags, such as --limit 100
