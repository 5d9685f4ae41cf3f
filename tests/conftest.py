"""What tests of several rooms share.

Property tests draw the same examples on every run, so that a run that was green stays green.

HYPOTHESIS_PROFILE=default draws new ones, to look for what nobody has met yet.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("steady", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture(scope="session")
def free_sizes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a tiny model and of its bundle of free size; exported once, as that takes longest."""
    from support.free_sizes import export_free_sizes  # most tests do without torch

    return export_free_sizes(tmp_path_factory.mktemp("free"))
