#!/usr/bin/env bash
# Runs core tests with the lowest or the newest versions of all that the package names:
#   versions.sh lowest|newest
# PYTHON is the interpreter; by default the oldest one supported, or the newest one found.
set -euo pipefail
cd "$(dirname "$0")/../.."

case "${1-}" in
    lowest) options=(--resolution lowest-direct) pythons="3.11" ;;
    newest) options=() pythons="3.14 3.13 3.12 3.11" ;;
    *) echo "usage: versions.sh lowest|newest" >&2; exit 2 ;;
esac
# pyenv hides the interpreters that are not chosen.
for folder in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin; do PATH="$PATH:$folder"; done
for version in ${PYTHON:-$pythons}; do
    python="$(uv python find --no-project "$version" 2>/dev/null)" && break
done

home="$(mktemp -d)"
trap 'rm -rf "$home"' EXIT
unset UV_COMPILE_BYTECODE  # most of what is installed is not imported
uv venv --quiet --python "${python:-$version}" "$home/venv"
install=(uv pip install --quiet --python "$home/venv/bin/python")
"${install[@]}" "${options[@]}" --editable '.[llm,bench,code]'
"${install[@]}" pytest pytest-xdist hypothesis jsonschema markdown-it-py
"$home/venv/bin/python" --version
uv pip list --quiet --python "$home/venv/bin/python" | grep -iE \
    '^(accelerate|datasets|gymnasium|numpy|openai|peft|pettingzoo|rich|scipy|torch|transformers|typer) '

core=(
    tests/test_topology.py tests/test_config.py tests/test_registry.py tests/test_rollout.py
    tests/test_plugins.py tests/envs tests/testing
    tests/tasks/test_{hierarchy,qa,registry,code,sources}.py
    tests/agents/engines/{test_models.py,test_transformers.py,test_openai.py,forward}
    tests/agents/learners/test_{reinforce,actor_critic}.py tests/baselines/test_agentnet_state.py
    tests/bench/test_{statistics,store,report}.py tests/experiments/test_spec.py
)
test=("$home/venv/bin/python" -m pytest -p no:cacheprovider)
"${test[@]}" -m "not slow and not model" "${core[@]}"
# Whole trainings of a tiny model, resumed and grown ones among them, and the command.
"${test[@]}" -m "not model" tests/cli/test_app.py tests/agents/training/test_api.py \
    tests/agents/training/test_growth.py
