"""Whatever a file of jobs holds: jobs, failed jobs with a reason in one line, or one clear error. Nothing else.

HANDFIRST_FUZZ=100000 pytest tests/runtime/batch/test_read_jobs_fuzz.py     # that many files; a few hundred otherwise
"""

import csv
import io
import json
import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handfirst.engines.errors import UserError
from handfirst.runtime.batch.job import BadJob
from handfirst.runtime.batch.read_jobs import read_jobs
from handfirst.runtime.systems import two_stage
from handfirst.runtime.systems.two_stage.job import JOBS

POSE = Path(two_stage.__file__).with_name("demo_pose.json").read_bytes()
FILES = int(os.environ.get("HANDFIRST_FUZZ", "400"))
SHARES = {"bytes": 0.2, "lines": 0.4, "table": 0.3, "parquet": 0.05, "spoilt-parquet": 0.05}

words = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["pose.json", "", " ", "7", "1e999", "-0", "NaN", "null", "../x", "/dev/zero", "9" * 400, "naive"]),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
likely = {
    "id": st.one_of(st.none(), st.text("ab1._-/ ", max_size=5), anything),
    "pose": st.one_of(st.just("pose.json"), st.just(json.loads(POSE)), anything),
    "prompt": st.one_of(st.just("a person"), anything),
}
entry = st.fixed_dictionaries(
    {}, optional={name: likely.get(name, anything) for name in JOBS.names} | {"odd": anything}
)
whole_entry = st.fixed_dictionaries({name: likely[name] for name in ("pose", "prompt")}, optional={"seed": anything})


def lines():
    one = st.one_of(st.binary(max_size=40), st.builds(lambda value: json.dumps(value).encode(), entry | whole_entry))
    return st.lists(one, max_size=5).map(b"\n".join)


@st.composite
def tables(draw):
    """CSV: mostly with a good head."""
    names = draw(st.lists(st.sampled_from([*JOBS.names, "odd"]), min_size=1, max_size=5))
    names = ["pose", "prompt", *(n for n in names if n not in ("pose", "prompt"))] if draw(st.booleans()) else names
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    writer.writerow(names)
    for _ in range(draw(st.integers(0, 4))):
        writer.writerow(["pose.json", *draw(st.lists(words, min_size=len(names) - 1, max_size=len(names)))])
    return out.getvalue().encode("utf-8", "surrogatepass") + draw(st.binary(max_size=8))


columns = st.one_of(
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=2, max_size=2),
    st.lists(st.one_of(st.none(), st.floats()), min_size=2, max_size=2),
    st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=9)), min_size=2, max_size=2),
    st.lists(st.one_of(st.none(), st.binary(max_size=9)), min_size=2, max_size=2),
    st.lists(
        st.one_of(st.none(), st.booleans(), st.dates()).map(lambda v: None if v is None else str(v)),
        min_size=2,
        max_size=2,
    ),
    st.lists(st.lists(st.floats(), max_size=2), min_size=2, max_size=2),
    st.lists(st.none() | st.datetimes(), min_size=2, max_size=2),
    st.lists(st.fixed_dictionaries({"people": st.lists(st.floats(), max_size=2)}), min_size=2, max_size=2),
)


def parquet(table):
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(table), sink)
    return sink.getvalue()


tabled = st.dictionaries(st.sampled_from([*JOBS.names, "odd"]), columns, max_size=4).map(
    lambda extra: parquet({"pose": ["pose.json", "pose.json"], "prompt": ["x", "y"], **extra})
)


@st.composite
def spoilt(draw):
    """A Parquet file with some bytes changed, or its end missing."""
    data = bytearray(draw(tabled))
    for _ in range(draw(st.integers(1, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


KINDS = {
    "bytes": (st.tuples(st.sampled_from([".jsonl", ".csv", ".parquet"]), st.binary(max_size=300))),
    "lines": st.tuples(st.just(".jsonl"), lines()),
    "table": st.tuples(st.just(".csv"), tables()),
    "parquet": st.tuples(st.just(".parquet"), tabled),
    "spoilt-parquet": st.tuples(st.just(".parquet"), spoilt()),
}


def one_line(text):
    return bool(text.strip()) and len(text.splitlines()) == 1 and len(text) < 1000


def check(path):
    """Reads a file and asks every job for its request."""
    try:
        jobs = read_jobs(JOBS, path)
    except UserError as error:
        assert one_line(str(error)), str(error)
        return
    assert jobs
    assert len({job.id.lower() for job in jobs}) == len(jobs)
    for job in jobs:
        if isinstance(job, BadJob):
            assert one_line(job.reason), job.reason
            continue
        assert (path.parent / f"{job.id}.png").parent == path.parent
        try:
            request = job.request()
        except UserError as error:
            assert one_line(str(error)), str(error)
        else:
            assert request.prompt == job.fields.prompt


@pytest.mark.parametrize("kind", KINDS)
def test_only_clear_errors(kind, tmp_path):
    (tmp_path / "pose.json").write_bytes(POSE)

    @settings(
        max_examples=max(20, int(FILES * SHARES[kind])),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(KINDS[kind])
    def property_holds(made):
        suffix, data = made
        path = tmp_path / f"jobs{suffix}"
        path.write_bytes(data)
        check(path)

    property_holds()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(entry, whole_entry), min_size=1, max_size=6))
def test_every_line_is_accounted_for(tmp_path_factory, entries):
    folder = tmp_path_factory.mktemp("jobs", numbered=True)
    (folder / "pose.json").write_bytes(POSE)
    path = folder / "jobs.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in entries), encoding="utf-8")
    assert [job.line for job in read_jobs(JOBS, path)] == list(range(1, len(entries) + 1))
