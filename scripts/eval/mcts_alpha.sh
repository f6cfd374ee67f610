#!/bin/sh
# MCTS-alpha: step-by-step decoding, each step by simulations from where the solution has got to.
# Each variable can also be given from the environment: TASK_NAME=MATH LM=Qwen2.5-Math-1.5B-Instruct sh scripts/eval/mcts_alpha.sh
set -eu
cd "$(dirname "$0")/../.."

LM=${LM:-openr-tiny-policy}
RM=${RM:-openr-tiny-prm}
BUDGET=${BUDGET:-16} # solutions' worth of sampled steps
TREE_MAX_WIDTH=${TREE_MAX_WIDTH:-4} # M, steps drawn at a node
NUM_SIMULATION=${NUM_SIMULATION:-4} # simulations a step at most
TASK_NAME=${TASK_NAME:-arithmetic}
CONTROLLER_ADDR=${CONTROLLER_ADDR:-http://127.0.0.1:${CONTROLLER_PORT:-28777}}
NUM_WORKER=${NUM_WORKER:-32}
SEED=${SEED:-0}
SAVE_DIR=${SAVE_DIR:-results}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

exec "$PYTHON" reason/evaluation/evaluate.py \
    --method mcts_alpha \
    --LM "$LM" \
    --RM "$RM" \
    --budget "$BUDGET" \
    --tree_max_width "$TREE_MAX_WIDTH" \
    --num_simulation "$NUM_SIMULATION" \
    --task_name "$TASK_NAME" \
    --controller_addr "$CONTROLLER_ADDR" \
    --num_worker "$NUM_WORKER" \
    --seed "$SEED" \
    --save_dir "$SAVE_DIR" \
    "$@" # further flags, such as --limit 100
