#!/bin/sh
# Every kind of PRM of the embedded task from the same base and the same labelled solutions, and one table of them:
# hard and soft labels, outcomes alone (orm, ovm), the oracle's labels (the ceiling), and two generative judges, one that
# answers at once and one that reasons first.
# sh train/tiny/prm_kinds.sh RUN_DIR, a best_of_n run of reason/evaluation/evaluate.py on the test split, whose samples
# all are judged on. After train/tiny/make_models.sh. About an hour and a half on two cores; what is there is kept.
set -eu
cd "$(dirname "$0")/../.."
[ $# = 1 ] && [ -f "$1/record.jsonl" ] || { echo "usage: sh train/tiny/prm_kinds.sh RUN_DIR (of best_of_n)" >&2; exit 2; }

RUN=$1
WORK=${WORK:-runs/tiny}             # of make_models.sh
OUT=${OUT:-$WORK/kinds}
KINDS=${KINDS-hard soft orm ovm oracle}
JUDGES=${JUDGES-judge reasoning-judge}
EPOCHS=${EPOCHS:-4}
JUDGE_EPOCHS=${JUDGE_EPOCHS:-2}    # a judge reads a solution once for each of its steps
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
export CONTROLLER_PORT="${CONTROLLER_PORT:-28797}" WORKER_BASE_PORT="${WORKER_BASE_PORT:-30110}"
export ENGINE="${ENGINE:-transformers}" SESSION="${SESSION:-openr-kinds}" LOGDIR="${LOGDIR:-$OUT/logs}" PYTHON

# train SCRIPT OUTPUT ARGUMENTS...
train() {
    script=$1 output=$2
    shift 2
    [ -f "$output/model.safetensors" ] || "$PYTHON" "$script" --model_path "$WORK/prm-corrupted" --learning_rate 5e-4 \
        --weight_decay 0.05 --dtype bf16 --save_dtype bf16 --output_dir "$output" "$@"
}

# judge RUN NAME ARGUMENTS...: both benchmarks of one PRM; RUN is how their commands are run, plainly or as_judge
judge() {
    by=$1 name=$2
    shift 2
    for benchmark in "arithmetic --run $RUN" "best_of_n $RUN"; do
        out=$OUT/results/$name-${benchmark%% *}
        # A judge may leave a step without a verdict: counted, and left out.
        [ -f "$out/result.json" ] || "$by" "$PYTHON" prm/evaluate.py $benchmark "$@" --skip_bad_rows --out "$out"
    done
}

# serve FOLDER LM PRM COMMAND...: the models are served while the command runs
serve() {
    MODEL_BASE=$1 POLICY_MODEL_NAME=$2 VALUE_MODEL_NAME=$3
    export MODEL_BASE POLICY_MODEL_NAME VALUE_MODEL_NAME
    shift 3
    sh reason/llm_service/create_service_tiny.sh -- "$@"
}
plainly() { "$@"; }
as_judge() { serve "$OUT" "$kind" hard "$@"; }

mkdir -p "$OUT/results"
[ -f "$OUT/labels.jsonl" ] || "$PYTHON" -m train.tiny.common_rows "$WORK/labels.jsonl" "$OUT/labels.jsonl"
[ -f "$OUT/oracle.jsonl" ] || "$PYTHON" -m train.tiny.oracle_labels "$OUT/labels.jsonl" "$OUT/oracle.jsonl"

for kind in $KINDS; do
    case $kind in oracle) labels=hard data=$OUT/oracle.jsonl ;; *) labels=$kind data=$OUT/labels.jsonl ;; esac
    train prm/code/finetune.py "$OUT/$kind" --card openr-tiny-prm --full --labels "$labels" --train_data_path "$data" \
        --num_train_epochs "$EPOCHS" --total_batch_size 32
    judge plainly "$kind" --model_path "$OUT/$kind"
done

for kind in $JUDGES; do
    rows=$OUT/$kind.jsonl
    if [ ! -f "$rows" ]; then
        set -- "$PYTHON" -m prm.generative.make_data "$OUT/labels.jsonl" --card "openr-tiny-$kind" --out "$rows"
        if [ "$kind" = reasoning-judge ]; then # the policy writes its rationales
            serve reason/llm_service/models openr-tiny-policy openr-tiny-prm "$@" --LM openr-tiny-policy \
                --task_name arithmetic --controller_addr "http://127.0.0.1:$CONTROLLER_PORT"
        else
            "$@"
        fi
    fi
    train prm/generative/finetune.py "$OUT/$kind" --card "openr-tiny-$kind" --train_data_path "$rows" \
        --num_train_epochs "$JUDGE_EPOCHS" --total_batch_size 128
    judge as_judge "$kind" --RM "$kind" --controller_addr "http://127.0.0.1:$CONTROLLER_PORT"
done

set --
for kind in $KINDS $JUDGES; do
    set -- "$@" "$kind=$OUT/results/$kind-arithmetic" "$kind=$OUT/results/$kind-best_of_n"
done
"$PYTHON" -m prm.prm_table "$@" --markdown | tee "$OUT/table.md"
