"""Spoilt files of jobs and spoilt ledgers, by the ten thousand: whatever they hold, jobs, reasons, or one clear line.

    python benchmarks/hostile_jobs.py [COUNT]      # 60,000 unless said otherwise; prints how many ended how

Whole files of every format and a whole ledger are spoilt as pose files are in the tests (bytes cut, swapped, doubled,
mixed), or their words are exchanged for odd ones. An error of another kind, a message of two lines, or a foreign byte
cut off a ledger ends it with the file in question.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow
import pyarrow.parquet

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.pose_mutations import _bytes as spoil_bytes  # noqa: E402

from handfirst.engines.errors import UserError  # noqa: E402
from handfirst.runtime.batch.job import BadJob, Job  # noqa: E402
from handfirst.runtime.batch.ledger import Ledger  # noqa: E402
from handfirst.runtime.batch.read_jobs import read_jobs  # noqa: E402
from handfirst.runtime.systems.two_stage.job import JOBS  # noqa: E402

SHARES = {".jsonl": 20, ".json": 15, ".csv": 30, ".tsv": 5, ".parquet": 10, "ledger": 20}
WORDS = (
    b"", b" ", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b'""', b"'", b",", b";", b"\t", b"\r", b"\n",
    b"\r\n", b"null", b"NaN", b"true", b"-1", b"7.0", b"7,0", b"1e3", b"1e999", b"9" * 400, b"[" * 3000, b"{", b"}",
    b"[]", b"{}", b"Unnamed: 0", b"sep=;\n", b"id", b"pose", b"prompt", b"a.json", b"../a.json", b"/dev/zero",
    b"\xed\xa0\x80", b"x" * 140_000, b'{"id": "', b'"files": 3', b'"key": []', b"done", b"changed",
)  # fmt: skip
KEY = "0" * 64


def whole_files(folder: Path) -> dict[str, list[bytes]]:
    """A few of each kind, without a mistake."""
    rows = [
        {"id": f"j{i}", "pose": "a.json", "prompt": 'a "red", man' if i % 2 else "ein\nMann", "seed": i, "steps": None}
        for i in range(4)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "whole.parquet")
    text = '\r\nid;pose;prompt;seed;\r\nj0;a.json;"a ""red"" man";7.0;\r\n;;;;\r\nj1;a.json;"two\nlines";;\r\n'
    table = ",id,pose,prompt,steps\n0,j0,a.json,x,2\n1,j1,a.json,y,3\n"
    line = {"key": KEY, "status": "done", "line": 1, "files": ["a.png"], "sha256": [KEY], "seed": 0, "prompt": "x"}
    failed = {"key": KEY, "status": "failed", "line": 2, "reason": "out of memory", "again": True}
    ledger = [{"id": "a", **line}, {"id": "b", **failed}, {"id": "c", **line, "files": ["c.png"]}]
    return {
        ".jsonl": ["".join(json.dumps(row) + "\n" for row in rows).encode()],
        ".json": [json.dumps(rows, indent=1).encode(), json.dumps({"jobs": rows}).encode()],
        ".csv": [text.encode("utf-8-sig"), table.encode(), text.encode("utf-16")],
        ".tsv": [table.replace(",", "\t").encode()],
        ".parquet": [(folder / "whole.parquet").read_bytes()],
        "ledger": ["".join(json.dumps(entry) + "\n" for entry in ledger).encode()],
    }


def spoilt(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """The file after one or two changes."""
    for _ in range(rng.randint(1, 2)):
        if rng.random() < 0.4:
            content = spoil_bytes(content, others, rng)
            continue
        words = list(re.finditer(rb'[A-Za-z0-9_.]+|[",;{}\[\]:\t\n]', content[:20_000]))
        if words:
            word = rng.choice(words)
            content = content[: word.start()] + rng.choice(WORDS) + content[word.end() :]
    return content


def read_spoilt_jobs(path: Path) -> str:
    """How a file of jobs ended."""
    jobs = read_jobs(JOBS, path)
    assert jobs and len({job.id.lower() for job in jobs}) == len(jobs)
    for job in jobs:
        if isinstance(job, BadJob):
            check(job.reason)
            continue
        try:
            job.request()
        except UserError as error:
            check(str(error))
    return "some jobs" if any(isinstance(job, Job) for job in jobs) else "no job, with reasons"


def read_spoilt_ledger(path: Path) -> str:
    """How a ledger ended; a torn end alone may be gone from it."""
    before = path.read_bytes()
    try:
        with Ledger(path) as ledger:
            for name in "abc":
                ledger.status(BadJob(name, KEY, 1, ""))
    except UserError:
        assert path.read_bytes() == before, "a ledger that was refused has changed"
        raise
    after = path.read_bytes()
    assert before.startswith(after) and b"\n" not in before[len(after) :], "more than a torn end was cut off"
    return "opened, its end cut off" if len(after) < len(before) else "opened"


def check(text: str) -> None:
    """One line, and not an endless one."""
    assert text.strip() and len(text.splitlines()) == 1 and len(text) < 1000, text


def main(count: int) -> None:
    """Spoils and reads `count` files."""
    rng, ends, start = random.Random(0), Counter[str](), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="handfirst-hostile-") as place:
        folder = Path(place)
        pose = ROOT / "runtime" / "systems" / "two_stage" / "demo_pose.json"
        (folder / "a.json").write_bytes(pose.read_bytes())
        files = whole_files(folder)
        others = [content for contents in files.values() for content in contents]
        for number in range(count):
            (kind,) = rng.choices(list(SHARES), list(SHARES.values()))
            path = folder / ("results.jsonl" if kind == "ledger" else f"jobs{kind}")
            content = spoilt(rng.choice(files[kind]), others, rng)
            path.write_bytes(content)
            try:
                end = read_spoilt_ledger(path) if kind == "ledger" else read_spoilt_jobs(path)
            except UserError as error:
                check(str(error))
                end = "one line"
            except BaseException:
                print(f"file {number}, {kind}: {content[:3000]!r}", file=sys.stderr)
                raise
            ends[f"{kind}: {end}"] += 1
    found = {"files": count, "seconds": round(time.perf_counter() - start, 1), "ends": dict(sorted(ends.items()))}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60_000)
