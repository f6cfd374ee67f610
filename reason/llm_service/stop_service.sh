#!/bin/sh
# Stop what a create_service_*.sh script started: sh reason/llm_service/stop_service.sh
# SESSION and LOGDIR as given to that script. Exit status 0 when nothing of it runs any more.
set -eu
cd "$(dirname "$0")/../.."

SESSION=${SESSION:-FastChat}
LOGDIR=${LOGDIR:-logs_fastchat}
GRACE_SECONDS=${GRACE_SECONDS:-15} # before a process that ignores the request is killed

ours() { # PID: whether it is a service; ids are given again to other processes
    case $(ps -p "$1" -o args= 2>/dev/null || true) in
        *reason.llm_service.workers.* | *fastchat.serve.controller*) return 0 ;;
        *) return 1 ;;
    esac
}

running() {
    for file in "$LOGDIR"/*.pid; do
        [ -f "$file" ] || continue
        pid=$(cat "$file")
        [ -z "$pid" ] || ! ours "$pid" || echo "$pid"
    done
}

pids=$(running)
[ -z "$pids" ] || kill $pids 2>/dev/null || true
controller=$(cat "$LOGDIR/controller.pid" 2>/dev/null || true) # its heart-beat thread outlives a polite end
[ -z "$controller" ] || ! ours "$controller" || kill -9 "$controller" 2>/dev/null || true
waited=0
while [ -n "$(running)" ] && [ "$waited" -lt "$GRACE_SECONDS" ]; do
    sleep 1
    waited=$((waited + 1))
done
left=$(running)
[ -z "$left" ] || kill -9 $left 2>/dev/null || true
if command -v tmux >/dev/null 2>&1 && tmux has-session -t "=$SESSION" 2>/dev/null; then
    tmux kill-session -t "=$SESSION"
fi
rm -f "$LOGDIR"/*.pid "$LOGDIR"/*_worker_*.sh "$LOGDIR"/controller.sh
if [ -n "$pids" ]; then echo "Stopped $(echo "$pids" | wc -l | tr -d ' ') processes"; else echo "Nothing of ours was running"; fi
