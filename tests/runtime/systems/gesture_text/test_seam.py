"""What the system tells whoever serves it, before anything is opened: jobs, what is painted together, shapes."""

from __future__ import annotations

import pytest

from handfirst.engines.errors import BundleError
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.runtime.batch.job import job_fields
from handfirst.runtime.diffusion.settings import GestureSettings
from handfirst.runtime.errors import RequestError
from handfirst.runtime.systems.gesture_text import seam
from handfirst.runtime.systems.gesture_text.request import GestureRequest
from handfirst.runtime.systems.gesture_text.settings import AdapterSettings, GestureTextSettings

SETTINGS = GestureTextSettings(
    size=64,
    text={"length": 4, "width": 3},  # type: ignore[arg-type]
    adapter=AdapterSettings(rank=1, values=5),
    gestures=(GestureSettings(name="ok", words="making ok"), GestureSettings(name="fist", words="making a fist")),
)


def specs(pictures: int | str = "batch") -> dict[str, EngineSpec]:
    def tensor(name: str, *shape: int, dtype: str = "float32") -> TensorSpec:
        return TensorSpec(name=name, dtype=dtype, shape=(pictures, *shape))  # type: ignore[arg-type]

    context, latent = tensor("context", 4, 3), (4, 8, 8)
    return {
        "text_encoder": EngineSpec(inputs=(tensor("ids", 4, dtype="int64"),), outputs=(context,)),
        "unet": EngineSpec(
            inputs=(tensor("sample", *latent), tensor("timestep", dtype="int64"), context, tensor("adapter", 5)),
            outputs=(tensor("prediction", *latent),),
        ),
        "vae_decoder": EngineSpec(inputs=(tensor("latent", *latent),), outputs=(tensor("image", 3, 64, 64),)),
    }


def test_a_job_says_what_a_request_takes() -> None:
    fields = job_fields(seam.JOBS, {"prompt": "a man", "gesture": "ok", "mu": "0.25", "seed": "7"})
    assert seam.JOBS.request(fields, {}) == GestureRequest("a man", "ok", seed=7, mu=0.25)
    assert not seam.JOBS.required and "gesture" in seam.JOBS.names


def test_gestures_are_painted_together_and_other_loops_are_not() -> None:
    one, two = GestureRequest("a man", "ok", mu=0.1), GestureRequest("a woman", "fist", seed=4)
    assert seam.together(one, SETTINGS) == seam.together(two, SETTINGS) == (45, 3.0, 0.0)
    assert seam.together(GestureRequest(steps=5), SETTINGS) != seam.together(one, SETTINGS)
    assert seam.work(one, SETTINGS) == {"steps": 45, "guidance": 3.0, "size": 64}
    with pytest.raises(RequestError, match="gesture: expected one of ok, fist, got 'like'"):
        seam.together(GestureRequest(gesture="like"), SETTINGS)
    none = SETTINGS.model_copy(update={"gestures": ()})
    with pytest.raises(RequestError, match="expected none, as this model has no gestures"):
        GestureRequest(gesture="ok").resolve(none)


def test_requests_stand_for_themselves() -> None:
    request = GestureRequest("a man", "ok", seed=3)
    assert request.seeded(4) == GestureRequest("a man", "ok", seed=4)
    assert request.varied(2).prompt == "a man 2" and request.varied(2).gesture == "ok"
    assert request.resolve(SETTINGS).mu == 0.7 and GestureRequest().resolve(SETTINGS).mu is None
    assert seam.example(seed=5) == GestureRequest("a portrait of a person", seed=5)
    assert seam.example(prompt="x", gesture="ok").gesture == "ok"
    with pytest.raises(RequestError, match="prompt: expected text"):
        GestureRequest(prompt=5)  # type: ignore[arg-type]


def test_engines_have_to_fit() -> None:
    seam.check_roles(SETTINGS, specs())
    runs = seam.runs(SETTINGS, specs(), 3)
    assert runs["unet"].shapes == [(6, (8, 8))] and runs["text_encoder"].shapes == [(1, (8, 8))]
    with pytest.raises(BundleError, match="unet missing"):
        seam.check_roles(SETTINGS, {name: spec for name, spec in specs().items() if name != "unet"})
    deaf = specs()["unet"]
    deaf = deaf.model_copy(update={"inputs": deaf.inputs[:-1]})
    with pytest.raises(BundleError, match="unet: inputs: expected adapter, context, sample, timestep"):
        seam.check_roles(SETTINGS, {**specs(), "unet": deaf})


@pytest.mark.parametrize(
    "change",
    [
        {"size": 63},
        {"gestures": (SETTINGS.gestures[0], SETTINGS.gestures[0])},
        {"gestures": ({"name": "../ok", "words": "ok"},)},
        {"gestures": ({"name": "ok", "words": ""},)},
        {"adapter": {"rank": 0, "values": 5}},
        {"defaults": {"mu": 2}},
    ],
)
def test_settings_that_make_no_sense(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        GestureTextSettings.model_validate({**SETTINGS.model_dump(), **change})
