#!/bin/sh
# Stop what a create_service_*.sh script started: sh reason/llm_service/stop_service.sh
# SESSION and LOGDIR as given to that script. Exit status 0 when nothing of it runs any more.
set -eu
cd "$(dirname "$0")/../.."

SESSION=${SESSION:-FastChat}
LOGDIR=${LOGDIR:-logs_fastchat}
GRACE_SECONDS=${GRACE_SECONDS:-15} # before a process that ignores the request is killed
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

exec "$PYTHON" -m reason.llm_service.serve --stop \
    --session "$SESSION" \
    --logdir "$LOGDIR" \
    --grace_seconds "$GRACE_SECONDS"
