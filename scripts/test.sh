#!/bin/sh
# Installs what the tests need, checks style and types, and runs all tests, the slow ones last:
# bash scripts/test.sh [PYTEST_ARGUMENT...]
#
# Exit status: that of the first of setup_env.sh, ruff, mypy and pytest that fails. VLLM=none leaves vLLM and its tests out.
set -eu
cd "$(dirname "$0")/.."

VLLM=${VLLM:-cpu} # vLLM's tests need it; where it should run and cannot, they fail
export VLLM
sh scripts/setup_env.sh dev
PATH=$(cd "${VENV:-.venv}/bin" && pwd):$PATH
export PATH

# Two torch threads beside a busy engine on two cores take turns waiting for each other.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export OMP_NUM_THREADS HF_HUB_OFFLINE TOKENIZERS_PARALLELISM

ruff check .
ruff format --check .
mypy
exec python -m pytest --durations=10 "$@"
