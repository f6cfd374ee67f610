#!/bin/sh
# What ways of labelling are worth to a PRM of the embedded task: OmegaPRM, rollouts from every step of sampled solutions
# at the same number of rollouts (uniform), from every step of eight solutions a question (all_steps), and the oracle's
# labels on the solutions of the last: the ceiling. PRMs from the same base, and one table of them.
# sh train/tiny/label_kinds.sh RUN_DIR, a best_of_n run of reason/evaluation/evaluate.py on the test split, whose samples
# all are judged on. After train/tiny/make_models.sh; policy workers must run (reason/llm_service/create_service_tiny.sh).
# What is there is kept.
set -eu
cd "$(dirname "$0")/../.."
[ $# = 1 ] && [ -f "$1/record.jsonl" ] || { echo "usage: sh train/tiny/label_kinds.sh RUN_DIR (of best_of_n)" >&2; exit 2; }

RUN=$1
WORK=${WORK:-runs/tiny}             # of make_models.sh
OUT=${OUT:-$WORK/label_kinds}
LM=${LM:-openr-tiny-policy}
LIMIT=${LIMIT:-2000}                # questions of the train split; of many no solution is wrong, or none right
BUDGET=${BUDGET:-200}               # rollouts a question at most
UNIFORM_LIMIT=${UNIFORM_LIMIT:-1014} # questions of uniform: so many that it spends the rollouts of OmegaPRM, see summary.json
K=${K:-16}                          # rollouts a point
ALL_STEPS_LIMIT=${ALL_STEPS_LIMIT:-1000} # questions of all_steps, whatever that costs
SOLUTIONS=${SOLUTIONS:-8}           # of each of them
EPOCHS=${EPOCHS:-4}
CONTROLLER_ADDR=${CONTROLLER_ADDR:-http://127.0.0.1:${CONTROLLER_PORT:-28777}}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

# label KIND ARGUMENTS...: rows of the common format in OUT/KIND.jsonl; a killed run goes on
label() {
    kind=$1
    shift
    [ ! -f "$OUT/$kind.jsonl" ] || return 0
    "$PYTHON" data/omegaprm/run_omegaprm.py --LM "$LM" --task_name arithmetic --limit "$LIMIT" --num_rollouts "$K" \
        --temperature 1 --seed 1 --controller_addr "$CONTROLLER_ADDR" --output_dir "$OUT/$kind-run" "$@"
    mkdir -p "$OUT/$kind-rows"
    "$PYTHON" data/preprocess/cli.py omegaprm "$OUT/$kind-run/arithmetic-aps-v2.jsonl" --output-dir "$OUT/$kind-rows" -s "$kind"
    mv "$OUT/$kind-rows"/*."$kind".jsonl "$OUT/$kind.jsonl"
}

mkdir -p "$OUT/results"
label omegaprm --rollout_budget "$BUDGET"
label uniform --limit "$UNIFORM_LIMIT" --method all_steps --rollout_budget "$BUDGET" --num_solutions "$BUDGET"
label all_steps --limit "$ALL_STEPS_LIMIT" --method all_steps --rollout_budget 100000 --num_solutions "$SOLUTIONS"
[ -f "$OUT/oracle.jsonl" ] || "$PYTHON" -m train.tiny.oracle_labels "$OUT/all_steps.jsonl" "$OUT/oracle.jsonl"

set --
for kind in omegaprm uniform all_steps oracle; do
    [ -f "$OUT/$kind/model.safetensors" ] || "$PYTHON" prm/code/finetune.py --model_path "$WORK/prm-corrupted" \
        --card openr-tiny-prm --full --train_data_path "$OUT/$kind.jsonl" --num_train_epochs "$EPOCHS" \
        --total_batch_size 32 --learning_rate 5e-4 --weight_decay 0.05 --dtype bf16 --save_dtype bf16 \
        --output_dir "$OUT/$kind"
    for benchmark in "arithmetic --run $RUN" "best_of_n $RUN"; do
        out=$OUT/results/$kind-${benchmark%% *}
        [ -f "$out/result.json" ] || "$PYTHON" prm/evaluate.py $benchmark --model_path "$OUT/$kind" --out "$out"
        set -- "$@" "$kind=$out"
    done
done
"$PYTHON" -m data.preprocess.stats "$OUT/omegaprm.jsonl" "$OUT/uniform.jsonl" "$OUT/all_steps.jsonl" "$OUT/oracle.jsonl"
"$PYTHON" -m prm.prm_table "$@" --markdown | tee "$OUT/table.md"
