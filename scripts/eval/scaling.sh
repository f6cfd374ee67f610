#!/bin/sh
# Accuracy against budget: any set of methods at several budgets, then one table and the curves (report.py).
# Services must be running (reason/llm_service/create_service_tiny.sh). Finished runs are not run again, others are
# resumed where they were stopped, so the script can be started again, also with more METHODS, BUDGETS or SEEDS.
# Each variable can also be given from the environment: METHODS="cot best_of_n dvts" sh scripts/eval/scaling.sh
set -eu
cd "$(dirname "$0")/../.."

METHODS=${METHODS:-cot best_of_n beam_search dvts lookahead rebase particle_filtering vanila_mcts mcts_alpha \
    adaptive_best_of_n}
BUDGETS=${BUDGETS:-1 4 16 64} # best_of_n runs at the largest alone: the report subsamples the others from it
LM=${LM:-openr-tiny-policy}
RM=${RM:-openr-tiny-prm}
SCORERS=${SCORERS:-$RM}       # several: SCORERS="openr-tiny-prm oracle", where the task has an oracle
TASK_NAME=${TASK_NAME:-arithmetic}
LIMIT=${LIMIT:-1000}
SEEDS=${SEEDS:-0}             # several are averaged question by question
NUM_WORKER=${NUM_WORKER:-64}
CONTROLLER_ADDR=${CONTROLLER_ADDR:-http://127.0.0.1:28777}
SAVE_DIR=${SAVE_DIR:-results/scaling}
REPORT_DIR=${REPORT_DIR:-$SAVE_DIR/report}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

worst=0 # exit status: 1 when a run has failed questions; bad input and Ctrl-C end the script
folders=

# evaluate METHOD DIR ARGUMENTS...: one run below DIR, or what is left of it
evaluate() {
    method=$1 dir=$2
    shift 2
    run=$(ls -d "$dir/$TASK_NAME/$method"/*/ 2>/dev/null | head -n 1 || true)
    if [ -z "$run" ] || ! grep -q '"errors": 0,' "$run/avg_result.json" 2>/dev/null; then
        [ -z "$run" ] || set -- "$@" --resume_dir "$run"
        echo "==> $method in $dir"
        status=0
        "$PYTHON" reason/evaluation/evaluate.py --method "$method" --LM "$LM" --task_name "$TASK_NAME" \
            --limit "$LIMIT" --num_worker "$NUM_WORKER" --controller_addr "$CONTROLLER_ADDR" --save_dir "$dir" "$@" ||
            status=$?
        [ "$status" -le 1 ] || exit "$status"
        [ "$status" -eq 0 ] || worst=1
        run=$(ls -d "$dir/$TASK_NAME/$method"/*/ | head -n 1)
    fi
    folders="$folders $run"
}

# A finished run is not looked into again, so it must be of the same settings.
mkdir -p "$SAVE_DIR"
settings="LM=$LM TASK_NAME=$TASK_NAME LIMIT=$LIMIT${*:+ $*}"
[ -f "$SAVE_DIR/settings.txt" ] || printf '%s\n' "$settings" >"$SAVE_DIR/settings.txt"
if [ "$settings" != "$(cat "$SAVE_DIR/settings.txt")" ]; then
    printf 'scaling.sh: %s holds runs with %s, not %s: set SAVE_DIR\n' \
        "$SAVE_DIR" "$(cat "$SAVE_DIR/settings.txt")" "$settings" >&2
    exit 2
fi

largest=$(printf '%s\n' $BUDGETS | sort -n | tail -n 1)
for seed in $SEEDS; do
    for method in $METHODS; do
        if [ "$method" = cot ]; then
            [ "$seed" != "${SEEDS%% *}" ] || evaluate cot "$SAVE_DIR/greedy" --seed "$seed" "$@"
            continue
        fi
        for scorer in $SCORERS; do
            for budget in $BUDGETS; do
                [ "$method" != best_of_n ] || [ "$budget" = "$largest" ] || continue
                evaluate "$method" "$SAVE_DIR/$scorer/seed$seed/budget$budget" --RM "$scorer" --budget "$budget" \
                    --seed "$seed" "$@" # further flags of all runs: --temperature 0.8, --steps_per_solution 8
            done
        done
    done
done
"$PYTHON" reason/evaluation/report.py $folders --out "$REPORT_DIR" --budgets $BUDGETS
exit "$worst"
