"""A profile as one HTML file that needs nothing else: figures, tables with bars. No scripts, nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import median

import numpy as np

from handfirst.runtime.profile.figures import BETWEEN, PartFigures
from handfirst.runtime.profile.measure import Batch, Job
from handfirst.runtime.profile.profile import Profile, most
from handfirst.runtime.profile.table import LEFT, megabytes, number, percent, remarks, table

COLOURS = ("#8c6bb1", "#2b7bba", "#7fb8e6", "#5aa469", "#e07b39", "#f2b880")
"""Stages in their order; light ones are the decoders of the dark ones."""
NO_COLOUR, PALE = "#b8bec6", "#c9d1d9"

VISIBLE = 0.003
"""The part of the wall time below which a bar would be a hair."""

MOST_JOBS = 40
"""Rows of the table of jobs; of more, neighbours share one."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #24292f; background: #fff; margin: 2.5rem auto; max-width: 920px;
  padding: 0 1rem; print-color-adjust: exact; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.4rem 0 .3rem; }
p { margin: .2rem 0 .8rem; color: #57606a; } ul { padding-left: 1.1rem; color: #57606a; font-size: .9rem; }
dl { display: flex; flex-wrap: wrap; border: 1px solid #e5e7eb; margin: 1.4rem 0; }
dl div { flex: 1 0 130px; padding: .6rem .8rem; border-right: 1px solid #e5e7eb; }
dt { font-size: .8rem; color: #57606a; } dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .22rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #eef0f2; }
th { color: #57606a; font-weight: 600; } .words { text-align: left; }
.bars th { font-weight: 400; color: #24292f; width: 1%; } .bars td { color: #57606a; border-color: #fff; width: 1%; }
.bars th { border-color: #fff; } .bars td.scale { width: 98%; padding: 0; position: relative; background: #f6f8fa; }
.bar { display: flex; height: 12px; margin: 2px 0; } .bar + .bar { margin-top: 0; }
.bar i { display: block; height: 100%; min-width: 1px; }
.mark { position: absolute; top: 0; bottom: 0; margin-left: -2px; border-left: 2px dashed #24292f; }
.key { display: inline-block; margin-right: 1.2rem; font-size: .85rem; color: #24292f; }
.key i { display: inline-block; width: 12px; height: 12px; margin-right: .4rem; vertical-align: -1px; }
pre { font-size: .78rem; background: #f6f8fa; padding: .8rem; overflow-x: auto; }
"""


@dataclass(frozen=True)
class Piece:
    """A stretch of a bar."""

    value: float
    colour: str
    note: str = ""
    """What appears when the pointer rests on it."""


@dataclass(frozen=True)
class Row:
    """A name, one bar or several below each other, each of pieces that follow on each other, and what is written."""

    label: str
    bars: tuple[tuple[Piece, ...], ...]
    words: str


def bars(rows: Sequence[Row], mark: float | None = None) -> str:
    """A table of bars on one scale, from 0 to the longest of them.

    Args:
        rows: from the top.
        mark: a dashed line at this value.
    """
    longest = max([*(sum(piece.value for piece in bar) for row in rows for bar in row.bars), mark or 0.0])
    scale = 100 / longest if longest > 0 else 0.0
    line = "" if mark is None else f'<b class="mark" style="left:{scale * mark:.2f}%"></b>'
    return f'<table class="bars">{"".join(_row(row, scale, line) for row in rows)}</table>'


def _row(row: Row, scale: float, line: str) -> str:
    drawn = "".join(f'<div class="bar">{"".join(_piece(piece, scale) for piece in bar)}</div>' for bar in row.bars)
    return (
        f'<tr><th class="words">{escape(row.label)}</th><td class="scale">{drawn}{line}</td>'
        f'<td class="words">{escape(row.words)}</td></tr>'
    )


def _piece(piece: Piece, scale: float) -> str:
    tip = f' title="{escape(piece.note)}"' if piece.note else ""
    return f'<i style="width:{scale * max(piece.value, 0.0):.2f}%;background:{piece.colour}"{tip}></i>'


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """(name, colour) in a row."""
    keys = (f'<span class="key"><i style="background:{colour}"></i>{escape(name)}</span>' for name, colour in entries)
    return f"<p>{''.join(keys)}</p>"


def html_report(profile: Profile) -> str:
    """The whole file."""
    name, digest = profile.bundle
    colours = _colours(profile.parts)
    used = [(stage.replace("_", " ") or BETWEEN, colour) for stage, colour in colours.items()]
    sections = [
        ("Where the time goes", "Milliseconds of a job, mean over the steady ones; colours are stages.",
         legend(used) + _shares(profile, colours)),
        ("Job by job", "Wall time by stage; the grey end is what no stage accounts for. Cold jobs come first.",
         legend(used) + _jobs(profile, colours)),
        ("First call against steady state",
         "What the larger parts take in the very first job (pale) and in a steady one, together for all their calls.",
         _firsts(profile, colours)),
        ("Achieved operations per second",
         f"Convolutions and matrix products only. The dashed line is this machine's peak, "
         f"{number(profile.peak.flops_per_second / 1e9)} GFLOP/s: {profile.peak.how}.",
         _speeds(profile, colours)),
        ("Throughput by batch size", "Pictures painted together, doubled until that gains less than 5 %.",
         _batches(profile)),
        ("All figures", "Times of calls are percentiles, MB are tensors into and out of engines for a job.",
         _table(profile)),
        ("Measured on", "", f"<pre>{escape(json.dumps(profile.about(), indent=1))}</pre>"),
    ]  # fmt: skip
    body = "".join(f"<h2>{escape(head)}</h2><p>{escape(words)}</p>{shown}" for head, words, shown in sections if shown)
    title = f"{name} {digest[:12]} on {profile.engine.engine}"
    said = "".join(f"<li>{escape(line)}</li>" for line in remarks(profile))
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1><p>{escape(_where(profile))}</p>"
        f"{_tiles(profile)}<ul>{said}</ul>{body}</body></html>\n"
    )


def _where(profile: Profile) -> str:
    stamp, asked = profile.machine, profile.asked
    device = stamp["gpu"] or f"{stamp['cpu']}, {stamp['cores']} cores"
    steps = f"{asked['steps']} steps, " if "steps" in asked else ""
    return f"{device}; {steps}{len(profile.steady)} jobs after {len(profile.cold)} to warm up"


def _tiles(profile: Profile) -> str:
    fastest, memory = most(profile.batches), profile.memory["process_peak_bytes"]
    tiles = [
        ("images/s, one at a time", number(profile.images_per_second)),
        (f"images/s, {fastest.images} at once", number(fastest.images_per_second)) if fastest else ("", ""),
        ("seconds a job, median", number(median(profile.wall_ms) / 1e3)),
        ("accounted for", percent(profile.covered)),
        ("most memory", "" if memory is None else megabytes(memory)),
    ]
    return f"<dl>{''.join(f'<div><dt>{a}</dt><dd>{escape(b)}</dd></div>' for a, b in tiles if b)}</dl>"


def _colours(parts: Sequence[PartFigures]) -> dict[str, str]:
    """By stage; what belongs to none is grey."""
    stages = [stage for stage in dict.fromkeys(part.stage for part in parts) if stage]
    return {stage: COLOURS[i % len(COLOURS)] for i, stage in enumerate(stages)} | {"": NO_COLOUR}


def _name(part: PartFigures) -> str:
    return f"{part.stage.replace('_', ' ')}: {part.label}" if part.stage else part.label


def _shares(profile: Profile, colours: dict[str, str]) -> str:
    large, small = _by_weight(profile.parts)
    made = [
        Row(_name(part), ((Piece(part.job_ms, colours[part.stage]),),),
            f"{number(part.job_ms)} ms, {percent(part.share)}")
        for part in large
    ]  # fmt: skip
    rest = sum(part.job_ms for part in small)
    words = f"{number(rest)} ms, {percent(sum(part.share for part in small))}"
    made += [Row(f"{len(small)} more, see below", ((Piece(rest, NO_COLOUR),),), words)] * bool(small)
    return bars(made)


def _by_weight(parts: Sequence[PartFigures]) -> tuple[list[PartFigures], list[PartFigures]]:
    """The largest first, and apart from them those that nobody would see as a bar."""
    ordered = sorted(parts, key=lambda part: -part.job_ms)
    return [part for part in ordered if part.share >= VISIBLE], [part for part in ordered if part.share < VISIBLE]


def _jobs(profile: Profile, colours: dict[str, str]) -> str:
    rows = [*_few(profile.cold, "cold ", colours), *_few(profile.steady, "", colours)]
    return bars(rows)


def _few(jobs: Sequence[Job], name: str, colours: dict[str, str]) -> list[Row]:
    """A row for each job, or for the mean of some that follow on each other."""
    each = -(-len(jobs) // MOST_JOBS)
    rows = []
    for first in range(0, len(jobs), each):
        some = jobs[first : first + each]
        label = f"{name}{first + 1}" + (f" to {first + len(some)}" if len(some) > 1 else "")
        stacks = [_stack(job, colours) for job in some]
        spent = {stage: float(np.mean([stack[stage] for stack in stacks])) for stage in stacks[0]}
        pieces = tuple(
            Piece(value, colours[stage], f"{stage.replace('_', ' ') or BETWEEN}: {number(value)} ms")
            for stage, value in spent.items()
        )
        rows.append(Row(label, (pieces,), f"{number(sum(spent.values()))} ms"))
    return rows


def _stack(job: Job, colours: dict[str, str]) -> dict[str, float]:
    """Milliseconds by stage; those of stages that have no colour, and of none, under ""."""
    spent = dict.fromkeys(colours, 0.0)
    for part in job.parts:
        spent[part.stage if part.stage in colours else ""] += part.seconds * 1e3
    spent[""] += max(job.between, 0) / 1e6
    return spent


def _firsts(profile: Profile, colours: dict[str, str]) -> str:
    return bars(
        [
            Row(_name(part), ((Piece(part.first_ms, PALE),), (Piece(part.job_ms, colours[part.stage]),)),
                f"{number(part.first_ms)} / {number(part.job_ms)} ms")
            for part in _by_weight(profile.parts)[0]
        ]
    )  # fmt: skip


def _speeds(profile: Profile, colours: dict[str, str]) -> str:
    made = [
        Row(_name(part), ((Piece(part.flops_per_second / 1e9, colours[part.stage]),),),
            f"{number(part.flops_per_second / 1e9)} GFLOP/s, {percent(part.of_peak or 0.0)}")
        for part in profile.parts if part.flops_per_second is not None
    ]  # fmt: skip
    return bars(made, profile.peak.flops_per_second / 1e9) if made else ""


def _batches(profile: Profile) -> str:
    rows = [
        Row(f"{batch.images} at once", ((Piece(batch.images_per_second, COLOURS[1]),),), _held(batch))
        for batch in profile.batches
    ]
    return bars(rows) if rows else ""


def _held(batch: Batch) -> str:
    """What a batch reached, and the memory that it took; or why it did not run."""
    if batch.refused:
        return f"did not run: {batch.refused}"
    held = [
        f"{megabytes(size)} {where}"
        for size, where in ((batch.memory_bytes, "of memory"), (batch.gpu_bytes, "of the GPU's"))
        if size
    ]
    return ", ".join([f"{number(batch.images_per_second)} images/s", *held])


def _table(profile: Profile) -> str:
    def cells(values: Sequence[str], tag: str) -> str:
        kinds = [' class="words"' if i < LEFT else "" for i in range(len(values))]
        return "".join(f"<{tag}{kind}>{escape(v)}</{tag}>" for kind, v in zip(kinds, values, strict=True))

    heads, *rows = table(profile.parts)
    lines = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells(heads, "th")}</tr></thead><tbody>{lines}</tbody></table></div>'
