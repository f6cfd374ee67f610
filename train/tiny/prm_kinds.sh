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

# judge NAME ARGUMENTS...: both benchmarks of one PRM
judge() {
    name=$1
    shift
    for benchmark in "arithmetic --run $RUN" "best_of_n $RUN"; do
        out=$OUT/results/$name-${benchmark%% *}
        # A judge may leave a step without a verdict: counted, and left out.
        [ -f "$out/result.json" ] || "$PYTHON" prm/evaluate.py $benchmark "$@" --skip_bad_rows --out "$out"
    done
}

# serve FOLDER LM PRM
serve() { MODEL_BASE=$1 POLICY_MODEL_NAME=$2 VALUE_MODEL_NAME=$3 sh reason/llm_service/create_service_tiny.sh; }
stop() { sh reason/llm_service/stop_service.sh; }

mkdir -p "$OUT/results"
[ -f "$OUT/labels.jsonl" ] || "$PYTHON" -m train.tiny.common_rows "$WORK/labels.jsonl" "$OUT/labels.jsonl"
[ -f "$OUT/oracle.jsonl" ] || "$PYTHON" -m train.tiny.oracle_labels "$OUT/labels.jsonl" "$OUT/oracle.jsonl"

for kind in $KINDS; do
    case $kind in oracle) labels=hard data=$OUT/oracle.jsonl ;; *) labels=$kind data=$OUT/labels.jsonl ;; esac
    train prm/code/finetune.py "$OUT/$kind" --card openr-tiny-prm --full --labels "$labels" --train_data_path "$data" \
        --num_train_epochs "$EPOCHS" --total_batch_size 32
    judge "$kind" --model_path "$OUT/$kind"
done

for kind in $JUDGES; do
    rows=$OUT/$kind.jsonl writer=
    if [ ! -f "$rows" ]; then
        if [ "$kind" = reasoning-judge ]; then # the policy writes its rationales
            serve reason/llm_service/models openr-tiny-policy openr-tiny-prm
            writer="--LM openr-tiny-policy --task_name arithmetic --controller_addr http://127.0.0.1:$CONTROLLER_PORT"
        fi
        "$PYTHON" prm/generative/make_data.py "$OUT/labels.jsonl" --card "openr-tiny-$kind" --out "$rows" $writer
        [ -z "$writer" ] || stop
    fi
    train prm/generative/finetune.py "$OUT/$kind" --card "openr-tiny-$kind" --train_data_path "$rows" \
        --num_train_epochs "$JUDGE_EPOCHS" --total_batch_size 128
    if [ ! -f "$OUT/results/$kind-best_of_n/result.json" ]; then
        serve "$OUT" "$kind" hard
        judge "$kind" --RM "$kind" --controller_addr "http://127.0.0.1:$CONTROLLER_PORT" || { stop; exit 1; }
        stop
    fi
done

set --
for kind in $KINDS $JUDGES; do
    set -- "$@" "$kind=$OUT/results/$kind-arithmetic" "$kind=$OUT/results/$kind-best_of_n"
done
"$PYTHON" prm/prm_table.py "$@" --markdown | tee "$OUT/table.md"
