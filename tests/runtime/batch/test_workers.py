"""How a cluster is cut into workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfirst.runtime.batch.on_ray import Share, share_out
from handfirst.runtime.errors import BatchError


def node(cpus, gpus=0, alive=True):
    return {"Alive": alive, "Resources": {"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {})}


@pytest.mark.parametrize(
    ("nodes", "threads", "workers", "share"),
    [
        ([node(8), node(8)], None, None, Share(2, 8, 0)),
        ([node(8), node(4)], None, None, Share(3, 4, 0)),
        ([node(8), node(8)], 2, None, Share(8, 2, 0)),
        ([node(8), node(8)], 2, 3, Share(3, 2, 0)),
        ([node(8), node(8)], None, 1, Share(1, 8, 0)),
        ([node(8), node(8)], None, 4, Share(4, 4, 0)),
        ([node(2)], None, 5, Share(2, 1, 0)),
        ([node(0), node(6)], None, None, Share(1, 6, 0)),
        ([node(8), node(8, alive=False)], None, None, Share(1, 8, 0)),
        ([node(16, 4), node(8, 1), node(64)], None, None, Share(5, 4, 1)),
        ([node(16, 4)], 2, 3, Share(3, 2, 1)),
    ],
)
def test_shares(nodes, threads, workers, share):
    assert share_out(nodes, threads, workers) == share


def test_no_room_is_an_error():
    for nodes, threads in (([node(2), node(4)], 8), ([], None), ([node(4, alive=False)], None)):
        with pytest.raises(BatchError, match="no node of the cluster has"):
            share_out(nodes, threads, None)


def test_gpus_without_processors_are_an_error():
    for nodes, threads in (([node(2, 4)], None), ([node(4, 1)], 16)):
        with pytest.raises(BatchError, match=r"a GPU's worker would have \d CPUs"):
            share_out(nodes, threads, None)


@given(
    cpus=st.lists(st.integers(1, 64), min_size=1, max_size=5),
    threads=st.none() | st.integers(1, 8),
    workers=st.none() | st.integers(1, 40),
)
def test_workers_always_fit_their_nodes(cpus, threads, workers):
    try:
        share = share_out([node(count) for count in cpus], threads, workers)
    except BatchError:
        assert threads is not None
        assert threads > max(cpus)
        return
    assert 1 <= share.workers <= (workers or sum(cpus))
    assert share.workers <= sum(count // share.cpus for count in cpus)
    if threads is None and workers is not None and workers <= sum(cpus):
        assert share.workers == workers
