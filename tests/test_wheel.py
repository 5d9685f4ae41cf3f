"""The wheel: what is in it, and that the demo runs from it alone, in an empty folder, without torch.

Needs a package index: setuptools to build it, and the dependencies of the `cpu` extra.
"""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
ROOMS = ("engines", "export", "runtime", "training")


def run(*command: str | Path, cwd: Path) -> str:
    """What `command` prints, in an environment that knows nothing of this checkout."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, so that nothing left over from an older build gets in."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for name in ("src", *ROOMS):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, source, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_holds_every_module_and_no_other(names):
    code = {f"handfirst/{path.relative_to(ROOT)}" for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == {"handfirst/__init__.py", *code}


def test_it_holds_the_data(names):
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    listed = set()
    for package, patterns in data.items():
        room = package.removeprefix("handfirst").lstrip(".").replace(".", "/")
        folder = ROOT / (room or "src/handfirst")
        found = [path.relative_to(folder) for pattern in patterns for path in folder.glob(pattern)]
        listed |= {f"{package.replace('.', '/')}/{path}" for path in found}
    assert listed <= names
    assert {
        "handfirst/py.typed",
        "handfirst/engines/bundles/demo/manifest.json",
        "handfirst/engines/bundles/repair/manifest.json",
        "handfirst/engines/bundles/sample/manifest.json",
        "handfirst/runtime/systems/two_stage/demo_pose.json",
        "handfirst/training/systems/two_stage/configs/demo.toml",
    } <= names


def test_nothing_else_is_in_it(names):
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"handfirst"}
    assert {name.split("/")[1] for name in names if name.startswith("handfirst/")} == {
        "__init__.py",
        "py.typed",
        *ROOMS,
    }


def test_the_demo_runs_from_it_in_an_empty_folder(wheel, tmp_path):
    environment, empty = tmp_path / "venv", tmp_path / "empty"
    venv.create(environment)
    empty.mkdir()
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    pip = (sys.executable, "-m", "pip", "--python", scripts / "python")
    run(*pip, "install", "--quiet", "--no-compile", f"{wheel}[cpu]", cwd=empty)
    run(scripts / "python", "-c", "import importlib.util as u; assert u.find_spec('torch') is None", cwd=empty)
    assert "result.png" in run(scripts / "handfirst", "demo", cwd=empty)
    assert (empty / "handfirst-demo/result.png").stat().st_size > 1000
    assert run(scripts / "handfirst", "--version", cwd=empty).startswith("handfirst ")
