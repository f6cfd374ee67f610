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

MODEL_BASE= # names are folders' paths, or ids of the hub
NUM_LM_WORKER=${NUM_LM_WORKER:-1}
NUM_RM_WORKER=${NUM_RM_WORKER:-1}
ENGINE=${ENGINE:-transformers}
HOST_ADDR=127.0.0.1
CONTROLLER_PORT=${CONTROLLER_PORT:-28797} # not that of services that may be running
WORKER_BASE_PORT=${WORKER_BASE_PORT:-30210}
SESSION=openr-improve-$CONTROLLER_PORT # of tmux
LOGDIR=logs_self_improve/$CONTROLLER_PORT
export SESSION LOGDIR

refuse() { # MESSAGE
    printf 'self_improve.sh: %s\n' "$1" >&2
    exit 2
}

case $start_from in first | last) ;; *) refuse "start_from is first or last, not $start_from" ;; esac
case $iterations in '' | *[!0-9]* | 0*) refuse "iterations is a whole number of at least 1, not $iterations" ;; esac
case $method in best_of_n | adaptive_best_of_n | cot) width= ;; *) width=$tree_max_width ;; esac
case $prm_name_or_path in
    '') scorer= NUM_RM_WORKER=0 ;;
    oracle*) scorer=$prm_name_or_path NUM_RM_WORKER=0 ;;
    *) scorer=$(basename "$prm_name_or_path") ;;
esac
VALUE_MODEL_NAME=$prm_name_or_path
[ "$method" != cot ] || scorer=

# What is finished is not looked into again, so it must be of the same settings.
mkdir -p "$save_dir"
settings="task_name=$task_name dataset_path=$dataset_path eval_dataset_path=$eval_dataset_path level=$level
model_name_or_path=$model_name_or_path prm_name_or_path=$prm_name_or_path iterations=$iterations questions=$questions
eval_limit=$eval_limit method=$method num_sequence=$num_sequence tree_max_width=$tree_max_width
max_solutions=$max_solutions start_from=$start_from lr=$lr num_train_epochs=$num_train_epochs
total_batch_size=$total_batch_size lora_r=$lora_r seed=$seed${*:+ $*}"
[ -f "$save_dir/settings.txt" ] || printf '%s\n' "$settings" >"$save_dir/settings.txt"
printf '%s\n' "$settings" | cmp -s - "$save_dir/settings.txt" ||
    refuse "$save_dir holds a training with other settings ($save_dir/settings.txt): set save_dir"

serving=no # serve cleans up after itself when it does not come to its end
leave() {
    status=$?
    trap '' INT TERM
    stop || status=1
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

serve() { # POLICY: unless it is served already
    [ "$serving" = no ] || return 0
    "$PYTHON" -m reason.llm_service.serve --model_base "$MODEL_BASE" --policy_model_name "$1" \
        --value_model_name "$VALUE_MODEL_NAME" --num_lm_worker "$NUM_LM_WORKER" --num_rm_worker "$NUM_RM_WORKER" \
        --engine "$ENGINE" --host_addr "$HOST_ADDR" --controller_port "$CONTROLLER_PORT" \
        --worker_base_port "$WORKER_BASE_PORT"
    serving=yes
}

stop() {
    [ "$serving" = yes ] || return 0
    serving=no
    sh reason/llm_service/stop_service.sh
}

run_of() { # DIR: the run folder below it
    ls -d "$1/$task_name"/*/*/ 2>/dev/null | head -n 1
}

evaluate() { # POLICY DIR FLAG...: one run below DIR, or what is left of it
    policy_of_run=$1 dir=$2
    shift 2
    [ ! -f "$dir/done" ] || return 0
    serve "$policy_of_run"
    run=$(run_of "$dir" || true)
    [ -z "$run" ] || set -- --resume_dir "$run" "$@"
    "$PYTHON" reason/evaluation/evaluate.py --LM "$(basename "$policy_of_run")" --task_name "$task_name" \
        --seed "$seed" --num_worker "$num_worker" --controller_addr "http://$HOST_ADDR:$CONTROLLER_PORT" \
        --save_dir "$dir" --allow_errors 0.02 "$@"
    touch "$dir/done"
}

measure() { # POLICY DIR: greedily, on held-out questions
    echo "==> round $round: $1 on held-out questions"
    set -- "$1" "$2" --method cot --limit "$eval_limit"
    if [ -n "$eval_dataset_path" ]; then
        set -- "$@" --data_path "$eval_dataset_path"
    else
        set -- "$@" --split dev ${level:+--level "$level"}
    fi
    evaluate "$@"
}

search() { # POLICY DIR FLAG...: on the training questions of this round
    echo "==> round $round: $method on training questions"
    set -- "$@" --method "$method" --limit $((questions * iterations)) --num_shards "$iterations" --shard "$round" \
        ${scorer:+--RM "$scorer"} ${width:+--tree_max_width "$width"}
    [ "$method" = cot ] || set -- "$@" --num_sequence "$num_sequence"
    if [ -n "$dataset_path" ]; then
        set -- "$@" --data_path "$dataset_path"
    else
        set -- "$@" --split train ${level:+--level "$level"}
    fi
    evaluate "$@"
}

collect() { # FILE RUN...
    [ ! -f "$1" ] || return 0
    echo "==> round $round: solutions that the grader verified"
    out=$1
    shift
    [ -z "$eval_dataset_path" ] || set -- --eval_dataset_path "$eval_dataset_path" "$@"
    "$PYTHON" -m train.mat.expert_iteration.collect "$@" --out "$out" --max_solutions "$max_solutions" --seed "$seed"
}

finetune() { # POLICY FILE DIR: the card is what is written last
    [ ! -f "$3/model_card.yaml" ] || return 0
    echo "==> round $round: fine-tuning of $1"
    set -- --model_path "$1" --data "$2" --output_dir "$3"
    [ -z "$(ls -d "$save_dir/policy_$((round + 1))"/checkpoint-* 2>/dev/null || true)" ] || set -- "$@" --resume
    "$PYTHON" -m train.mat.expert_iteration.sft "$@" --learning_rate "$lr" --num_train_epochs "$num_train_epochs" \
        --total_batch_size "$total_batch_size" --seed "$seed" ${lora_r:+--lora_r "$lora_r"}
    rm -rf "$save_dir/policy_$((round + 1))"/checkpoint-*
}

round=0 policy=$model_name_or_path searched= measured=
while :; do
    measure "$policy" "$save_dir/round_$round/held_out"
    measured="$measured $(run_of "$save_dir/round_$round/held_out")"
    [ "$round" -lt "$iterations" ] || break
    search "$policy" "$save_dir/round_$round/search" "$@"
    stop
    [ "$start_from" = first ] || searched=
    searched="$searched $(run_of "$save_dir/round_$round/search")"
    collect "$save_dir/round_$round/solutions.jsonl" $searched
    [ "$start_from" = last ] || policy=$model_name_or_path
    finetune "$policy" "$save_dir/round_$round/solutions.jsonl" "$save_dir/policy_$((round + 1))"
    round=$((round + 1))
    policy=$save_dir/policy_$round
done
stop
printf '\nGreedy accuracy before and after each round, on the same held-out questions:\n\n'
"$PYTHON" -m reason.evaluation.compare $measured
echo "The policy is in $policy"
