#!/bin/sh
# Serve the embedded models: sh reason/llm_service/create_service_tiny.sh
# Each variable can also be given from the environment; further ones are listed by
# python -m reason.llm_service.serve --help. Stop with: sh reason/llm_service/stop_service.sh
set -eu
cd "$(dirname "$0")/../.."

MODEL_BASE=${MODEL_BASE:-reason/llm_service/models}
POLICY_MODEL_NAME=${POLICY_MODEL_NAME:-openr-tiny-policy}
VALUE_MODEL_NAME=${VALUE_MODEL_NAME:-openr-tiny-prm}
ENGINE=${ENGINE:-auto} # vllm, transformers, or auto: vllm where it is installed and the machine can run it

NUM_LM_WORKER=${NUM_LM_WORKER:-1}
NUM_RM_WORKER=${NUM_RM_WORKER:-1}
LM_GPUS=${LM_GPUS:-0}
RM_GPUS=${RM_GPUS:-0}
GPU_MEMORY_UTILIZATION=${GPU_MEMORY_UTILIZATION:-0.2} # of vLLM
MAX_CORES=${MAX_CORES:-4} # models this small gain nothing from more threads
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

exec "$PYTHON" -m reason.llm_service.serve \
    --model_base "$MODEL_BASE" \
    --policy_model_name "$POLICY_MODEL_NAME" \
    --value_model_name "$VALUE_MODEL_NAME" \
    --engine "$ENGINE" \
    --num_lm_worker "$NUM_LM_WORKER" \
    --num_rm_worker "$NUM_RM_WORKER" \
    --lm_gpus "$LM_GPUS" \
    --rm_gpus "$RM_GPUS" \
    --gpu_memory_utilization "$GPU_MEMORY_UTILIZATION" \
    --max_cores "$MAX_CORES" \
    "$@" # further flags, such as --controller_port 28778
