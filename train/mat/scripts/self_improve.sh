#!/bin/sh
# Expert iteration: search with the policy, keep what the grader verified, fine-tune on it, again: bash self_improve.sh
# Edit the variables, or give them from the environment: method=vanila_mcts iterations=3 bash self_improve.sh
# Each round serves the policy, measures it on held-out questions, and searches on questions that it has not seen. What
# is finished is not done again, so the script goes on where it was stopped. Further flags are those of the search:
# bash self_improve.sh --temperature 0.8 (see reason/evaluation/evaluate.py --help).
set -eu
cd "$(dirname "$0")/../../.."

task_name=${task_name:-arithmetic}
dataset_path=${dataset_path:-}           # JSONL with problem (or question) and answer; empty: the task's own split train
eval_dataset_path=${eval_dataset_path:-} # held-out questions; empty: the task's own split dev
level=${level:-}                         # of the task's own questions; empty: its default
model_name_or_path=${model_name_or_path:-reason/llm_service/models/openr-tiny-policy}
prm_name_or_path=${prm_name_or_path-reason/llm_service/models/openr-tiny-prm} # or oracle; empty for best_of_n and cot
iterations=${iterations:-2}
questions=${questions:-1000}             # that a round searches on
eval_limit=${eval_limit:-500}            # held-out questions
method=${method:-beam_search}            # best_of_n is rejection sampling
num_sequence=${num_sequence:-4}          # beams kept, solutions of best_of_n, paths of MCTS
tree_max_width=${tree_max_width:-4}      # steps drawn from each
max_solutions=${max_solutions:-4}        # different ones of a question that are learnt
start_from=${start_from:-first}          # what a round fine-tunes: the first policy, on the solutions of all rounds so
                                         # far (STaR); or the last one, on those of this round (ReST)
lr=${lr:-1e-4}                           # of billions of weights rather 1e-5
num_train_epochs=${num_train_epochs:-2}
total_batch_size=${total_batch_size:-64} # solutions of an update
lora_r=${lora_r:-}                       # rank of an adapter, merged at the end; empty: all weights
seed=${seed:-0}
num_worker=${num_worker:-64}             # questions in flight
save_dir=${save_dir:-results/self_improve}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

# How the policy is served: see python -m reason.llm_service.serve --help.
export NUM_LM_WORKER="${NUM_LM_WORKER:-1}" NUM_RM_WORKER="${NUM_RM_WORKER:-1}" ENGINE="${ENGINE:-transformers}"
export CONTROLLER_PORT="${CONTROLLER_PORT:-28797}" # not that of services that may be running
export WORKER_BASE_PORT="${WORKER_BASE_PORT:-30210}"

exec "$PYTHON" -m train.mat.expert_iteration.improve \
    --task_name "$task_name" \
    --dataset_path "$dataset_path" \
    --eval_dataset_path "$eval_dataset_path" \
    --level "$level" \
    --model_name_or_path "$model_name_or_path" \
    --prm_name_or_path "$prm_name_or_path" \
    --iterations "$iterations" \
    --questions "$questions" \
    --eval_limit "$eval_limit" \
    --method "$method" \
    --num_sequence "$num_sequence" \
    --tree_max_width "$tree_max_width" \
    --max_solutions "$max_solutions" \
    --start_from "$start_from" \
    --lr "$lr" \
    --num_train_epochs "$num_train_epochs" \
    --total_batch_size "$total_batch_size" \
    ${lora_r:+--lora_r "$lora_r"} \
    --seed "$seed" \
    --num_worker "$num_worker" \
    --save_dir "$save_dir" \
    -- "$@"
