"""Work in processes of its own is the work in this one, in the same order."""

from __future__ import annotations

import math

import pytest

from handfirst.training.data.workers import spread


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_in_its_order(workers: int) -> None:
    assert list(spread(math.sqrt, (i * i for i in range(130)), workers)) == list(range(130))
