"""The project as others get it: wheel, light import, documented code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest
from support.paths import ROOT

PACKAGES = ("agents", "tasks", "baselines")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the sources, so that no left-over of a build can get into it."""
    source = tmp_path_factory.mktemp("source")
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    for name in tracked:
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    run(["uv", "build", "--wheel", "--quiet", "--out-dir", str(source / "dist")], cwd=source)
    [built] = (source / "dist").glob("*.whl")
    return built


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_wheel_holds_every_source_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "neuromas_env"
    specs = (path for path in (package / "experiments" / "specs").rglob("*") if path.is_file())
    sources = {str(path.relative_to(ROOT)) for path in (*package.rglob("*.py"), *specs)}
    assert {name for name in sources if "__pycache__" not in name} <= names
    assert "neuromas_env/experiments/specs/marl/experiment.yaml" in names
    assert "neuromas_env/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"neuromas_env"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_installed_wheel_works(wheel, tmp_path):
    run(["uv", "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")])
    python = tmp_path / "venv" / "bin" / "python"
    install = ["uv", "pip", "install", "--quiet", "--no-deps", "--python", str(python)]
    run([*install, str(wheel)])
    code = "import neuromas_env, neuromas_env.cli.app as cli\n" + "\n".join(
        f"import neuromas_env.{name}" for name in PACKAGES
    )
    # Its dependencies come from this environment; the package itself must not.
    code = f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})\n{code}"
    code += "\nprint(neuromas_env.__file__)\ncli.main({})"
    output = run([str(python), "-c", code.format(["list", "tasks"])], cwd=tmp_path)
    assert output.startswith(str(tmp_path / "venv"))
    assert "hierarchy/max" in output
    output = run([str(python), "-c", code.format(["experiment", "--list"])], cwd=tmp_path)
    assert "parameters" in output and "marl" in output


@pytest.mark.parametrize("name", PACKAGES)
def test_links_at_the_root(name):
    assert (ROOT / name).is_symlink()
    assert os.readlink(ROOT / name) == f"neuromas_env/{name}"


def test_core_and_command_import_no_torch():
    code = (
        "import sys, neuromas_env, neuromas_env.rollout, neuromas_env.neuromas_v0\n"
        "import neuromas_env.cli.app\n"
        "try:\n    neuromas_env.cli.app.main(['train', '--help'])\nexcept SystemExit as end:\n"
        "    assert end.code == 0\n"
        "print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    assert run([sys.executable, "-c", code]).splitlines()[-1] == "[]"


def test_python_in_the_readme_runs(capsys):
    [loop] = blocks("README.md")
    execute(loop)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if " reads " in line]
    assert len(loop.splitlines()) <= 12


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)


def execute(block):
    names = {"__name__": "docs"}
    exec(block, names)
    return names


def test_lock_file_names_public_hosts_only():
    hosts = set(re.findall(r'https?://([^/"]+)', (ROOT / "uv.lock").read_text()))
    assert hosts <= {"pypi.org", "files.pythonhosted.org"}
