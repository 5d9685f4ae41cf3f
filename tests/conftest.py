"""What tests of several rooms share.

Property tests draw the same examples on every run, however long one takes on a busy machine, and what a test draws
without a generator of its own does not depend on the tests before it: a run that was green stays green, in any order,
in any number of processes.

HYPOTHESIS_PROFILE=default draws new ones, to look for what nobody has met yet.

Python's garbage collector would walk again and again through all that was ever imported: it does not run while tests
are imported, and what is there then is left out afterwards. And nobody listens to torch's logger of traces, as pytest
does to all: torch would write down the steps of every export, and a failure would end in pages of them.
"""

import gc
import logging
import operator
import os
import pickle
import random
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from support.once import once

if TYPE_CHECKING:
    from support.exports import Exports
    from support.gpu_graphs import GpuGraph

settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
logging.getLogger("torch.__trace").addHandler = lambda handler: None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)  # where the scheduler keeps this order


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
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what is made once in a run, by whichever of its processes (support/once.py)."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def exports(shared: Path) -> "Exports":
    """The export, without exporting a graph twice."""
    from support.exports import Exports  # most tests do without torch

    (shared / "graphs").mkdir(exist_ok=True)
    return Exports(shared / "graphs")


@pytest.fixture(scope="session")
def free_sizes(shared: Path, exports: "Exports") -> tuple[Path, Path]:
    """Folders of a tiny model and of its bundle of free size."""
    from support.free_sizes import export_free_sizes

    folder = once(shared, "free", lambda made: export_free_sizes(made, exports))
    return folder / "model", folder / "bundle"


@pytest.fixture(scope="session")
def tiny_refiner(shared: Path, exports: "Exports") -> tuple[Path, Path]:
    """Folders of a tiny part refiner (support/tiny_refiner) and of its bundle."""
    from support.tiny_refiner import export_tiny_refiner

    folder = once(shared, "refiner", lambda made: export_tiny_refiner(made, exports))
    return folder / "model", folder / "bundle"


@pytest.fixture(scope="session")
def mosaic(shared: Path) -> tuple[Path, Path]:
    """Folders of a model of the second system and of its bundle (support/mosaic)."""
    from support.mosaic.registry import exported

    folder = once(shared, "mosaic", exported)
    return folder / "model", folder / "bundle"


@pytest.fixture(scope="session")
def gpu_graphs(shared: Path) -> "dict[str, GpuGraph]":
    """Graphs of a tiny model in the form for GPUs, by precision and role: "float16 hand_unet"."""

    def make(folder: Path) -> None:
        from support.gpu_graphs import export_gpu_graphs

        (folder / "graphs").write_bytes(pickle.dumps(export_gpu_graphs()))

    made: dict[str, GpuGraph] = pickle.loads((once(shared, "gpu", make) / "graphs").read_bytes())
    return made
