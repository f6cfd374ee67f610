#!/bin/sh
# The embedded models from nothing: policy, Monte Carlo labels of its own solutions, PRM, figures.
# sh train/tiny/make_models.sh; about two hours on two cores, minutes on a GPU. What is there is not made again.
set -eu
cd "$(dirname "$0")/../.."

WORK=${WORK:-runs/tiny}             # folder of everything that is made
POLICY_TOKENS=${POLICY_TOKENS:-22e6}
QUESTIONS=${QUESTIONS:-1000}        # that are labelled by each of two processes, a core each
SAMPLES=${SAMPLES:-12}              # solutions a question, half of them from two earlier checkpoints
MORE_QUESTIONS=${MORE_QUESTIONS:-4000} # by each, with one solution; the right ones are for the pretraining
PRETRAINING_EPOCHS=${PRETRAINING_EPOCHS:-3}
EPOCHS=${EPOCHS:-4}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

# label FILE SEEDS ARGUMENTS...: label_steps with each of two seeds at the same time, rows of both into FILE
label() {
    file=$1 first=$2 second=$3
    shift 3
    if [ -f "$file" ]; then return 0; fi
    OMP_NUM_THREADS=1 "$PYTHON" -m train.tiny.label_steps "$@" --seed "$first" --out "$file.$first" & pid=$!
    OMP_NUM_THREADS=1 "$PYTHON" -m train.tiny.label_steps "$@" --seed "$second" --out "$file.$second"
    wait "$pid"
    cat "$file.$first" "$file.$second" > "$file"
}

mkdir -p "$WORK"
[ -f "$WORK/policy/model.safetensors" ] || "$PYTHON" -m train.tiny.train_policy --out "$WORK/policy" \
    --tokens "$POLICY_TOKENS" --batch_tokens 2048 --lr 1.5e-3 --checkpoints 0.8,0.9
label "$WORK/labels.jsonl" 0 1 --policy "$WORK/policy" --checkpoint "$WORK/policy-0.8" \
    --checkpoint "$WORK/policy-0.9" --questions "$QUESTIONS" --samples "$SAMPLES" --paths 3 --k 8
label "$WORK/more.jsonl" 2 3 --policy "$WORK/policy" --questions "$MORE_QUESTIONS" --samples 1 --paths 0
[ -f "$WORK/right.jsonl" ] || cat "$WORK/labels.jsonl" "$WORK/more.jsonl" > "$WORK/right.jsonl"
[ -f "$WORK/prm-corrupted/model.safetensors" ] || "$PYTHON" -m train.tiny.pretrain_prm --init "$WORK/policy" \
    --data "$WORK/right.jsonl" --epochs "$PRETRAINING_EPOCHS" --out "$WORK/prm-corrupted"
[ -f "$WORK/labels-common.jsonl" ] || "$PYTHON" -m train.tiny.common_rows "$WORK/labels.jsonl" "$WORK/labels-common.jsonl"
[ -f "$WORK/prm/model.safetensors" ] || "$PYTHON" prm/code/finetune.py --model_path "$WORK/prm-corrupted" \
    --card openr-tiny-prm --full --train_data_path "$WORK/labels-common.jsonl" --num_train_epochs "$EPOCHS" \
    --total_batch_size 32 --learning_rate 5e-4 --weight_decay 0.05 --dtype bf16 --save_dtype bf16 \
    --output_dir "$WORK/prm"
"$PYTHON" -m train.tiny.gate --policy "$WORK/policy" --prm "$WORK/prm" --samples "$WORK/samples.json" \
    --out "$WORK/gate.json"
