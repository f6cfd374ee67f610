#!/bin/sh
# The README's table: greedy, best-of-16, beam search and MCTS on 1,000 test questions, with the PRM and with the
# oracle as scorer, three run seeds. Services must be running (reason/llm_service/create_service_tiny.sh).
# Each run is resumed where it was killed, so the script can be started again. Half an hour on two cores with
# ENGINE=transformers NUM_LM_WORKER=2.
set -eu
cd "$(dirname "$0")/../.."

LM=${LM:-openr-tiny-policy}
RM=${RM:-openr-tiny-prm}
TASK=${TASK:-arithmetic}
LIMIT=${LIMIT:-1000}
SEEDS=${SEEDS:-0 1 2}
SCORERS=${SCORERS:-$RM oracle}
BUDGET=${BUDGET:-16}               # solutions' worth of sampled steps
# MCTS samples more of the late steps, which are short: so many solutions' worth of its steps cost the tokens of 16
# sampled solutions (2,656 against 2,652 a question on 200 questions of the dev split)
MCTS_BUDGET=${MCTS_BUDGET:-21}
WIDTH=${WIDTH:-4}                  # of an expansion
NUM_WORKER=${NUM_WORKER:-256}
CONTROLLER_ADDR=${CONTROLLER_ADDR:-http://127.0.0.1:28777}
SAVE_DIR=${SAVE_DIR:-results/main_table}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

# evaluate METHOD SCORER SEED ARGUMENTS...: one run, in a folder of its own; finished ones are not run again
evaluate() {
    method=$1 scorer=$2 seed=$3
    shift 3
    dir=$SAVE_DIR/$scorer/seed$seed
    run=$(ls -d "$dir/$TASK/$method"/*/ 2>/dev/null | head -n 1 || true)
    if [ -n "$run" ] && [ -f "$run/avg_result.json" ]; then return 0; fi
    echo "$method, $scorer, seed $seed"
    if [ -n "$run" ]; then set -- "$@" --resume_dir "$run"; fi
    "$PYTHON" reason/evaluation/evaluate.py --LM "$LM" --task_name "$TASK" --method "$method" --seed "$seed" \
        --limit "$LIMIT" --num_worker "$NUM_WORKER" --controller_addr "$CONTROLLER_ADDR" --save_dir "$dir" "$@"
}

evaluate cot none 0
for seed in $SEEDS; do
    for scorer in $SCORERS; do
        first=${SCORERS%% *}
        if [ "$scorer" = "$first" ]; then
            evaluate best_of_n "$scorer" "$seed" --RM "$scorer" --budget "$BUDGET"
        elif [ ! -d "$SAVE_DIR/$scorer/seed$seed/$TASK/best_of_n" ]; then   # the same samples, scored again
            "$PYTHON" reason/evaluation/rescore.py "$SAVE_DIR/$first/seed$seed/$TASK/best_of_n"/*/ \
                --RM "$scorer" --save_dir "$SAVE_DIR/$scorer/seed$seed" --controller_addr "$CONTROLLER_ADDR"
        fi
        evaluate beam_search "$scorer" "$seed" --RM "$scorer" --budget "$BUDGET" --tree_max_width "$WIDTH"
        evaluate vanila_mcts "$scorer" "$seed" --RM "$scorer" --budget "$MCTS_BUDGET" --tree_max_width "$WIDTH"
    done
done
first=${SCORERS%% *} seed=${SEEDS%% *}
"$PYTHON" reason/evaluation/compare.py "$SAVE_DIR"/*/seed*/"$TASK"/*/*/ --pool_seeds --markdown \
    --json "$SAVE_DIR/table.json" \
    --against "$(ls -d "$SAVE_DIR/none/seed0/$TASK/cot"/*/ | head -n 1):headline" \
    --against "$(ls -d "$SAVE_DIR/$first/seed$seed/$TASK/best_of_n"/*/ | head -n 1):majority_vote"
