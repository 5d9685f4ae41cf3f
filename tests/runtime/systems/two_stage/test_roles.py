"""What a model is made of: engines and settings that do not fit are refused before anything is loaded."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.arithmetic_model import FUNCTIONS, SETTINGS, model, request, spec, tokenizer
from support.fake_engine import FakeEngine

from handfirst.engines.choice import Choice
from handfirst.engines.errors import BundleError
from handfirst.engines.spec import AxisLimits, TensorSpec
from handfirst.runtime.systems.two_stage.roles import ROLES, check_roles, runs
from handfirst.runtime.systems.two_stage.settings import MaskHeadSettings, read_settings
from handfirst.runtime.systems.two_stage.system import TwoStage


def test_every_role_is_needed():
    specs = {role: spec(role) for role in ROLES}
    check_roles(SETTINGS, specs)
    for role in ROLES:
        with pytest.raises(BundleError, match=f"{role} missing"):
            check_roles(SETTINGS, {name: s for name, s in specs.items() if name != role})


def altered(role, kind, tensor, **fields):
    """The tiny specs with one tensor altered."""
    specs = {each: spec(each) for each in ROLES}
    tensors = tuple(
        TensorSpec(**{**t.model_dump(), **fields}) if t.name == tensor else t for t in getattr(specs[role], kind)
    )
    specs[role] = specs[role].model_copy(update={kind: tensors})
    return specs


@pytest.mark.parametrize(
    ("role", "kind", "name", "fields", "said"),
    [
        (
            "hand_unet",
            "inputs",
            "sample",
            {"shape": ("b", 15, 4, 4)},
            r"'sample': expected float32 \[\*,48,4,4\].*\[b,15,4,4\]",
        ),
        ("hand_unet", "inputs", "timestep", {"dtype": "float32"}, r"'timestep': expected int64"),
        ("hand_unet", "outputs", "prediction", {"shape": ("b", 4, 8, 8)}, r"hand_unet: output 'prediction'"),
        ("hand_unet", "outputs", "feature", {"shape": ("b", 7, 4, 4)}, r"hand_unet's output and mask_head's input"),
        ("mask_head", "outputs", "mask", {"shape": ("b", 1, 64, 64)}, r"expected float32 \[\*,1,32,32\]"),
        ("text_encoder", "inputs", "ids", {"shape": ("b", 77)}, r"'ids': expected int64 \[\*,8\]"),
        ("text_encoder", "outputs", "context", {"shape": ("b", 8)}, r"'context'"),
        ("hint_encoder", "inputs", "hint", {"shape": ("b", 3, 64, 64)}, r"'hint': expected float32 \[\*,4,64,64\]"),
        ("controlnet", "inputs", "hint_feature", {"shape": ("b", 9, 8, 8)}, r"hint_encoder's output and controlnet's"),
        ("controlnet", "outputs", "residual_mid", {"name": "middle"}, r"body_unet: inputs: expected .*middle.*got"),
        ("body_unet", "inputs", "residual_00", {"shape": ("b", 5, 8, 8)}, r"controlnet's output and body_unet's"),
        ("vae_decoder", "inputs", "latent", {"shape": ("b", 8, "r", "c")}, r"vae_decoder: input 'latent'"),
        ("vae_encoder", "inputs", "image", {"dtype": "float16"}, r"got float16"),
    ],
)
def test_engines_that_do_not_fit_are_named_in_one_line(role, kind, name, fields, said):
    specs = altered(role, kind, name, **fields)
    with pytest.raises(BundleError, match=said) as caught:
        check_roles(SETTINGS, specs)
    assert "\n" not in str(caught.value)
    assert "export the bundle again" in str(caught.value) or "expected" in str(caught.value)


def test_free_axes_fit_any_size():
    specs = altered("body_unet", "inputs", "sample", shape=("batch", 4, "height", "width"))
    check_roles(SETTINGS, specs)
    check_roles(SETTINGS, altered("vae_decoder", "outputs", "image", shape=("batch", 3, "h", "w")))


CELLS = AxisLimits(least=8, usual=8, most=16, multiple=8)
PIXELS = AxisLimits(least=64, usual=64, most=128, multiple=64)


def free_specs(**limits):
    """The tiny specs with maps of free size in all that sees the canvas; `limits` by axis."""
    names = {"hint_encoder": ("height", "width"), "controlnet": ("rows", "cols"), "body_unet": ("rows", "cols")}
    sides = {(8, 8): ("rows", "cols"), (64, 64): ("height", "width")}
    found = {}
    for role in ROLES:
        given = spec(role)
        tensors = {
            kind: tuple(t.model_copy(update={"shape": (*t.shape[:2], *sides[t.shape[2:]])})
                        if role in names and t.shape[2:] in sides else t for t in getattr(given, kind))
            for kind in ("inputs", "outputs")
        }  # fmt: skip
        all_limits = {"rows": CELLS, "cols": CELLS, "height": PIXELS, "width": PIXELS, **limits}
        found[role] = given.model_copy(update={**tensors, "limits": all_limits})
    return found


def test_graphs_take_every_size_that_the_settings_promise():
    body = SETTINGS.body.model_copy(update={"widths": PIXELS, "heights": PIXELS})
    promising = SETTINGS.model_copy(update={"body": body})
    check_roles(promising, free_specs())
    check_roles(SETTINGS, free_specs())
    check_roles(promising, free_specs(rows=AxisLimits(least=2, usual=8, most=50, multiple=2)))
    fixed = {**free_specs(), "controlnet": spec("controlnet")}
    with pytest.raises(BundleError, match=r"controlnet: input 'sample' takes 8 to 8 where .* promise 8 to 16 in steps"):
        check_roles(promising, fixed)
    for axis, few in (("rows", CELLS), ("cols", CELLS), ("height", PIXELS), ("width", PIXELS)):
        for worse in ({"most": few.usual}, {"least": few.most, "usual": few.most}):
            with pytest.raises(BundleError, match=r"where the bundle's settings promise .*; export the bundle again"):
                check_roles(promising, free_specs(**{axis: AxisLimits(**{**few.model_dump(), **worse})}))


def manifest(**fields):
    return SimpleNamespace(**{"name": "tiny", "system": "two-stage", "settings": SETTINGS.model_dump(), **fields})


def test_settings_are_read_from_the_manifest():
    assert read_settings(manifest()) == SETTINGS


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"system": "part-refiner"}, "expected the system two-stage, got part-refiner"),
        ({"settings": {"hand": {"sise": 32}}}, r"settings\.hand\.sise"),
        ({"settings": {"latent": {"factor": "many"}}}, r"settings\.latent\.factor.*'many'"),
        ({"settings": {"hand": {"size": 100}}}, r"settings: .*multiple of 8"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(fields, said):
    with pytest.raises(BundleError, match=said) as caught:
        read_settings(manifest(**fields))
    assert "\n" not in str(caught.value)


def test_open_checks_before_it_loads(monkeypatch):
    opened = []

    class FakeBundle:
        def __init__(self, specs):
            entries = {role: SimpleNamespace(spec=s) for role, s in specs.items()}
            self.manifest = manifest(engines=entries, tokenizer="tokenizer.json", files={})

        def size(self, role):
            return 0

        def engine(self, role, engine, threads):
            opened.append((role, engine, threads))
            return FakeEngine(spec(role), role, FUNCTIONS[role])

        def tokenizer(self):
            return tokenizer()

    home = "handfirst.runtime.systems.two_stage.system.Bundle"
    good = FakeBundle({role: spec(role) for role in ROLES})
    monkeypatch.setattr(home, SimpleNamespace(open=lambda path: good))
    system = TwoStage.open("anywhere", engine="cpu", threads=3)
    assert system.engine == Choice("cpu", "asked for")
    assert opened == [(role, "cpu", 3) for role in ROLES]
    assert system.bundle is good
    np.testing.assert_array_equal(system.render(request()).image, model()[0].render(request()).image)
    bad = FakeBundle(altered("hand_unet", "inputs", "sample", shape=("b", 15, 4, 4)))
    monkeypatch.setattr(home, SimpleNamespace(open=lambda path: bad))
    opened.clear()
    with pytest.raises(BundleError, match="hand_unet"):
        TwoStage.open("anywhere")
    assert opened == []


def test_a_model_put_together_by_hand_has_no_bundle_and_can_be_closed():
    system, _ = model()
    with pytest.raises(ValueError, match="not opened from a bundle"):
        _ = system.bundle
    system.close()
    with pytest.raises(Exception, match="closed"):
        system.render(request())


def test_the_mask_heads_feature_has_the_size_that_its_source_has():
    hand = SETTINGS.hand.model_copy(update={"mask_head": MaskHeadSettings(source="up_block")})
    settings = SETTINGS.model_copy(update={"hand": hand})
    half = ("b", 2, 2, 2)  # 32 pixels are 4 cells, and 2 before the last upsampler
    specs = altered("hand_unet", "outputs", "feature", shape=half)
    with pytest.raises(BundleError, match=r"hand_unet: output 'feature': expected float32 \[\*,\*,4,4\]"):
        check_roles(SETTINGS, specs)
    specs["mask_head"] = altered("mask_head", "inputs", "feature", shape=half)["mask_head"]
    check_roles(settings, specs)
    assert runs(settings, specs, 1)["mask_head"].shapes == [(1, (2, 2)), (2, (2, 2))]
    assert runs(SETTINGS, specs, 1)["mask_head"].shapes == [(1, (4, 4)), (2, (4, 4))]
