"""A server of both systems, which most tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.serving import Serving, serving

from handfirst.engines.bundle import demo_bundle_path


@pytest.fixture(scope="package")
def bundle(mosaic: tuple[Path, Path]) -> Path:
    """Folder of the second system's."""
    return mosaic[1]


@pytest.fixture(scope="package")
def server(bundle: Path) -> Iterator[Serving]:
    limits = ("body=300000", "numbers=2000", "text=300", "steps=40", "waiting=4", "per_client=4")
    more = [word for limit in limits for word in ("--limit", limit)]
    with serving(bundle, demo_bundle_path(), *more) as running:
        yield running
