"""`handfirst profile` on the embedded model: what it prints and writes agrees with itself."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from handfirst.runtime.cli import profile as command
from handfirst.runtime.cli.main import main
from handfirst.runtime.profile.table import HEADS
from handfirst.runtime.systems.two_stage.roles import ROLES
from handfirst.runtime.timing.prometheus import Metrics

QUICK = ["profile", "--jobs", "2", "--warmup", "1", "--steps", "1", "--speed", "fast", "--threads", "1"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_everything_that_is_said_and_written(here, capsys, monkeypatch):
    served = []

    class Kept(Metrics):
        def __init__(self):
            super().__init__()
            served.append(self)

    monkeypatch.setattr("handfirst.runtime.timing.prometheus.Metrics", Kept)
    files = ["--out", "r.html", "--trace", "t.json", "--metrics-port", "0"]
    assert main([*QUICK, "--batch-limit", "2", *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bundle"]["name"] == "demo" and len(found["bundle"]["digest"]) == 64
    assert found["machine"]["libraries"]["onnxruntime"] and found["machine"]["cores"] >= 1
    assert found["request"] == {
        "people": 1,
        "steps": 1,
        "resident": "all",
        "solver": "ddim",
        "speed": "fast",
        **{k: found["request"][k] for k in ("guidance", "hand_guidance")},
    }
    parts = found["parts"]
    assert {part["part"] for part in parts} == {*ROLES, "step", "host", "mask_table", "hint_drawing", "between stages"}
    assert sum(part["share"] for part in parts) == pytest.approx(1, abs=1e-3)
    assert sum(part["job_ms"] for part in parts) == pytest.approx(found["wall_ms"]["mean"], rel=1e-3)
    assert found["parts_cover"] == pytest.approx(1 - parts[-1]["share"], abs=1e-3)
    assert found["flops_not_counted"] == {}
    assert {part["part"] for part in parts if part["flops"]} == set(ROLES)
    assert [batch["images"] for batch in found["batches"]] == [1, 2]
    text = (here / "r.html").read_text("utf-8")
    assert all(part["label"] in text for part in parts)
    events = json.loads((here / "t.json").read_text("utf-8"))
    assert sum(event["cat"] == "job" for event in events["traceEvents"][1:]) == 3
    assert events["otherData"]["bundle"] == found["bundle"]
    counted = {
        sample.labels["part"]: sample.value
        for family in text_string_to_metric_families(served[0].text())
        for sample in family.samples
        if sample.name.endswith("_count") and sample.labels["stage"] == "body"
    }
    assert counted["body_unet"] == 3 + 4 * 2  # three jobs, then twice four batches; one step each


def test_low_memory_shows_what_opening_takes(here, capsys):
    assert main([*QUICK, "--batch-limit", "0", "--low-memory", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["request"]["resident"] == "stage"
    opening = {part["stage"]: part["calls"] for part in found["parts"] if part["part"] == "opening"}
    assert opening == {"text": 1, "hands": 1, "hands_decode": 1, "body": 2, "body_decode": 1}
    assert sum(part["job_ms"] for part in found["parts"]) == pytest.approx(found["wall_ms"]["mean"], rel=1e-3)


def test_the_table_is_the_default(here, capsys):
    assert main([*QUICK, "--jobs", "1", "--batch-limit", "0"]) == 0
    said = capsys.readouterr().out
    assert "body UNet" in said and "% of the wall time" in said
    heads = next(line for line in said.splitlines() if line.lstrip().startswith("stage")).split("  ")
    assert [head.strip() for head in heads if head.strip()] == [head for head in HEADS if head != "GPU ms"]
    assert "…" not in said
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "report.pdf"], "ends in .html"),
        (["--trace", "missing/t.json"], "does not exist"),
        (["--jobs", "0"], "--jobs"),
        (["--steps", "0"], "steps: expected"),
        (["no-such-bundle"], "no such bundle"),
        (["--engine", "abacus"], "engine must be one of"),
    ],
)
def test_a_mistake_is_one_line(arguments, words, here, capsys):
    assert main([*QUICK, *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err and len(said.err.splitlines()) == 1
    assert list(here.iterdir()) == []


def test_a_narrow_terminal_gets_fewer_columns(here, capsys, monkeypatch):
    monkeypatch.setattr(command.output, "columns", lambda: 80)
    assert main([*QUICK, "--jobs", "1", "--batch-limit", "0"]) == 0
    table = capsys.readouterr().out.split("a job takes")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "ms / job" in table and "images/s" not in table
