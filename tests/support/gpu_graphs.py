"""Graphs of a tiny model in the form for GPUs (export/form.py): opset 23 where attention fits."""

from __future__ import annotations

from dataclasses import dataclass

from support.tiny_model import tiny_model

from handfirst.engines.graph import Graph, Precision
from handfirst.export.form import NEWEST, Form, form_of, head_sizes
from handfirst.export.gate import Trial, run_trials
from handfirst.export.graph_files import serialise
from handfirst.export.systems.two_stage.parts import part_makers
from handfirst.export.to_onnx import to_onnx

ROLES: dict[Precision, tuple[str, ...]] = {
    "float16": ("text_encoder", "hand_unet", "controlnet", "vae_decoder"),
    "bfloat16": ("mask_head", "controlnet"),
}


@dataclass(frozen=True, eq=False)
class GpuGraph:
    """A graph, its form, the heads of its attention, and what torch answers in float32."""

    graph: Graph
    form: Form
    heads: tuple[int, ...]
    trials: list[Trial]


def export_gpu_graphs() -> dict[str, GpuGraph]:
    """By precision and role, "float16 hand_unet"."""
    found = {}
    for precision, roles in ROLES.items():
        makers = part_makers(tiny_model())
        for role in roles:
            part = makers[role]()
            heads, form, trials = head_sizes(part), form_of(part, precision, NEWEST), run_trials(part)
            model = serialise(to_onnx(part, "float32", form))
            graph = Graph(role, part.spec, model, precision=form.precision, source=f"{precision} {role}")
            found[graph.source] = GpuGraph(graph, form, heads, trials)
    return found
