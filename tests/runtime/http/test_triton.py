"""The model repository of docs/deploy, driven through a stand-in for Triton (support/fake_triton.py)."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import fake_triton
from support.fake_triton import InferenceRequest, TritonError
from support.mosaic.registry import opened_here
from support.mosaic.runtime import Request
from support.served_mosaic import BROKEN, BUG, SLOW

import handfirst
from handfirst.runtime.systems import SYSTEMS

REPOSITORY = Path(__file__).parents[3] / "docs/deploy/triton/handfirst"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def model(bundle):
    with opened_here(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(SYSTEMS, "mosaic", "support.served_mosaic")
        patch.setitem(sys.modules, "triton_python_backend_utils", fake_triton)
        spec = importlib.util.spec_from_file_location("triton_model", REPOSITORY / "1" / "model.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        loaded = module.TritonPythonModel()
        said = {"bundle": str(bundle), "engine": "cpu", "threads": "1", "jobs": "1", "waiting": "1"}
        parameters = {name: {"string_value": value} for name, value in said.items()}
        loaded.initialize({"model_config": json.dumps({"parameters": parameters})})
        yield loaded
        loaded.finalize()


def asked(**fields):
    return InferenceRequest(request=np.array([json.dumps({"colour": "red", **fields}).encode()], np.object_))


def told(response):
    (text,) = next(each.as_numpy() for each in response.output_tensors() if each.name() == "told")
    return json.loads(text)


def end(request):
    assert request.sender.closed.wait(PATIENCE)
    return request.sender.responses[-1]


def error(request):
    failed = end(request).error()
    return failed.code(), failed.message()


def test_every_step_and_then_the_pictures(model, bundle):
    request = asked(seed=SLOW, steps=5)
    assert model.execute([request]) is None
    last = end(request)
    assert not last.has_error()
    steps = [told(each) for each in request.sender.responses[:-1]]
    assert steps[0] == {"stage": "mix", "step": 1, "total": 1} and steps[-1] == {
        "stage": "tiles",
        "step": 5,
        "total": 5,
    }
    assert told(last)["pictures"] == ["result", "mask"] and told(last)["seed"] == SLOW
    (files,) = (each.as_numpy() for each in last.output_tensors() if each.name() == "pictures")
    with opened_here():
        here = handfirst.open(bundle, engine="cpu", threads=1)
    expected = here.render(Request("red", SLOW, 5))
    here.close()
    assert (np.asarray(Image.open(io.BytesIO(files[0]))) == expected.image).all()
    assert (np.asarray(Image.open(io.BytesIO(files[1]))) == expected.mask * 255).all()


def test_a_cancel_ends_it_before_its_last_step(model):
    running, waiting = asked(seed=SLOW, steps=40), asked(seed=SLOW)
    model.execute([running, waiting])
    waiting.cancelled = True
    assert error(waiting)[0] == TritonError.CANCELLED
    running.cancelled = True
    assert error(running)[0] == TritonError.CANCELLED
    assert len(running.sender.responses) < 40


def test_as_many_wait_as_may(model):
    while model.server.running:  # what was cancelled before lets go after its step
        time.sleep(0.01)
    requests = [asked(seed=SLOW + i, steps=10) for i in range(4)]
    model.execute(requests)
    assert {error(each)[0] for each in requests[2:]} == {TritonError.UNAVAILABLE}
    assert not any(end(each).has_error() for each in requests[:2])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"{", "request: not valid JSON"),
        (b"[]", "request: expected an object, got a list"),
        (b'{"color": "red"}', "'color': no such field"),
        (b'{"colour": "mauve"}', "colour: expected red or blue or grey"),
        (b'{"colour": "red", "steps": 1000}', "steps: this server takes at most 200, got 1000"),
    ],
)
def test_what_makes_no_sense(model, content, line):
    request = InferenceRequest(request=np.array([content], np.object_))
    model.execute([request])
    code, message = error(request)
    assert code == TritonError.INVALID_ARG and line in message


@pytest.mark.parametrize("seed", [BUG, BROKEN])
def test_what_goes_wrong_inside_tells_no_path(model, bundle, seed):
    request = asked(seed=seed)
    model.execute([request])
    code, message = error(request)
    assert code == TritonError.INTERNAL and str(bundle) not in message
    assert str(bundle) in fake_triton.Logger.errors[-1]


def test_the_configuration_says_what_the_model_does():
    """Names of tensors and parameters are said twice, in two languages."""
    config = "\n".join(
        line for line in (REPOSITORY / "config.pbtxt").read_text().splitlines() if not line.lstrip().startswith("#")
    )
    code = (REPOSITORY / "1" / "model.py").read_text()
    assert "decoupled: true" in config and 'backend: "python"' in config and f'name: "{REPOSITORY.name}"' in config
    for name in re.findall(r'\{ name: "(\w+)"', config):
        assert f'"{name}"' in code
    keys = re.findall(r'key: "(\w+)"', config)
    assert set(keys) == set(re.findall(r'said(?:\[|\.get\()"(\w+)"', code))
    assert config.count("{") == config.count("}") and config.count("[") == config.count("]")
