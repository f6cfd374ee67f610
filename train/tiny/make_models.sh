#!/bin/sh
# The embedded models from nothing: policy, Monte Carlo labels of its own solutions, PRM, the PRM's ceiling, figures.
# sh train/tiny/make_models.sh; about three hours on two cores, minutes on a GPU. What is there is not made again.
set -eu
cd "$(dirname "$0")/../.."

WORK=${WORK:-runs/tiny}             # folder of everything that is made
POLICY_TOKENS=${POLICY_TOKENS:-22e6}
QUESTIONS=${QUESTIONS:-1000}        # that are labelled by each of two processes, a core each
SAMPLES=${SAMPLES:-12}              # solutions a question, half of them from two earlier checkpoints
MORE_QUESTIONS=${MORE_QUESTIONS:-4000} # by each, with one solution; the right ones are for the pretraining
CORRUPTED_EPOCHS=${CORRUPTED_EPOCHS:-3}
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
[ -f "$WORK/prm-corrupted/model.safetensors" ] || "$PYTHON" -m train.tiny.train_prm --init "$WORK/policy" \
    --new_layers 2 --data "$WORK/right.jsonl" --labels corrupted --epochs "$CORRUPTED_EPOCHS" \
    --out "$WORK/prm-corrupted"
for labels in labels prefix_ok; do # the product, and the same from the oracle's labels
    [ -f "$WORK/prm-$labels/model.safetensors" ] || "$PYTHON" -m train.tiny.train_prm --init "$WORK/prm-corrupted" \
        --data "$WORK/labels.jsonl" --labels "$labels" --epochs "$EPOCHS" --lr 5e-4 --out "$WORK/prm-$labels"
done
"$PYTHON" -m train.tiny.gate --policy "$WORK/policy" --prm "$WORK/prm-labels" --prm "$WORK/prm-prefix_ok" \
    --samples "$WORK/samples.json" --out "$WORK/gate.json"
