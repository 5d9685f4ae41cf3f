"""A trained model folder -> a bundle: every part exported, gated and written, the manifest last.

The bundle appears whole or not at all: it grows in a hidden sibling folder that is renamed at the end. One graph is in
memory at a time, and torch's copy of it is gone before an engine opens it. Knows nothing about how a graph is made
(to_onnx.py) or judged (gate.py).
"""

from __future__ import annotations

import gc
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from handfirst.engines import manifest as manifests
from handfirst.engines.bundle import Bundle
from handfirst.engines.choice import TOLERANCE
from handfirst.engines.errors import UserError
from handfirst.engines.files import sha256
from handfirst.engines.installed import distributed
from handfirst.engines.manifest import EngineEntry, FileEntry, Manifest, write_manifest
from handfirst.engines.trust.graph_rules import check_graph_file
from handfirst.export import gate
from handfirst.export.flops import count_flops
from handfirst.export.form import Form, form_of
from handfirst.export.golden import FILE as GOLDEN
from handfirst.export.golden import golden_bytes, golden_tensors
from handfirst.export.graph_files import file_entry, read_graph, write_graph
from handfirst.export.layerwise import explain
from handfirst.export.options import DEFAULTS, ExportOptions
from handfirst.export.part import Part, PartMaker, limit_rows
from handfirst.export.systems import Source, open_source
from handfirst.export.to_onnx import to_onnx
from handfirst.export.weights import round_weights

TOKENIZER = "tokenizer.json"
LIBRARIES = (
    "handfirst", "torch", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu",
    "openvino",
)  # fmt: skip
"""Whose versions the manifest names, where they are installed."""

Progress = Callable[[str, int, int], None]
"""Called with a graph's role, the steps done for it, and their number (exported, compared, written)."""

STEPS = 3

REHEARSAL = "whole loop"
"""Under which the last gate reports progress."""


def export_bundle(
    model_folder: Path,
    out: Path,
    options: ExportOptions = DEFAULTS,
    force: bool = False,
    progress: Progress = lambda role, done, total: None,
    warn: Callable[[str], None] = lambda line: None,
) -> Path:
    """Exports every part of a model and writes the bundle.

    Args:
        model_folder: what training wrote (training/checkpoint.py).
        out: the bundle's folder; must not exist, unless `force` is given and it is a bundle or empty.
        options: its name, its precision, its sizes.
        progress: called when a graph is begun, exported, compared and done, and around the rehearsal.
        warn: called with what whoever exports should know, before anything is exported.

    Returns:
        `out`.

    Raises:
        UserError: no model there, `out` is in the way, or a graph that does not match torch. Nothing is left behind.
        EngineError: the library that runs the graphs here is not installed; said before anything is exported.
    """
    _check_target(out, force)
    gate.check_engine(options.precision)
    system, source = open_source(model_folder, options)
    for line in source.warnings:
        warn(line)
    with _staging(out) as folder:
        _fill(folder, system, source, options, progress)
        progress(REHEARSAL, 0, 1)
        source.rehearse(Bundle.open(folder))
        progress(REHEARSAL, 1, 1)
        _swap(folder, out)
    return out


def _fill(folder: Path, system: str, source: Source, options: ExportOptions, progress: Progress) -> None:
    files: dict[str, FileEntry] = {}
    engines: dict[str, EngineEntry] = {}
    golden: dict[str, NDArray[Any]] = {}
    forms: dict[str, Form] = {}
    for role, make in source.parts().items():
        progress(role, 0, STEPS)
        limited = partial(_limited, make, options.batch)
        engines[role], forms[role], tensors = _write_part(folder, limited, options, partial(progress, role))
        golden |= tensors
        files |= {file: file_entry(folder / file) for file in (engines[role].file, *engines[role].data)}
        progress(role, STEPS, STEPS)
    others = [(GOLDEN, golden_bytes(golden)), *source.assets.values()]
    if source.tokenizer is not None:
        others.append((TOKENIZER, source.tokenizer))
    files |= {file: _write(folder, file, data) for file, data in others}
    write_manifest(
        folder,
        Manifest(
            schema_version=manifests.SCHEMA_VERSION,
            name=options.name,
            system=system,
            created_with={library: metadata.version(library) for library in LIBRARIES if distributed(library)},
            engines=engines,
            files=files,
            tokenizer=None if source.tokenizer is None else TOKENIZER,
            assets={name: file for name, (file, _) in source.assets.items()},
            settings=source.settings.model_dump(mode="json"),
            decisions=source.decisions() | {f"{role}_graph": str(form) for role, form in forms.items()},
            golden=GOLDEN,
            training=source.training,
        ),
    )


def _limited(make: PartMaker, rows: int) -> Part:
    return limit_rows(make(), rows)


def _write_part(
    folder: Path,
    make: PartMaker,
    options: ExportOptions,
    progress: Callable[[int, int], None],
) -> tuple[EngineEntry, Form, dict[str, NDArray[Any]]]:
    """Writes one graph and says what it is; with its golden tensors."""
    part = make()
    form = form_of(part, options.precision, options.opset)
    if options.rounded:
        round_weights(part.module)
    role, spec, golden = part.role, part.spec, golden_tensors(part)
    trials = [gate.golden_trial(role, golden), *gate.run_trials(part)]
    flops = count_flops(part)
    files = write_graph(to_onnx(part, options.weights, form), folder, role)
    _empty(part.module)  # torch's weights make room for the engine's
    progress(1, STEPS)
    graph = read_graph(folder, files, role, spec, form.precision)
    check_graph_file(graph)  # nothing is written that the runtime would refuse
    try:
        figure = gate.check(graph, trials)
    except gate.DeviationError as error:
        again = make()
        if options.rounded:
            round_weights(again.module)
        why = explain(again, form, graph, trials[0].inputs, TOLERANCE[form.precision])
        raise UserError(f"{error}; {why}") from error
    progress(2, STEPS)
    entry = EngineEntry(
        file=files.file,
        data=files.data,
        spec=spec,
        precision=form.precision,
        opset=form.opset,
        tolerance_psnr=TOLERANCE[form.precision],
        measured_psnr=round(figure, 2),
        flops=flops,
    )
    return entry, form, golden


def _empty(module: nn.Module) -> None:
    """Gives back the memory of the weights, 3.4 GB for a full-size UNet: the exporter keeps references to them."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = torch.empty(0)
    gc.collect()


def _write(folder: Path, name: str, data: bytes) -> FileEntry:
    if (folder / name).exists():
        raise UserError(f"{name}: expected every file of a bundle to have a name of its own, got this one twice")
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
