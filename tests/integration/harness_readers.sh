#!/usr/bin/env bash
# Installs the two harnesses in an environment of their own and compares our readers with them.
set -euo pipefail
cd "$(dirname "$0")/../.."

home="$(mktemp -d)"
trap 'rm -rf "$home"' EXIT
uv venv --quiet --python "${PYTHON:-.venv/bin/python}" "$home/venv"
uv pip install --quiet --python "$home/venv/bin/python" \
    lm-eval==0.4.13 inspect-ai==0.3.285 inspect-evals==0.26.0 .
"$home/venv/bin/python" tests/integration/harness_readers.py
