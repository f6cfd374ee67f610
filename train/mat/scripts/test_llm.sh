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

MODEL_BASE= # the name is a folder's path, or an id of the hub
POLICY_MODEL_NAME=$model_name_or_path
NUM_RM_WORKER=0
NUM_LM_WORKER=${NUM_LM_WORKER:-1}
ENGINE=${ENGINE:-transformers}
HOST_ADDR=127.0.0.1
CONTROLLER_PORT=${CONTROLLER_PORT:-28787} # not that of services that may be running
WORKER_BASE_PORT=${WORKER_BASE_PORT:-30110}
SESSION=openr-test-$CONTROLLER_PORT # of tmux
LOGDIR=logs_test_llm/$CONTROLLER_PORT
export SESSION LOGDIR

serving=no # start_services cleans up after itself when it does not come to its end
leave() {
    status=$?
    trap '' INT TERM
    [ "$serving" = no ] || sh reason/llm_service/stop_service.sh || status=1
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

(
    . reason/llm_service/service_lib.sh
    start_services
)
serving=yes

[ -z "$dataset_path" ] || set -- --data_path "$dataset_path" "$@"
[ -z "$level" ] || [ -n "$dataset_path" ] || set -- --level "$level" "$@"

"$PYTHON" reason/evaluation/evaluate.py \
    --LM "$(basename "$model_name_or_path")" \
    --task_name "$task_name" \
    --method "$method" \
    --controller_addr "http://$HOST_ADDR:$CONTROLLER_PORT" \
    --save_dir "$save_dir" \
    "$@"
