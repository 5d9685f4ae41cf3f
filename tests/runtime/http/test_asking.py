"""From a body to what a model is asked; limits."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfirst.engines.errors import UserError
from handfirst.runtime.batch.records import strict_json
from handfirst.runtime.errors import RequestError
from handfirst.runtime.http import asking
from handfirst.runtime.http.asking import asked_of, check_fit, content_of, request_of
from handfirst.runtime.http.limits import Limits, read_limits
from handfirst.runtime.pose.write import encode_pose
from handfirst.runtime.system import JobKind
from handfirst.runtime.systems.two_stage import seam
from handfirst.runtime.systems.two_stage.job import demo_pose
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

LIMITS = Limits()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from([*seam.JOBS.names, "other"])


def asked(request, example=False, limits=LIMITS):
    return asked_of(seam.JOBS, request, example, limits)


@given(st.dictionaries(NAMES, JSON, max_size=6) | JSON, st.booleans())
def test_anything_is_a_request_or_one_line(said, example):
    try:
        request_of(seam, asked(said, example))
    except UserError as error:
        assert str(error) and "Traceback" not in str(error)


@given(JSON)
def test_no_path_is_ever_opened(said):
    class Closed:
        def __init__(self, *_):
            raise AssertionError("a path was made of what a request says")

    kept, asking.Path = asking.Path, Closed
    try:
        content_of("pose", said, LIMITS)
    except RequestError:
        pass
    finally:
        asking.Path = kept


@pytest.mark.parametrize("said", ["/etc/passwd", "pose.json", "file:///etc/passwd", "http://a/b", "data:text/plain,x"])
def test_a_text_that_is_no_data_url(said):
    with pytest.raises(RequestError, match="pose: expected what is in a file, as JSON or as a data: URL in base64"):
        content_of("pose", said, LIMITS)


@given(st.binary(max_size=100))
def test_what_is_in_a_data_url(content):
    url = f"data:application/x-y;base64,{base64.b64encode(content).decode()}"
    assert content_of("pose", url, LIMITS) == content


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"\x80\x04.", b"PK\x03\x04", b"{", b"\xff" * 9])
def test_bytes_that_are_no_pose_tell_no_place(content, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    url = f"data:;base64,{base64.b64encode(content).decode()}"
    with pytest.raises(UserError) as caught:
        request_of(seam, asked({"prompt": "a", "pose": url}))
    assert str(caught.value).startswith("pose") and str(tmp_path) not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_bytes_and_json_are_the_same_pose():
    arrays = f"data:;base64,{base64.b64encode(encode_pose(demo_pose(), 'handfirst')).decode()}"
    first = request_of(seam, asked({"prompt": "a", "pose": arrays, "seed": 4}))
    second = request_of(
        seam, asked({"prompt": "a", "pose": json.loads(encode_pose(demo_pose(), "coco")), "seed": None})
    )
    np.testing.assert_allclose(first.pose.people[0].points, second.pose.people[0].points)
    assert (first.seed, second.seed) == (4, 0)


def test_options_become_fields():
    content = json.loads(encode_pose(demo_pose(), "openpose"))
    with pytest.raises(UserError, match="add size WIDTHxHEIGHT"):
        request_of(seam, asked({"prompt": "a", "pose": content}))


class TestExample:
    def test_words_change_and_the_pose_stays(self):
        request = request_of(seam, asked({"prompt": "a man", "steps": 3}, example=True))
        assert (request.prompt, request.steps) == ("a man", 3)
        assert (request.pose.people[0].scores == demo_pose().people[0].scores).all()
        assert request_of(seam, asked({}, example=True)).prompt == seam.example().prompt

    def test_a_file_of_the_servers_cannot_be_named(self):
        """`example` itself would open it."""
        with pytest.raises(RequestError, match="'pose': no such field"):
            asked({"pose": str(Path(__file__))}, example=True)

    def test_values_are_checked_as_in_any_job(self):
        with pytest.raises(UserError, match="seed: expected a number, got True"):
            request_of(seam, asked({"seed": True}, example=True))


class TestLimits:
    def test_numbers(self):
        limits = Limits(numbers=10)
        content_of("pose", [[0] * 5, {"a": 1, "b": [1]}], limits)  # 5 + 2 + 2 names
        for content in ([0] * 11, [[[0] * 6] * 2], {str(i): 0 for i in range(6)}):
            with pytest.raises(RequestError, match="pose: this server takes at most 10 numbers in a file"):
                content_of("pose", content, limits)

    def test_depth_needs_no_recursion(self):
        deep = []
        for _ in range(100_000):
            deep = [deep]
        content_of("pose", deep, LIMITS)

    def test_work(self):
        request = request_of(seam, asked({"steps": 30}, example=True))
        check_fit(seam, TwoStageSettings(), request, Limits(work={"steps": 30, "people": 1, "other": 1}))
        with pytest.raises(RequestError, match="steps: this server takes at most 29, got 30"):
            check_fit(seam, TwoStageSettings(), request, Limits(work={"steps": 29}))

    def test_text(self):
        with pytest.raises(RequestError, match="prompt: this server takes at most 3 characters, got 4"):
            asked({"prompt": "abcd"}, example=True, limits=Limits(text=3))

    @pytest.mark.parametrize("canvas", ["2049x10", "10x2049", [2049, 10], [10, 99999999999]])
    def test_sides(self, canvas):
        with pytest.raises(RequestError, match="canvas: this server takes at most 2048 pixels a side, got"):
            asked({"prompt": "a", "pose": [], "canvas": canvas})
        assert asked({"prompt": "a", "pose": [], "canvas": "2048x10"}).fields["canvas"] == "2048x10"

    def test_as_they_are_said(self):
        limits = read_limits(["text=5", "people=2", "keep_bytes=7"], ["people", "steps"])
        assert (limits.text, limits.keep_bytes, limits.work) == (5, 7, {"people": 2, "steps": 200})
        assert read_limits([], []) == Limits()

    @pytest.mark.parametrize(
        "said", ["text", "text=", "text=-1", "text=0", "text=1.5", "text=1e3", "text=٣", "=3", "a=1"]
    )
    def test_what_is_none(self, said):
        with pytest.raises(UserError, match="--limit"):
            read_limits([said], ["people"])


@pytest.mark.parametrize("data", [b"{}", b'{"a": [1, 2.5e3, null]}', '{"ä": "\\ud800"}'.encode()])
def test_json(data):
    assert strict_json(data) == json.loads(data)


def test_a_kind_without_files_knows_its_fields():
    kind = JobKind(seam.JOBS.fields, (), seam.JOBS.request)
    assert asked_of(kind, {"prompt": "a"}, False, LIMITS).files == {}
