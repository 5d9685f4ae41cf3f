"""A trained model folder -> a bundle: every part exported, gated and written, the manifest last.

The bundle appears whole or not at all: it grows in a hidden sibling folder that is renamed at the end. One graph is in
memory at a time. Knows nothing about how a graph is made (to_onnx.py) or judged (gate.py).
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from handfirst.engines import manifest as manifests
from handfirst.engines.errors import UserError
from handfirst.engines.files import sha256
from handfirst.engines.manifest import EngineEntry, FileEntry, Manifest, write_manifest
from handfirst.export import gate
from handfirst.export.decisions import decisions
from handfirst.export.golden import FILE as GOLDEN
from handfirst.export.golden import golden_bytes, golden_tensors
from handfirst.export.parts import Part, two_stage_parts
from handfirst.export.to_onnx import OPSET, Weights, to_onnx
from handfirst.export.weights import round_weights
from handfirst.training.checkpoint import TwoStageModel, load_model

TOKENIZER = "tokenizer.json"
LIBRARIES = ("handfirst", "torch", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime")

Progress = Callable[[str, int, int], None]
"""Called with a graph's role, the steps done for it, and their number (exported, compared, written)."""

STEPS = 3


def export_bundle(
    model_folder: Path,
    out: Path,
    name: str = "demo",
    weights: Weights = "float16",
    force: bool = False,
    progress: Progress = lambda role, done, total: None,
) -> Path:
    """Exports every part of a model and writes the bundle.

    Args:
        model_folder: what training wrote (training/checkpoint.py).
        out: the bundle's folder; must not exist, unless `force` is given and it is a bundle or empty.
        name: the bundle's name in its manifest.
        weights: how large weights are stored; float16 halves the files, the arithmetic stays float32.
        progress: called three times per graph.

    Returns:
        `out`.

    Raises:
        UserError: no model there, `out` is in the way, or a graph that does not match torch. Nothing is left behind.
    """
    _check_target(out, force)
    model = load_model(model_folder)
    if weights == "float16":
        for network in model.networks().values():
            round_weights(network)
    with _staging(out) as folder:
        _fill(folder, model, name, weights, progress)
        _swap(folder, out)
    return out


def _fill(folder: Path, model: TwoStageModel, name: str, weights: Weights, progress: Progress) -> None:
    files: dict[str, FileEntry] = {}
    engines: dict[str, EngineEntry] = {}
    golden: dict[str, NDArray[Any]] = {}
    for part in two_stage_parts(model):
        progress(part.role, 0, STEPS)
        engines[part.role], files[f"{part.role}.onnx"] = _write_part(folder, part, weights, progress)
        golden |= golden_tensors(part)
        progress(part.role, STEPS, STEPS)
    files[TOKENIZER] = _write(folder, TOKENIZER, model.tokenizer.to_str().encode())
    files[GOLDEN] = _write(folder, GOLDEN, golden_bytes(golden))
    write_manifest(
        folder,
        Manifest(
            schema_version=manifests.SCHEMA_VERSION,
            name=name,
            system="two-stage",
            created_with={library: metadata.version(library) for library in LIBRARIES},
            engines=engines,
            files=files,
            tokenizer=TOKENIZER,
            settings=model.settings.model_dump(mode="json"),
            decisions=decisions(model.settings, weights),
            golden=GOLDEN,
            training=model.training,
        ),
    )


def _write_part(folder: Path, part: Part, weights: Weights, progress: Progress) -> tuple[EngineEntry, FileEntry]:
    graph = to_onnx(part, weights)
    progress(part.role, 1, STEPS)
    figure = gate.check(part, graph)
    progress(part.role, 2, STEPS)
    file = f"{part.role}.onnx"
    entry = EngineEntry(
        file=file,
        spec=part.spec,
        precision="float32",
        opset=OPSET,
        tolerance_psnr=gate.TOLERANCE,
        measured_psnr=round(figure, 2),
    )
    return entry, _write(folder, file, graph)


def _write(folder: Path, name: str, data: bytes) -> FileEntry:
    (folder / name).write_bytes(data)
    return FileEntry(sha256=sha256(data), size=len(data))


def _check_target(out: Path, force: bool) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if not force:
        raise UserError(f"{out} exists already; choose another place, or replace it with --force")
    if not out.is_dir() or out.is_symlink() or (any(out.iterdir()) and not (out / manifests.FILE).is_file()):
        raise UserError(
            f"{out} is not a bundle (no {manifests.FILE} in it) and will not be replaced; choose another place"
        )


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, removed again whatever happens."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = _sibling(out)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _swap(folder: Path, out: Path) -> None:
    """`folder` becomes `out`; what was there before comes back if that fails."""
    old = _sibling(out)
    if out.exists():
        out.replace(old)
    try:
        folder.replace(out)
    except OSError:
        if old.exists():
            old.replace(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sibling(out: Path) -> Path:
    return out.with_name(f".{out.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
