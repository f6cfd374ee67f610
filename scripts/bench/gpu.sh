#!/bin/sh
# What a machine with one CUDA GPU shows, in one call and one JSON file, in under 10 minutes: bash scripts/bench/gpu.sh
# Needs what scripts/setup_env.sh installs there, and no hub: the models are made on the spot. See docs/gpu.md.
# Without a GPU: sh scripts/bench/gpu.sh --rehearsal, the same steps with models of a toy's size.
set -eu
cd "$(dirname "$0")/../.."

OUT=${OUT:-results/gpu}                # folder of the models, the logs and gpu.json
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

exec "$PYTHON" -m scripts.bench.gpu --out "$OUT" --json "$OUT/gpu.json" "$@" # further flags, such as --engines vllm
