#!/bin/sh
# Accuracy of a policy, greedily or by another search method: bash test_llm.sh [FLAG_OF_EVALUATE...]
# Edit the variables, or give them from the environment: model_name_or_path=results/.../best bash test_llm.sh --limit 500
# Serves the policy, runs the project's evaluator on it, and stops what it started.
set -eu
cd "$(dirname "$0")/../../.."

task_name=${task_name:-arithmetic}
dataset_path=${dataset_path:-} # JSONL with problem (or question) and answer; empty: the task's own split test
level=${level:-5}              # of the task's own questions; empty: its default
model_name_or_path=${model_name_or_path:-reason/llm_service/models/openr-tiny-policy}
method=${method:-cot}
save_dir=${save_dir:-results}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

NUM_LM_WORKER=${NUM_LM_WORKER:-1}
ENGINE=${ENGINE:-transformers}
CONTROLLER_PORT=${CONTROLLER_PORT:-28787} # not that of services that may be running
WORKER_BASE_PORT=${WORKER_BASE_PORT:-30110}

[ -z "$dataset_path" ] || set -- --data_path "$dataset_path" "$@"
case " $* " in *" --data_path"* | *" --level"*) level= ;; esac # questions of a file have the file's levels
[ -z "$level" ] || set -- --level "$level" "$@"

exec "$PYTHON" -m reason.llm_service.serve \
    --model_base "" \
    --policy_model_name "$model_name_or_path" \
    --num_lm_worker "$NUM_LM_WORKER" \
    --num_rm_worker 0 \
    --engine "$ENGINE" \
    --host_addr 127.0.0.1 \
    --controller_port "$CONTROLLER_PORT" \
    --worker_base_port "$WORKER_BASE_PORT" \
    --session "openr-test-$CONTROLLER_PORT" \
    --logdir "logs_test_llm/$CONTROLLER_PORT" \
    -- "$PYTHON" reason/evaluation/evaluate.py \
    --LM "$(basename "$model_name_or_path")" \
    --task_name "$task_name" \
    --method "$method" \
    --controller_addr "http://127.0.0.1:$CONTROLLER_PORT" \
    --save_dir "$save_dir" \
    "$@"
