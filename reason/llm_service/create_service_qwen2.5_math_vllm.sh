#!/bin/sh
# Serve Qwen2.5-Math-1.5B-Instruct with vLLM and the Math-Shepherd PRM: sh reason/llm_service/create_service_qwen2.5_math_vllm.sh
# Each variable can also be given from the environment; further ones are listed by
# python -m reason.llm_service.serve --help. Stop with: sh reason/llm_service/stop_service.sh
set -eu
cd "$(dirname "$0")/../.."

MODEL_BASE=${MODEL_BASE-models} # folder with the models; empty: the names are ids of the hub
POLICY_MODEL_NAME=${POLICY_MODEL_NAME:-Qwen/Qwen2.5-Math-1.5B-Instruct}
VALUE_MODEL_NAME=${VALUE_MODEL_NAME:-peiyi9979/math-shepherd-mistral-7b-prm}
ENGINE=${ENGINE:-vllm}

NUM_LM_WORKER=${NUM_LM_WORKER:-2}
NUM_RM_WORKER=${NUM_RM_WORKER:-2}
LM_GPUS=${LM_GPUS:-} # a word a worker, as "0 1", or "0,1 2,3" for two GPUs each; empty: one GPU each, as far as they go
RM_GPUS=${RM_GPUS:-} # everything on one GPU: LM_GPUS=0 RM_GPUS=0 NUM_LM_WORKER=1 NUM_RM_WORKER=1
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
    "$@" # further flags, such as --controller_port 28778
