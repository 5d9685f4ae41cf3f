"""What tests of several rooms share.

Property tests draw the same examples on every run, and what a test draws without a generator of its own does not depend
on the tests before it: a run that was green stays green, in any order, in any number of processes.

HYPOTHESIS_PROFILE=default draws new ones, to look for what nobody has met yet.
"""

import operator
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from support.gpu_graphs import GpuGraph

settings.register_profile("steady", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    _seed()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    _seed()  # fixtures that others share are made in the first test that asks for them


def _seed() -> None:
    random.seed(0)
    for name, seeded in (("numpy", "random.seed"), ("torch", "manual_seed")):
        if library := sys.modules.get(name):
            operator.attrgetter(seeded)(library)(0)


@pytest.fixture(scope="session")
def free_sizes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a tiny model and of its bundle of free size; exported once, as that takes longest."""
    from support.free_sizes import export_free_sizes  # most tests do without torch

    return export_free_sizes(tmp_path_factory.mktemp("free"))


@pytest.fixture(scope="session")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a model of the second system and of its bundle (support/mosaic)."""
    from support.mosaic.registry import exported

    return exported(tmp_path_factory.mktemp("mosaic"))


@pytest.fixture(scope="session")
def gpu_graphs() -> "dict[str, GpuGraph]":
    """Graphs of a tiny model in the form for GPUs, by precision and role: "float16 hand_unet"."""
    from support.gpu_graphs import export_gpu_graphs

    return export_gpu_graphs()
