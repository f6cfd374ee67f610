#!/bin/sh
# The embedded models from nothing: policy, Monte Carlo labels of its own solutions, PRM, the PRM's ceiling, figures.
# sh train/tiny/make_models.sh; about three hours on two cores, minutes on a GPU. What is there is not made again.
set -eu
cd "$(dirname "$0")/../.."

WORK=${WORK:-runs/tiny}             # folder of everything that is made
POLICY_TOKENS=${POLICY_TOKENS:-40e6}
QUESTIONS=${QUESTIONS:-2000}        # that are labelled
SAMPLES=${SAMPLES:-12}              # solutions a question, half of them from two earlier checkpoints
EPOCHS=${EPOCHS:-8}                 # of the PRM; all but the last with corrupted copies
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

mkdir -p "$WORK"
[ -d "$WORK/policy" ] || "$PYTHON" -m train.tiny.train_policy --out "$WORK/policy" --tokens "$POLICY_TOKENS" \
    --batch_tokens 4096 --lr 2e-3 --checkpoints 0.8,0.9
[ -f "$WORK/labels.jsonl" ] || "$PYTHON" -m train.tiny.label_steps --policy "$WORK/policy" \
    --checkpoint "$WORK/policy-0.8" --checkpoint "$WORK/policy-0.9" --questions "$QUESTIONS" --samples "$SAMPLES" \
    --out "$WORK/labels.jsonl"
for labels in labels prefix_ok; do # the product, and the same from the oracle's labels
    [ -d "$WORK/prm-$labels" ] || "$PYTHON" -m train.tiny.train_prm --policy "$WORK/policy" \
        --data "$WORK/labels.jsonl" --labels "$labels" --epochs "$EPOCHS" --out "$WORK/prm-$labels"
done
"$PYTHON" -m train.tiny.gate --policy "$WORK/policy" --prm "$WORK/prm-labels" --prm "$WORK/prm-prefix_ok" \
    --samples "$WORK/samples.json" --out "$WORK/gate.json"
