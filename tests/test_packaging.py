"""What goes into the wheel follows from the folders, and nothing can fall out of it in silence."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("engines", "export", "runtime", "training")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def folder_of(package: str) -> Path:
    """Where a package's files lie."""
    room = package.removeprefix("handfirst").lstrip(".").replace(".", "/")
    return ROOT / (room or "src/handfirst")


def test_the_package_list_equals_the_folders():
    folders = {
        ".".join(("handfirst", *path.parent.relative_to(ROOT).parts))
        for room in ROOMS
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert SETUPTOOLS["packages"] == sorted({"handfirst", *folders})


def test_every_folder_with_code_is_a_package():
    with_code = {path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert [str(folder) for folder in with_code if not (folder / "__init__.py").is_file()] == []


def test_every_room_has_its_folder():
    folders = {"handfirst": "src/handfirst", **{f"handfirst.{room}": room for room in ROOMS}}
    assert SETUPTOOLS["package-dir"] == folders


def test_the_root_of_the_package_holds_its_names_alone():
    """A room must not hide there as well, or an import would find one of two."""
    assert {path.name for path in (ROOT / "src/handfirst").iterdir()} - {"__pycache__"} == {"__init__.py", "py.typed"}


def test_no_links():
    """They break a checkout on Windows and hide the structure from tools."""
    assert [str(path) for room in ("src", *ROOMS) for path in (ROOT / room).rglob("*") if path.is_symlink()] == []


def test_listed_data_files_exist():
    missing = [
        f"{package}: {pattern}"
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        if not list(folder_of(package).glob(pattern))
    ]
    assert missing == []


def test_only_listed_data_goes_into_the_wheel():
    assert SETUPTOOLS["include-package-data"] is False
    assert not (ROOT / "MANIFEST.in").exists()


def test_the_training_extra_holds_all_that_the_export_extra_needs():
    """One environment trains and exports; equal requirements are written equally in both."""
    extras = PROJECT["project"]["optional-dependencies"]
    assert set(extras["export"]) <= set(extras["train"])


def test_only_one_onnxruntime_per_extra():
    for name, wanted in PROJECT["project"]["optional-dependencies"].items():
        runtimes = [line for line in wanted if line.startswith("onnxruntime")]
        assert len(runtimes) <= 1, name


@pytest.mark.parametrize("runtime", ["cpu", "cuda"])
@pytest.mark.parametrize("extra", ["export", "train"])
def test_exporting_goes_with_either_onnxruntime(extra, runtime):
    """onnxruntime and onnxruntime-gpu overwrite each other, so only one of the two extras may bring one."""
    extras = PROJECT["project"]["optional-dependencies"]
    names = [re.split(r"[\[>]", line)[0] for line in (*extras[extra], *extras[runtime])]
    assert [name for name in names if name.startswith("onnxruntime")] == [
        {"cpu": "onnxruntime", "cuda": "onnxruntime-gpu"}[runtime]
    ]


@pytest.mark.parametrize("script", ["scripts/demo", "scripts/test", "scripts/check", ".ci/run"])
def test_scripts_are_executable(script):
    assert (ROOT / script).stat().st_mode & 0o111
    assert (ROOT / script).read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
