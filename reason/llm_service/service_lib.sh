#!/bin/sh
# What the create_service_*.sh scripts share. They set their variables, source this from the repository's root, and
# call start_services. Runs under any POSIX sh.

HOST_ADDR=${HOST_ADDR:-127.0.0.1}             # where everything listens; 0.0.0.0: reachable from other machines
CONTROLLER_PORT=${CONTROLLER_PORT:-28777}
WORKER_BASE_PORT=${WORKER_BASE_PORT:-30010}   # first LM worker; the others follow, then the RM workers
CUDA_DEVICE_BASE=${CUDA_DEVICE_BASE:-0}       # first GPU, where LM_GPUS and RM_GPUS are empty
LM_GPUS=${LM_GPUS:-}
RM_GPUS=${RM_GPUS:-}
GPU_MEMORY_UTILIZATION=${GPU_MEMORY_UTILIZATION:-} # of vLLM; default 0.9 shared by the workers of a GPU
MAX_CORES=${MAX_CORES:-0}                     # cores a worker takes at most, without a GPU; 0: its whole share
LM_ARGS=${LM_ARGS:-}                          # further arguments of the LM workers
RM_ARGS=${RM_ARGS:-}
LOGDIR=${LOGDIR:-logs_fastchat}               # logs and pid files
SESSION=${SESSION:-FastChat}                  # of tmux
READY_SECONDS=${READY_SECONDS:-1800}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

# A worker that died leaves the controller's list within these seconds.
export FASTCHAT_WORKER_HEART_BEAT_INTERVAL="${FASTCHAT_WORKER_HEART_BEAT_INTERVAL:-10}"
export FASTCHAT_CONTROLLER_HEART_BEAT_EXPIRATION="${FASTCHAT_CONTROLLER_HEART_BEAT_EXPIRATION:-30}"

fail() { # MESSAGE
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit 2
}

has_module() { # MODULE...: whether all can be imported
    "$PYTHON" -c 'import sys, importlib.util as u; sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))' "$@"
}

model_path() { # NAME
    if [ -n "$MODEL_BASE" ]; then printf '%s\n' "${MODEL_BASE%/}/$1"; else printf '%s\n' "$1"; fi
}

nth() { # INDEX WORD...: the word of that index, from the beginning again after the last one
    index=$1
    shift
    shift $((index % $#))
    printf '%s\n' "$1"
}

# The checks; nothing is started before all of them pass.

check_python() {
    command -v "$PYTHON" >/dev/null 2>&1 ||
        fail "there is no $PYTHON: sh scripts/setup_env.sh makes .venv, or set PYTHON"
    has_module fastchat torch transformers uvicorn ||
        fail "$PYTHON lacks fastchat, torch, transformers or uvicorn: sh scripts/setup_env.sh installs them"
}

check_model() { # VARIABLE NAME
    [ -n "$2" ] || fail "$1 is empty: it names a model"
    [ -z "$MODEL_BASE" ] || [ -d "$(model_path "$2")" ] ||
        fail "no model at $(model_path "$2") ($1): set MODEL_BASE to the folder of $2, or empty to take it from the hub"
}

check_port() { # VARIABLE PORT
    "$PYTHON" - "$HOST_ADDR" "$2" <<'EOF' && return
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        s.bind((host, port))
    except (OSError, OverflowError):
        sys.exit(1)
EOF
    fail "port $2 of $HOST_ADDR is taken or cannot be used: stop_service.sh ends our services, or set $1"
}

choose_engine() {
    if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then
        GPUS=$(nvidia-smi -L | wc -l)
    else
        GPUS=0
    fi
    case $ENGINE in
        transformers) ;;
        vllm) has_module vllm || fail "ENGINE=vllm, but $PYTHON has no vllm: install it or set ENGINE=transformers" ;;
        auto)
            ENGINE=transformers
            if ! has_module vllm; then
                echo "vLLM is not installed: the LM is served with transformers"
            elif [ "$GPUS" -eq 0 ] && ! grep -q avx512f /proc/cpuinfo 2>/dev/null; then
                echo "vLLM needs a GPU or a CPU with AVX-512: the LM is served with transformers"
            else
                ENGINE=vllm
            fi
            ;;
        *) fail "ENGINE is vllm, transformers or auto, not $ENGINE" ;;
    esac
}

# Who computes where.

lay_out_gpus() { # fills LM_GPUS and RM_GPUS where they are empty: one GPU a worker, shared when there are too few
    [ "$GPUS" -gt 0 ] || return 0
    worker=0
    for kind in LM RM; do
        eval "given=\$${kind}_GPUS number=\$NUM_${kind}_WORKER words="
        while [ "$number" -gt 0 ]; do
            words="$words $(((CUDA_DEVICE_BASE + worker) % GPUS))"
            worker=$((worker + 1))
            number=$((number - 1))
        done
        [ -n "$given" ] || eval "${kind}_GPUS=\$words"
    done
}

gpu_share() { # GPU: how much of it a vLLM worker may take
    [ -z "$GPU_MEMORY_UTILIZATION" ] || { echo "$GPU_MEMORY_UTILIZATION"; return; }
    sharers=0
    for kind in LM RM; do
        eval "number=\$NUM_${kind}_WORKER words=\$${kind}_GPUS"
        while [ "$number" -gt 0 ]; do
            number=$((number - 1))
            case ",$(nth "$number" $words)," in *",${1%%,*},"*) sharers=$((sharers + 1)) ;; esac
        done
    done
    awk "BEGIN {printf \"%.2f\", 0.9 / $sharers}"
}

cores_of() { # WORKER: its cores, as 0,1,2, of an even share, at most MAX_CORES; empty: fewer cores than workers
    "$PYTHON" - "$1" "$((NUM_LM_WORKER + NUM_RM_WORKER))" "$MAX_CORES" <<'EOF'
import os, sys
worker, workers, most = map(int, sys.argv[1:])
cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
share = len(cores) // workers
first = worker * share
print(*cores[first : first + (min(share, most) if most else share)], sep=",")
EOF
}

# Processes: windows of a tmux session, or plain background processes. Each has NAME.sh, .log and .pid in LOGDIR.

quoted() { # TEXT: for another shell to read
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

exports() { # what decides how models run: a tmux server hands on the environment that it was started in, not ours
    env | grep -E '^(PATH|(LD|HF|HUGGINGFACE|TRANSFORMERS|TORCH|CUDA|NCCL|VLLM|FASTCHAT|OMP|KMP|MKL)_[A-Z0-9_]*)=' |
        while IFS= read -r line; do printf 'export %s=%s\n' "${line%%=*}" "$(quoted "${line#*=}")"; done
}

launch() ( # NAME COMMAND...
    umask 077 # a token of the hub may be among the variables
    name=$1
    shift
    {
        exports
        printf 'echo $$ >%s\nexec' "'$LOGDIR/$name.pid'"
        for word in "$@"; do printf " '%s'" "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"; done
        printf ' 2>&1\n'
    } >"$LOGDIR/$name.sh"
    : >"$LOGDIR/$name.pid"
    if [ "$TMUX_IS" = no ]; then
        nohup sh "$LOGDIR/$name.sh" >"$LOGDIR/$name.log" </dev/null 2>&1 &
        exit
    fi
    run="sh '$LOGDIR/$name.sh' | tee '$LOGDIR/$name.log'"
    if tmux has-session -t "=$SESSION" 2>/dev/null; then
        tmux new-window -d -t "=$SESSION:" -n "$name" -c "$PWD" "$run"
    else
        tmux new-session -d -s "$SESSION" -n "$name" -c "$PWD" "$run"
        tmux set-option -t "$SESSION" remain-on-exit on >/dev/null # what a worker said last stays readable
    fi
)

launch_worker() { # NAME NUMBER MODULE MODEL GPU ARGUMENTS...
    name=$1 number=$2 module=$3 model=$4 gpu=$5
    shift 5
    set -- "$PYTHON" -m "reason.llm_service.workers.$module" --host "$HOST_ADDR" --port $((WORKER_BASE_PORT + number)) \
        --controller-address "$CONTROLLER_ADDR" --model-path "$model" "$@"
    if [ "$GPUS" -gt 0 ]; then
        set -- env "CUDA_VISIBLE_DEVICES=$gpu" "$@"
    else
        cores=$(cores_of "$number")
        threads=$(echo "${cores:-0}" | tr ',' '\n' | wc -l | tr -d ' ')
        if [ "$module" = vllm_worker ]; then # binds its threads itself
            [ -z "$cores" ] || set -- env "VLLM_CPU_OMP_THREADS_BIND=${VLLM_CPU_OMP_THREADS_BIND:-$cores}" "$@"
        else
            [ "$threads" -lt 2 ] || ! command -v taskset >/dev/null 2>&1 || set -- taskset -c "$cores" "$@"
            set -- env "OMP_NUM_THREADS=${OMP_NUM_THREADS:-$threads}" "$@"
        fi
    fi
    launch "$name" env "PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 "$@"
}

abandon() {
    status=$?
    [ "$status" -eq 0 ] || SESSION=$SESSION LOGDIR=$LOGDIR sh reason/llm_service/stop_service.sh >/dev/null 2>&1 || true
    exit "$status"
}

start_services() {
    check_python
    check_model POLICY_MODEL_NAME "$POLICY_MODEL_NAME"
    [ "$NUM_RM_WORKER" -eq 0 ] || check_model VALUE_MODEL_NAME "$VALUE_MODEL_NAME"
    choose_engine
    TMUX_IS=yes
    command -v tmux >/dev/null 2>&1 || TMUX_IS=no
    if [ "$TMUX_IS" = yes ] && tmux has-session -t "=$SESSION" 2>/dev/null; then
        fail "the tmux session $SESSION exists: stop_service.sh ends it, or set SESSION"
    fi
    check_port CONTROLLER_PORT "$CONTROLLER_PORT"
    workers=$((NUM_LM_WORKER + NUM_RM_WORKER))
    number=0
    while [ "$number" -lt "$workers" ]; do
        check_port WORKER_BASE_PORT $((WORKER_BASE_PORT + number))
        number=$((number + 1))
    done

    case $HOST_ADDR in
        0.0.0.0) CONTROLLER_ADDR=http://127.0.0.1:$CONTROLLER_PORT ;;
        *) CONTROLLER_ADDR=http://$HOST_ADDR:$CONTROLLER_PORT ;;
    esac
    mkdir -p "$LOGDIR"
    rm -f "$LOGDIR"/*.pid
    case $PYTHON in /*) ;; */*) PYTHON=$PWD/$PYTHON ;; esac
    trap abandon EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    lay_out_gpus

    # LOGDIR is FastChat's variable too: empty, it writes no file of its own.
    launch controller env LOGDIR= PYTHONUNBUFFERED=1 "$PYTHON" -m fastchat.serve.controller \
        --host "$HOST_ADDR" --port "$CONTROLLER_PORT" --dispatch-method shortest_queue
    i=0
    while [ "$i" -lt "$NUM_LM_WORKER" ]; do
        gpu=
        [ "$GPUS" -eq 0 ] || gpu=$(nth "$i" $LM_GPUS)
        set -- $LM_ARGS
        module=model_worker
        if [ "$ENGINE" = vllm ]; then
            module=vllm_worker
            [ "$GPUS" -eq 0 ] || set -- --gpu-memory-utilization "$(gpu_share "$gpu")" \
                --num-gpus "$(echo "$gpu" | tr ',' '\n' | wc -l | tr -d ' ')" "$@"
        fi
        launch_worker "policy_worker_$i" "$i" "$module" "$(model_path "$POLICY_MODEL_NAME")" "$gpu" "$@"
        i=$((i + 1))
    done
    i=0
    while [ "$i" -lt "$NUM_RM_WORKER" ]; do
        gpu=
        [ "$GPUS" -eq 0 ] || gpu=$(nth "$i" $RM_GPUS)
        set -- $RM_ARGS
        launch_worker "value_worker_$i" $((NUM_LM_WORKER + i)) reward_model_worker \
            "$(model_path "$VALUE_MODEL_NAME")" "$gpu" "$@"
        i=$((i + 1))
    done

    set -- "$(basename "$POLICY_MODEL_NAME")"
    [ "$NUM_RM_WORKER" -eq 0 ] || set -- "$@" "$(basename "$VALUE_MODEL_NAME")"
    place="as background processes (there is no tmux)"
    [ "$TMUX_IS" = no ] || place="in the tmux session $SESSION (tmux attach -t $SESSION)"
    echo "Starting $* with $ENGINE, logs in $LOGDIR, $place"
    "$PYTHON" -m reason.llm_service.wait_ready --controller-address "$CONTROLLER_ADDR" --models "$@" \
        --workers "$workers" --timeout "$READY_SECONDS" --logs "$LOGDIR"
    stop="sh reason/llm_service/stop_service.sh"
    [ "$SESSION $LOGDIR" = "FastChat logs_fastchat" ] || stop="SESSION=$SESSION LOGDIR=$LOGDIR $stop"
    echo "Controller: $CONTROLLER_ADDR. Stop with: $stop"
}
