"""Three stages on rendered people: the feature by hand, what each stage leaves alone, and that what is served was
learnt."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file
from support.finetuning import SHORT, leave_no_process_state
from support.tiny_annotated import tiny_base
from support.tiny_gesture import write_tiny_gestures
from torch import Tensor
from typer.testing import CliRunner

from handfirst.engines.errors import UserError
from handfirst.runtime.cli.main import app
from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.pose.topology import HANDS, SIDES
from handfirst.training.data.example import Example
from handfirst.training.data.procedural.writer import render_dataset
from handfirst.training.data.shards import open_shards
from handfirst.training.gestures.feature import centred, mean_feature, true_points
from handfirst.training.gestures.folder import read_feature
from handfirst.training.gestures.options import FeatureOptions
from handfirst.training.loop.run import Data, train_stage
from handfirst.training.models.folder import read_tokenizer
from handfirst.training.systems import stages_of
from handfirst.training.systems.gesture_text.config import Base, new_model, parse_features
from handfirst.training.systems.gesture_text.model_folder import GestureTextFolder, gather
from handfirst.training.systems.gesture_text.options import BaseOptions, EmbeddingOptions, TuningOptions
from handfirst.training.systems.gesture_text.training import PhaseMaker


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people of 48 x 48 pixels, one hand of each showing ok."""
    folder = tmp_path_factory.mktemp("people")
    render_dataset("person", folder, 6, 48, workers=1, progress=False, gesture="ok")
    return folder


@pytest.fixture(scope="module")
def people(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    opened = open_shards(shards, tmp_path_factory.mktemp("index"))
    return [opened.read(i) for i in range(len(opened))]


def run(stage: str, model: Path, shards: Path, out: Path, **changes: Any) -> Path:
    leave_no_process_state()
    kind = stages_of("gesture-text")[stage]
    options = kind.options.model_validate({**SHORT, "steps": 3, "batch": 2, "gesture": "ok", **changes})
    trained = train_stage(stage, kind, model, Data((shards,), (1.0,)), options, out, show=False)
    assert trained is not None
    return trained


def stacked(sample: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.asarray(value))[None] for name, value in sample.items()}


def test_people_by_gesture(people: list[Example]) -> None:
    sides = ["left" if example.attributes["left_hand"] == "ok" else "right" for example in people]
    assert {example.attributes[f"{side}_hand"] for example, side in zip(people, sides, strict=True)} == {"ok"}
    assert set(sides) == set(SIDES) and people[0].key == "person-ok-000000000"


def test_a_feature_by_hand(people: list[Example]) -> None:
    total = np.zeros((21, 3))
    for example in people:
        side = "left" if example.attributes["left_hand"] == "ok" else "right"
        rows = example.keypoints[HANDS[side]].astype(np.float64)
        depths = example.point_depths[HANDS[side]].astype(np.float64)
        flat = np.hypot(*(rows[9] - rows[0])[:2]) / 48
        across = np.sqrt(max(81 - (depths[9] - depths[0]) ** 2, 81 / 16))
        total += np.c_[rows[:, :2] / 48, (depths - depths[0]) * flat / across]
    found, count = mean_feature(people, FeatureOptions(gesture="ok"))
    assert count == 6 and found.dtype == np.float32
    np.testing.assert_allclose(found, (total / 6).ravel(), rtol=1e-5, atol=1e-6)


def test_a_centred_feature_does_not_know_where_the_hand_was(people: list[Example]) -> None:
    side = "left" if people[0].attributes["left_hand"] == "ok" else "right"
    points = true_points(people[0], HANDS[side])
    assert points is not None
    moved = points * 0.5 + (0.2, 0.1, 0)
    np.testing.assert_allclose(centred(moved), centred(points), atol=1e-9)
    assert np.linalg.norm(centred(points)[9]) == pytest.approx(1)


def test_examples_of_another_gesture_are_refused(people: list[Example]) -> None:
    with pytest.raises(UserError, match="expected pictures of the gesture fist alone, got"):
        mean_feature(people, FeatureOptions(gesture="fist"))
    blind = Example(**{**vars(people[0]), "keypoints": np.zeros((133, 3), np.float32)})
    with pytest.raises(UserError, match="gesture ok: expected pictures of its hand, but no whole hand is known"):
        mean_feature([blind], FeatureOptions(gesture="ok"))


class Landmarks:
    """MediaPipe as far as a feature needs it: sees a hand in every other picture."""

    def __init__(self, **said: Any) -> None:
        self.said, self.asked = said, 0

    def __call__(self, **said: Any) -> Landmarks:
        assert said == {"static_image_mode": True, "max_num_hands": 1, "min_detection_confidence": 0.5}
        return self

    def __enter__(self) -> Landmarks:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def process(self, picture: np.ndarray) -> SimpleNamespace:
        self.asked += 1
        hand = [SimpleNamespace(x=self.asked + i, y=0.5, z=-i) for i in range(21)]
        return SimpleNamespace(multi_hand_landmarks=[SimpleNamespace(landmark=hand)] if self.asked % 2 else None)


def test_a_feature_of_what_mediapipe_sees(people: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    hands = SimpleNamespace(hands=SimpleNamespace(Hands=Landmarks()))
    monkeypatch.setattr("handfirst.training.gestures.feature.solutions", lambda: hands)
    found, count = mean_feature(people, FeatureOptions(gesture="ok", points="mediapipe"))
    assert count == 3  # pictures 1, 3 and 5
    np.testing.assert_allclose(found.reshape(21, 3), [(3 + i, 0.5, -i) for i in range(21)])


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(62), r"expected 63 numbers \(x, y, z of 21 points\), got float64 \[62\]"),
        (np.full(63, np.nan), "finite"),
        (np.array(["a"] * 63), "expected 63 numbers"),
        (None, "expected an .npy file"),
    ],
)
def test_a_feature_file_that_is_none(tmp_path: Path, array: np.ndarray | None, said: str) -> None:
    file = tmp_path / "ok.npy"
    file.write_bytes(b"nothing") if array is None else np.save(file, array)
    with pytest.raises(UserError, match=said):
        read_feature(file)


def test_features_of_the_published_layout_begin_a_model(tmp_path: Path) -> None:
    np.save(tmp_path / "ok.npy", np.arange(63, dtype=np.float64).reshape(21, 3))
    features = parse_features([f"ok={tmp_path / 'ok.npy'}"])
    new_model(Base.of_checkpoint(tiny_base(), 16), tmp_path / "model", 2, features)
    source = GestureTextFolder(tmp_path / "model")
    assert source.settings.names == ("ok",) and source.feature("ok").tolist() == list(range(63))
    assert source.gesture("ok").words == "making the ok hand gesture"
    with pytest.raises(UserError, match=r"expected NAME=FILE\.npy, every name once"):
        parse_features(["ok"])


@pytest.mark.parametrize(("share", "prediction"), [(0.7, "epsilon"), (1.0, "epsilon")])
def test_the_loss_by_hand(tmp_path: Path, people: list[Example], share: float, prediction: str) -> None:
    model = write_tiny_gestures(tmp_path / "model", "ok")
    maker = PhaseMaker(model, TuningOptions(gesture="ok", share=share))
    stage, sample = maker.stage(), stacked(maker.samples.fix(people[0], np.random.default_rng(0), 300))
    source, base = GestureTextFolder(model), tiny_base()
    files, t = load_file(source.place("ok") / "fusion.safetensors"), torch.tensor([300])
    with torch.no_grad():
        x_0 = base.vae.encode(sample["rgb"].permute(0, 3, 1, 2) / 127.5 - 1).latent_dist.mode() * 0.18215
        words = f"{people[0].caption}, making the ok hand gesture"
        tokens = base.tokenizer.encode(words, add_special_tokens=False).ids[:6]
        assert sample["ids"][0].tolist() == [0, *tokens, 1]
        E = base.text_encoder(sample["ids"]).last_hidden_state
        F = E + (files["U"] @ (files["V"] @ torch.cat([E.flatten(), source.feature("ok")]))).view(E.shape)
        said = base.schedule
        scheduler = DDIMScheduler(1000, said.beta_start, said.beta_end, said.betas)
        x_t = scheduler.add_noise(x_0, sample["eps"], t)
        error = base.unet(x_t, t, share * E + (1 - share) * F).sample - sample["eps"]
        torch.testing.assert_close(stage.losses(sample)["noise"], (error**2).mean(), rtol=1e-4, atol=1e-6)
    drawn = stage.draw(sample, 2, 0)
    assert [row.shape for row in drawn.rows] == [(1, 16, 16, 3)] * 2


def test_dropped_words_take_the_gesture_with_them(tmp_path: Path, people: list[Example]) -> None:
    model = write_tiny_gestures(tmp_path / "model", "ok")
    sample = PhaseMaker(model, TuningOptions(gesture="ok", text_dropout=1)).samples.draw(
        people[0], np.random.default_rng(0)
    )
    assert not sample["gestured"] and sample["ids"].tolist() == [0, 1, 1, 1, 1, 1, 1, 1]


def test_kept_latents_make_the_same_batch(tmp_path: Path, people: list[Example]) -> None:
    maker = PhaseMaker(write_tiny_gestures(tmp_path / "model", "ok"), TuningOptions(gesture="ok", text_dropout=0.5))
    stage = maker.stage()
    keeper = stage.keeper(maker.samples)
    kept = keeper.finish([keeper.prepare(example) for example in people], torch.device("cpu"))
    for seed, (example, one) in enumerate(zip(people, kept, strict=True)):
        direct = stage.encode(stacked(maker.samples.draw(example, np.random.default_rng(seed))))
        again = stage.encode(stacked(keeper.drawer().draw(one, np.random.default_rng(seed))))
        assert torch.equal(direct.t, again.t) and torch.equal(direct.gestured, again.gestured)
        assert torch.equal(direct.context, again.context) and torch.equal(direct.eps, again.eps)
        torch.testing.assert_close(direct.x_0, again.x_0, rtol=1e-5, atol=1e-5)


def frozen(before: Path, after: Path) -> set[str]:
    """Files of weights that are equal in both, byte for byte."""
    names = {str(file.relative_to(before)) for file in before.rglob("*.safetensors")}
    names |= {str(file.relative_to(before)) for file in before.rglob("*.npy")}
    return {
        name
        for name in names
        if (after / name).exists() and (before / name).read_bytes() == (after / name).read_bytes()
    }


def test_three_stages_and_what_each_leaves_alone(shards: Path, tmp_path: Path) -> None:
    networks = {f"{name}/diffusion_pytorch_model.safetensors" for name in ("unet", "vae")}
    networks |= {"text_encoder/model.safetensors"}
    new_model(Base.of_checkpoint(tiny_base(), 16), tmp_path / "model", 2)
    first = run("feature", tmp_path / "model", shards, tmp_path / "a", rank=3)
    assert frozen(tmp_path / "model", first) == networks and GestureTextFolder(first).gesture("ok").rank == 3
    second = run("embedding", first, shards, tmp_path / "b")
    assert frozen(first, second) == {*networks, "gestures/ok/feature.npy"}
    assert load_file(second / "gestures/ok/fusion.safetensors")["U"].abs().max() > 0
    third = run("tuning", second, shards, tmp_path / "c")
    assert frozen(second, third) == {*networks, "gestures/ok/feature.npy", "gestures/ok/fusion.safetensors"}
    source = GestureTextFolder(third)
    assert source.adapter("ok").abs().max() > 0 and not GestureTextFolder(second).adapter("ok").any()
    assert len(source.values("ok")) == source.settings.values(source.gesture("ok"))
    told = json.loads((third / "training.json").read_text())
    assert told["ok feature"]["pictures"] and told["ok embedding"]["steps"] == told["ok tuning"]["steps"] == 3
    assert told["ok embedding"]["parameters"] == 3 * (2 * 256 + 63)
    again = run("embedding", third, shards, tmp_path / "d")  # another embedding: what was tuned for the old one goes
    assert not GestureTextFolder(again).adapter("ok").any()


def test_gradients_reach_the_phase_and_nothing_else(tmp_path: Path, people: list[Example]) -> None:
    model = write_tiny_gestures(tmp_path / "model", "ok")
    for options, part in ((EmbeddingOptions(gesture="ok"), "fusion."), (TuningOptions(gesture="ok"), "unet.")):
        maker = PhaseMaker(model, options)
        stage = maker.stage()
        stage.losses(stacked(maker.samples.fix(people[0], np.random.default_rng(0), 500)))["noise"].backward()
        reached = {name for name, p in stage.task.model.named_parameters() if p.grad is not None}
        wanted = {name for name, p in stage.task.model.named_parameters() if p.requires_grad}
        assert reached == wanted and all(name.startswith(part) for name in reached)
        assert part == "fusion." or all("lora_" in name for name in reached)


def test_what_is_refused(tmp_path: Path, shards: Path) -> None:
    model = write_tiny_gestures(tmp_path / "model", "ok")
    with pytest.raises(UserError, match=r"gesture 'fist': expected one of the model's \(ok\)"):
        PhaseMaker(model, EmbeddingOptions(gesture="fist"))
    with pytest.raises(UserError, match="share: expected less than 1"):
        PhaseMaker(model, EmbeddingOptions(gesture="ok", share=1))
    random = run("feature", model, shards, tmp_path / "r", fusion="frozen-random", seed=4)
    with pytest.raises(UserError, match="expected a fusion that is trained, got the frozen random one"):
        PhaseMaker(random, EmbeddingOptions(gesture="ok"))
    assert not list((random / "gestures/ok").glob("*.safetensors"))
    with pytest.raises(UserError, match="expected pictures of the gesture fist alone"):
        run("feature", model, shards, tmp_path / "f", gesture="fist")
    (model / "system").write_text("two-stage\n")
    with pytest.raises(UserError, match="expected a model of the system gesture-text"):
        GestureTextFolder(model)


def test_gestures_that_were_trained_apart_come_together(tmp_path: Path) -> None:
    one, two = (write_tiny_gestures(tmp_path / name, name) for name in ("ok", "fist"))
    gather([one, two], tmp_path / "both")
    both = GestureTextFolder(tmp_path / "both")
    assert both.settings.names == ("ok", "fist")
    np.testing.assert_array_equal(both.values("fist"), GestureTextFolder(two).values("fist"))
    with pytest.raises(UserError, match="got ok again"):
        gather([one, one], tmp_path / "twice")
    assert not (tmp_path / "twice").exists()


def test_the_command_line_begins_a_model(tmp_path: Path) -> None:
    none = CliRunner().invoke(app, ["init", "gesture-text", str(tmp_path / "model")])
    assert isinstance(none.exception, UserError) and "one of --base and --checkpoint, got none" in str(none.exception)
    wrong = CliRunner().invoke(app, ["init", "gesture-text", str(tmp_path / "model"), "--base", str(tmp_path)])
    assert "expected a trained two-stage model" in str(wrong.exception) and not (tmp_path / "model").exists()


def test_shipped_configurations(tmp_path: Path) -> None:
    for stage, steps in (("embedding", 10_000), ("tuning", 20_000)):
        kind = stages_of("gesture-text")[stage]
        assert list(kind.configs) == ["paper", "demo"] and kind.configs["demo"].is_file()
        assert kind.options(gesture="ok").steps == steps  # type: ignore[call-arg]


def test_a_base_learns_without_a_gesture_and_before_there_is_one(
    people: list[Example], shards: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    new_model(Base.of_checkpoint(tiny_base(), 16), model, 2)
    maker = PhaseMaker(model, BaseOptions(text_dropout=0))
    stage, sample = maker.stage(), stacked(maker.samples.fix(people[0], np.random.default_rng(0), 30))
    source = GestureTextFolder(model)
    ids = token_ids(read_tokenizer(model), people[0].caption, source.settings.text)[0]
    assert sample["ids"][0].tolist() == ids.tolist()  # the caption as it is
    batch = stage.encode(sample)
    scheduler = DDIMScheduler(1000, 0.00085, 0.012, "scaled_linear", prediction_type="epsilon")
    x_t = scheduler.add_noise(batch.x_0, batch.eps, batch.t)
    expected = (source.unet()(x_t, batch.t, batch.context).sample - batch.eps).square().mean()
    torch.testing.assert_close(stage.losses(sample)["noise"], expected, rtol=1e-4, atol=1e-6)
    trained = run("base", model, shards, tmp_path / "run", gesture="", ema=0.0)
    changed = {
        str(file.relative_to(model))
        for file in model.rglob("*")
        if file.is_file() and file.read_bytes() != (trained / file.relative_to(model)).read_bytes()
    }
    assert "unet/diffusion_pytorch_model.safetensors" in changed
    assert changed <= {"unet/diffusion_pytorch_model.safetensors", "unet/config.json", "training.json"}
    assert json.loads((trained / "training.json").read_text())["base"]["steps"] == 3
    with pytest.raises(UserError, match=r"its gestures \(ok\) were learnt with the base as it is"):
        PhaseMaker(write_tiny_gestures(tmp_path / "gestures", "ok"), BaseOptions())
