"""Torch's exporter runs once for each graph of a run, however many tests, of whichever process, export the same part.

That is no shortcut around what is tested: the same part gives the same graph, to the byte (test_to_onnx.py and
test_bundle_writer.py export theirs again and compare). What `export_bundle` does around the exporter is done each time,
and so is the storing of large weights in half of their bits, which comes after it. Knows nothing about systems.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import pytest
import torch

from handfirst.export import bundle_writer
from handfirst.export.form import Form, form_of
from handfirst.export.graph_files import serialise
from handfirst.export.part import BATCH, InPrecision, Part
from handfirst.export.to_onnx import DTYPES, Weights, to_onnx
from handfirst.export.weights import store_half


class Exports:
    """What has been exported lies in a folder, by the digest of everything that the exporter is given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def to_onnx(self, part: Part, weights: Weights = "float16", form: Form | None = None) -> ir.Model:
        """As `to_onnx` of the export."""
        form = form or form_of(part)
        file = self._folder / f"{digest(part, form)}.onnx"
        if not file.exists():
            written = file.with_suffix(f".{os.getpid()}")
            written.write_bytes(serialise(to_onnx(part, "float32", form)))
            written.replace(file)
        elif form.precision != "float32":
            InPrecision(part.module, DTYPES[form.precision])  # the exporter converts such a part's own weights
        model = ir.from_proto(onnx.load_from_string(file.read_bytes()))
        if form.precision == "float32" and weights == "float16":
            store_half(model)
        return model

    def export_bundle(self, *given: Any, **named: Any) -> Path:
        """As `export_bundle` of the export, with these graphs."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bundle_writer, "to_onnx", self.to_onnx)
            return bundle_writer.export_bundle(*given, **named)


def digest(part: Part, form: Form) -> str:
    """Of the module with all its weights and attributes, of the spec and of the form."""
    spec = part.spec
    if spec.limits.keys() == {BATCH}:  # how many rows there may be says nothing to the exporter
        spec = spec.model_copy(update={"limits": {}})
    contents = io.BytesIO()
    _Contents(contents).dump(({**vars(part), "spec": spec.model_dump_json()}, form))
    return hashlib.sha256(contents.getvalue()).hexdigest()


class _Contents(pickle.Pickler):
    """Tensors by what is in them, and by which of them are the same one; without the folder that they came from."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._seen: dict[int, int] = {}

    def persistent_id(self, thing: object) -> object:
        if isinstance(thing, str | Path) and Path(thing).is_absolute():
            return "a folder"
        if not isinstance(thing, torch.Tensor):
            return None
        place = self._seen.setdefault(id(thing), len(self._seen))
        values = hashlib.sha256(thing.detach().flatten().view(torch.uint8).numpy().tobytes()).hexdigest()
        return place, str(thing.dtype), tuple(thing.shape), values
