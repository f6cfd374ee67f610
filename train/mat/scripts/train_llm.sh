#!/bin/sh
# Train a policy by reinforcement learning with process rewards: bash train_llm.sh [FURTHER_FLAG...]
# Edit the variables, or give them from the environment: algorithm_name=APPO bash train_llm.sh --num_updates 200
# With nothing changed it trains the embedded policy with the embedded PRM, on a CPU within minutes.
set -eu
cd "$(dirname "$0")/../../.."

task_name=${task_name:-arithmetic}
dataset_path=${dataset_path:-}           # JSONL with problem (or question) and answer; empty: the task's own split train
eval_dataset_path=${eval_dataset_path:-} # held-out questions; empty: the task's own split dev
level=${level:-8}                        # of the task's own questions; empty: its default
model_name_or_path=${model_name_or_path:-reason/llm_service/models/openr-tiny-policy}
prm_name_or_path=${prm_name_or_path-reason/llm_service/models/openr-tiny-prm} # empty: the answer alone is rewarded
algorithm_name=${algorithm_name:-APPO}   # APPO, TPPO, GRPO or RLOO
lr=${lr:-1e-4}                           # of billions of weights rather 1e-6, of an adapter (--lora_r 16) 1e-5
critic_lr=${critic_lr:-3e-4}             # APPO, TPPO
num_updates=${num_updates:-60}
questions=${questions:-16}               # of an update
group_size=${group_size:-16}             # solutions of a question
num_processes=${num_processes:-1}        # one a GPU; they share the questions of an update
seed=${seed:-0}
save_dir=${save_dir:-results}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

[ $((questions % num_processes)) = 0 ] || {
    echo "train_llm.sh: questions=$questions do not divide into num_processes=$num_processes" >&2
    exit 2
}
[ -z "$dataset_path" ] || set -- --dataset_path "$dataset_path" "$@"
[ -z "$eval_dataset_path" ] || set -- --eval_dataset_path "$eval_dataset_path" "$@"
[ -z "$level" ] || [ -n "$dataset_path" ] || set -- --level "$level" "$@"
[ -z "$prm_name_or_path" ] || set -- --prm_name_or_path "$prm_name_or_path" "$@"
case $algorithm_name in APPO | TPPO) set -- --critic_lr "$critic_lr" "$@" ;; esac

torchrun=
[ "$num_processes" = 1 ] || torchrun="-m torch.distributed.run --standalone --nproc_per_node=$num_processes"

exec "$PYTHON" $torchrun -m train.mat.train_llm \
    --task_name "$task_name" \
    --model_name_or_path "$model_name_or_path" \
    --algorithm_name "$algorithm_name" \
    --lr "$lr" \
    --num_updates "$num_updates" \
    --questions "$questions" \
    --group_size "$group_size" \
    --seed "$seed" \
    --save_dir "$save_dir" \
    "$@" # further flags, such as --resume RUN_DIR (with the run's own settings); see --help
