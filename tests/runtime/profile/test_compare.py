"""Two saved profiles beside each other: differences by hand, what stands in the way, and files that are none."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from support.spans import job

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import profile as command
from handfirst.runtime.cli.main import main
from handfirst.runtime.profile.compare import SavedProfile, compare, read_profile
from handfirst.runtime.profile.figures import figures

A: dict[str, Any] = {
    "bundle": {"name": "demo", "digest": "a" * 64},
    "engine": {"name": "cpu", "reason": "asked for"},
    "request": {"people": 1, "steps": 30},
    "machine": {"cpu": "A Processor", "cores": 2, "gpu": None, "load": 0.5, "libraries": {"numpy": "2.1"}},
    "jobs": 10,
    "wall_ms": {"first": 200.0, "mean": 100.0, "p50": 98.0, "p95": 107.8},
    "parts": [
        {"stage": "body", "part": "unet", "label": "body UNet", "job_ms": 60.0, "sizes": [[2, 8, 24, 24]]},
        {"stage": "body", "part": "host", "label": "host between", "job_ms": 20.0, "sizes": []},
        {"stage": "decode", "part": "vae", "label": "VAE decode", "job_ms": 15.0, "sizes": [[1, 8, 24, 24]]},
        {"stage": "", "part": "between stages", "label": "between stages", "job_ms": 5.0, "sizes": []},
    ],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(A), **changes}


B = changed(
    wall_ms={"first": 90.0, "mean": 90.0, "p50": 80.0, "p95": 100.0},
    parts=[
        {"stage": "body", "part": "unet", "label": "body UNet", "job_ms": 30.0, "sizes": [[2, 8, 24, 24]]},
        {"stage": "body", "part": "host", "label": "host between", "job_ms": 25.0, "sizes": []},
        {"stage": "decode", "part": "vae", "label": "VAE decode", "job_ms": 18.0, "sizes": [[1, 8, 24, 24]]},
        {"stage": "decode", "part": "sharpen", "label": "sharpen", "job_ms": 17.0, "sizes": []},
    ],
)


def saved(fields: dict[str, Any]) -> SavedProfile:
    return SavedProfile.model_validate_json(json.dumps(fields))


def write(folder: Path, **files: Any) -> list[str]:
    for name, fields in files.items():
        (folder / name).write_text(fields if isinstance(fields, str) else json.dumps(fields))
    return [str(folder / name) for name in files]


def test_what_lost_most_comes_first() -> None:
    found = compare(saved(A), saved(B))
    assert [(each.label, each.a_ms, each.b_ms, each.lost_ms, each.ratio) for each in found.parts] == [
        ("sharpen", None, 17, 17, None),
        ("host between", 20, 25, 5, 1.25),
        ("VAE decode", 15, 18, 3, 1.2),
        ("between stages", 5, None, -5, None),
        ("body UNet", 60, 30, -30, 0.5),
    ]
    assert [(each.stage, each.a_ms, each.b_ms) for each in found.stages] == [
        ("decode", 15, 35), ("", 5, None), ("body", 80, 55),
    ]  # fmt: skip
    assert (found.whole.lost_ms, found.whole.ratio) == (-10, 0.9)
    assert found.spread == (pytest.approx(1.1), 1.25)
    assert (found.obstacles, found.changed) == ((), ())


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"engine": {"name": "openvino"}}, "the engine is cpu and openvino"),
        ({"request": {"people": 1, "steps": 20}}, "the request's steps: 30 and 20"),
        ({"request": {"people": 1, "steps": 30, "eta": 1}}, "the request's eta: none and 1"),
        ({"machine": {**A["machine"], "cores": 8}}, "the machine's cores: 2 and 8"),
        ({"machine": {**A["machine"], "gpu": "H"}}, "the machine's gpu: none and H"),
        (
            {"parts": [{**A["parts"][0], "sizes": [[2, 8, 32, 24], [1, 8, 32, 24]]}]},
            "the size: body UNet takes 2 x 8 x 24 x 24 and 2 x 8 x 32 x 24, 1 x 8 x 32 x 24",
        ),
    ],
)
def test_what_does_not_compare_is_said(changes: dict[str, Any], line: str) -> None:
    found = compare(saved(A), saved(changed(**changes)))
    assert found.obstacles == (line,)
    assert not found.describe()["comparable"]


def test_what_a_comparison_may_be_about_is_no_obstacle() -> None:
    machine = {**A["machine"], "load": 3.0, "python": "3.12", "libraries": {"numpy": "2.2", "onnxruntime": "1.30"}}
    found = compare(saved(A), saved(changed(bundle={"name": "demo", "digest": "b" * 64}, machine=machine)))
    assert found.obstacles == ()
    assert found.changed == (
        f"bundle: demo {'a' * 12} and demo {'b' * 12}",
        "python: none and 3.12",
        "numpy: 2.1 and 2.2",
        "onnxruntime: none and 1.30",
    )


def test_older_profiles_tell_no_sizes() -> None:
    old = changed(parts=[{k: v for k, v in part.items() if k != "sizes"} for part in A["parts"]])
    assert compare(saved(old), saved(A)).obstacles == ()


def test_what_a_profile_writes_is_read() -> None:
    parts = [part.describe() for part in figures(job(), [job()], lambda *_: 1, 1e9)]
    read = saved(changed(parts=json.loads(json.dumps(parts))))
    assert [(part.label, part.job_ms) for part in read.parts][:2] == [("net", 5.0), ("DDIM + blend", 1.5)]
    assert read.parts[0].sizes == [[2, 3]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Invalid JSON"),
        ("[1]", "the file: "),
        ("{}", "bundle: Field required"),
        (changed(parts=[]), "parts: "),
        (changed(parts=[A["parts"][0]] * 2), "a part stands twice"),
        (changed(parts=[{**A["parts"][0], "label": "\x1b[31m"}]), "control characters"),
        (changed(parts=[{**A["parts"][0], "job_ms": "60"}]), "parts.0.job_ms"),
        (json.dumps(changed(parts=[{**A["parts"][0], "job_ms": float("nan")}])), "job_ms"),
        (changed(wall_ms={"mean": 0.0, "p50": 1.0, "p95": 1.0}), "wall_ms.mean"),
    ],
)
def test_a_file_that_is_no_profile_is_refused_in_one_line(
    content: Any, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = write(tmp_path, good=A, bad=content)
    with pytest.raises(UserError, match="no saved profile"):
        read_profile(Path(bad))
    assert main(["profile", "--compare", good, bad]) == 2
    said = capsys.readouterr()
    assert words in said.err and len(said.err.splitlines()) == 1 and said.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--compare", "a", "missing"], "'missing' cannot be read"),
        (["--compare", "a", "."], "'.' cannot be read"),
        (["--compare", "a"], "requires 2 arguments"),
        (["--compare", "a", "a", "--jobs", "3", "--low-memory"], "leave out: jobs, low-memory"),
        (["bundle", "--compare", "a", "a"], "leave out: bundle"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, a=A)
    assert main(["profile", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said and len(said.splitlines()) == 1


def test_a_file_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handfirst.runtime.profile.compare.MOST_BYTES", 10)
    with pytest.raises(UserError, match="larger than 10 bytes"):
        read_profile(Path(write(tmp_path, a=A)[0]))


def test_the_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path, a=A, b=B)
    assert main(["profile", "--compare", a, b, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["a"], found["b"], found["comparable"], found["not_comparable"]) == (a, b, True, [])
    assert found["wall_ms"] == {"a_ms": 100, "b_ms": 90, "lost_ms": -10, "ratio": 0.9}
    assert found["parts"][1] == {
        "stage": "body", "label": "host between", "a_ms": 20, "b_ms": 25, "lost_ms": 5, "ratio": 1.25,
    }  # fmt: skip
    assert found["stages"][2] == {"stage": "body", "a_ms": 80, "b_ms": 55, "lost_ms": -25, "ratio": 0.6875}


def test_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path, a=A, b={**B, "engine": {"name": "openvino"}})
    assert main(["profile", "--compare", a, b]) == 0
    said = capsys.readouterr().out
    assert "not comparable: the engine is cpu and openvino" in said
    rows = [line.split() for line in said.splitlines()]
    assert ["a", "job", "100", "90.0", "-10.0", "0.900"] in rows
    assert ["decode", "sharpen", "17.0", "17.0"] in rows
    assert ["body", "body", "UNet", "60.0", "30.0", "-30.0", "0.500"] in rows
    assert "10.0 % and 25.0 % from p50 to p95" in said


@pytest.mark.parametrize("room", [None, 60])
def test_no_heading_is_cut_where_there_is_room(
    room: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = changed(parts=[{**A["parts"][0], "label": "a part with a name that is as long as names can be"}])
    a, b = write(tmp_path, a=long, b=long)
    monkeypatch.setattr(command.output, "columns", lambda: room)
    assert main(["profile", "--compare", a, b]) == 0
    said = capsys.readouterr().out
    heads = "  ".join(["A ms / job", " B ms / job", " lost ms"])
    assert (said.count(heads) == 2 and "…" not in said) == (room is None)
