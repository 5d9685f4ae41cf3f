"""Bundles whose settings are absurd or do not fit their engines: refused in one line, before any file but the manifest
is read and before any engine is opened.
"""

from pathlib import Path

import pytest
from support.arithmetic_model import SETTINGS, spec, tokenizer

from handfirst.engines import bundle as bundles
from handfirst.engines.errors import BundleError
from handfirst.engines.files import sha256
from handfirst.engines.manifest import EngineEntry, FileEntry, Manifest, write_manifest
from handfirst.runtime.systems.two_stage.roles import ROLES
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.runtime.systems.two_stage.system import TwoStage


def write(folder, settings, **roles):
    """A bundle of engines that are no graphs: whoever reads one fails. `roles` replace specs, None drops one."""
    folder.mkdir()
    contents = {"x.onnx": b"never read", "tokenizer.json": tokenizer()}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    specs = {role: roles.get(role, spec(role)) for role in ROLES}
    write_manifest(
        folder,
        Manifest(
            schema_version=1,
            name="tiny",
            system="two-stage",
            created_with={"handfirst": "0.1.0"},
            engines={
                role: EngineEntry(
                    file="x.onnx", spec=each, precision="float32", opset=21, tolerance_psnr=60, measured_psnr=120
                )
                for role, each in specs.items()
                if each is not None
            },
            files={name: FileEntry(sha256=sha256(data), size=len(data)) for name, data in contents.items()},
            tokenizer="tokenizer.json",
            settings=settings,
            decisions={},
        ),
    )
    return folder


@pytest.fixture(autouse=True)
def only_the_manifest(monkeypatch, tmp_path):
    read = bundles._read

    def guarded(folder, name, *limits):
        assert name == "manifest.json", f"{name} was read before the settings were judged"
        return read(folder, name, *limits)

    monkeypatch.setattr(bundles, "_read", guarded)
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *_, **__: pytest.fail("an engine was opened"))
    monkeypatch.chdir(tmp_path)


def set_to(path, value):
    """The good settings, as the manifest holds them, with one field replaced."""
    settings = SETTINGS.model_dump(mode="json")
    at = settings
    *most, last = path.split(".")
    for key in most:
        at = at[key]
    at[last] = value
    return settings


def refused(folder):
    with pytest.raises(BundleError) as caught:
        TwoStage.open(folder)
    said = str(caught.value)
    assert said.isprintable() and len(said) <= 400
    return said


ABSURD = {
    "schedule.train_steps": 10**9,
    "schedule.steps_offset": 10**9,
    "schedule.beta_start": -1,
    "latent.channels": 10**6,
    "latent.factor": 10**6,
    "latent.mean": [0.0] * 10**5,
    "latent.std": [0.0, 1.0, 1.0, 1.0],
    "text.length": 10**9,
    "text.width": 10**9,
    "text.begin": -1,
    "text.end": 1 << 40,
    "text.pad": 1 << 70,
    "hand.size": 8 * 10**9,
    "hand.margin": 1e30,
    "hand.condition.grid": 10**9,
    "hand.condition.fold": 10**6,
    "hand.condition.amplitude": [1.0] * 10**4,
    "hand.condition.sigma": 0,
    "body.height": 8 * 10**9,
    "body.width": -64,
    "body.hint_channels": 10**6,
    "body.unblended": 10**12,
    "body.blend_source": "../../etc/passwd",
    "defaults.steps": 10**9,
    "defaults.guidance": 1e30,
    "defaults.hand_guidance": 1e30,
    "defaults.eta": 2,
    "surprise": 1,
    "hand": 7,
}


@pytest.mark.parametrize("path", ABSURD)
def test_absurd_settings_are_refused_by_the_manifest_alone(path):
    said = refused(write(Path("b"), set_to(path, ABSURD[path])))
    assert f"settings.{path.split('.')[0]}" in said and path.split(".")[-1] in said


@pytest.mark.parametrize("value", ["50", True, 50.0, [50], None])
def test_settings_are_as_strict_as_the_manifest(value):
    for path in ("defaults.steps", "schedule.train_steps", "body.height"):
        assert path in refused(write(Path(f"{path}-{value}"), set_to(path, value)))
    for path in ("hand.margin", "schedule.beta_start"):
        if value != 50.0:
            assert path in refused(write(Path(f"{path}-{value}"), set_to(path, value)))
    if value is not True:
        path = "schedule.set_alpha_to_one"
        assert path in refused(write(Path(f"{path}-{value}"), set_to(path, value)))


@pytest.mark.parametrize("number", ["inf", "-inf", "nan"])
@pytest.mark.parametrize("path", ["latent.mean", "hand.margin", "defaults.guidance", "hand.condition.amplitude"])
def test_settings_are_finite(path, number):
    value = float(number)
    many = {"latent.mean": [value] * 4, "hand.condition.amplitude": [value] * 21}
    with pytest.raises(ValueError, match="finite"):
        TwoStageSettings.model_validate(set_to(path, many.get(path, value)))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("latent.channels", 8, "hand_unet: input 'sample'"),
        ("text.length", 77, "text_encoder: input 'ids'"),
        ("text.width", 768, "text_encoder: output 'context'"),
        ("body.height", 512, "hint_encoder: input 'hint'"),
        ("body.width", 128, "hint_encoder: input 'hint'"),
    ],
)
def test_settings_that_do_not_fit_the_engines_are_refused(path, value, said):
    settings = set_to(path, value)
    if path == "latent.channels":
        settings["latent"] |= {"mean": [0.0] * value, "std": [1.0] * value}
    message = refused(write(Path("b"), settings))
    assert said in message and "from the bundle's settings" in message and "export the bundle again" in message


def reshaped(role, kind, name, shape):
    old = spec(role)
    tensors = tuple(t.model_copy(update={"shape": shape}) if t.name == name else t for t in getattr(old, kind))
    return old.model_copy(update={kind: tensors})


def test_engines_that_do_not_fit_are_refused():
    other = reshaped("hint_encoder", "inputs", "hint", ("batch", 3, 64, 64))
    assert "'hint': expected float32 [*,4,64,64]" in refused(
        write(Path("a"), set_to("hand.size", 32), hint_encoder=other)
    )
    assert "mask_head missing" in refused(write(Path("b"), SETTINGS.model_dump(mode="json"), mask_head=None))


def test_another_system_is_refused():
    folder = write(Path("b"), SETTINGS.model_dump(mode="json"))
    manifest = (folder / "manifest.json").read_text().replace('"two-stage"', '"part-refiner"')
    (folder / "manifest.json").write_text(manifest)
    assert "expected the system two-stage, got part-refiner" in refused(folder)
