#!/usr/bin/env bash
# Installs the wheel without extras, and uses the command in an empty folder outside any clone.
set -euo pipefail
cd "$(dirname "$0")/../.."

home="$(mktemp -d)"
trap 'rm -rf "$home"' EXIT
uv build --quiet --wheel --out-dir "$home/dist"
uv venv --quiet --python "${PYTHON:-3.11}" "$home/venv"
uv pip install --quiet --python "$home/venv/bin/python" "$home"/dist/*.whl
mkdir "$home/empty"
env -C "$home/empty" -u NEUROMAS_DATA NEUROMAS_CACHE="$home/cache" PATH="$home/venv/bin:$PATH" \
    "$home/venv/bin/python" "$PWD/tests/integration/installed.py"
