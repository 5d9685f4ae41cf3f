"""A profile as one HTML file that needs nothing else: figures, charts, the table. No scripts, nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from statistics import median

from handfirst.runtime.profile.charts import Bar, Column, bars, columns, curve, legend
from handfirst.runtime.profile.figures import BETWEEN, PartFigures
from handfirst.runtime.profile.measure import Job
from handfirst.runtime.profile.profile import Profile, most
from handfirst.runtime.profile.svg import number
from handfirst.runtime.profile.table import LEFT, megabytes, percent, remarks, table

COLOURS = ("#8c6bb1", "#2b7bba", "#7fb8e6", "#5aa469", "#e07b39", "#f2b880")
"""Stages in their order; light ones are the decoders of the dark ones."""
NO_COLOUR, PALE = "#b8bec6", "#c9d1d9"

VISIBLE = 0.003
"""The part of the wall time below which a bar would be a hair."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #24292f; background: #fff; margin: 2.5rem auto; max-width: 920px;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.4rem 0 .3rem; }
p { margin: .2rem 0 .8rem; color: #57606a; } svg { width: 100%; height: auto; display: block;
  font-family: system-ui, sans-serif; }
ul { padding-left: 1.1rem; color: #57606a; font-size: .9rem; } svg + svg { margin-top: .6rem; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 1px; background: #e5e7eb;
  border: 1px solid #e5e7eb; margin: 1.4rem 0; }
dl div { background: #fff; padding: .6rem .8rem; } dt { font-size: .8rem; color: #57606a; }
dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .22rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #eef0f2; }
th { color: #57606a; font-weight: 600; } .words { text-align: left; }
pre { font-size: .78rem; background: #f6f8fa; padding: .8rem; overflow-x: auto; }
"""


def html_report(profile: Profile) -> str:
    """The whole file."""
    name, digest = profile.bundle
    colours = _colours(profile.parts)
    used = [(stage.replace("_", " ") or BETWEEN, colour) for stage, colour in colours.items()]
    sections = [
        ("Where the time goes", "Milliseconds of a job, mean over the steady ones; colours are stages.",
         legend(used) + _share_chart(profile, colours)),
        ("Job by job", "Wall time, stacked by stage; the grey top is what no stage accounts for. Cold jobs come first.",
         legend(used) + _job_chart(profile, colours)),
        ("First call against steady state",
         "What the larger parts take in the very first job (pale) and in a steady one, together for all their calls.",
         _first_chart(profile, colours)),
        ("Achieved operations per second",
         f"Convolutions and matrix products only. The dashed line is this machine's peak: {profile.peak.how}.",
         _flops_chart(profile, colours)),
        ("Throughput by batch size", "Pictures painted together, doubled until that gains less than 5 %.",
         _batch_charts(profile)),
        ("All figures", "Times of calls are percentiles, MB are tensors into and out of engines for a job.",
         _table(profile)),
        ("Measured on", "", f"<pre>{escape(json.dumps(profile.about(), indent=1))}</pre>"),
    ]  # fmt: skip
    body = "".join(f"<h2>{escape(head)}</h2><p>{escape(words)}</p>{chart}" for head, words, chart in sections if chart)
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
    return f"{device}; {asked['steps']} steps, {len(profile.steady)} jobs after {len(profile.cold)} to warm up"


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


def _share_chart(profile: Profile, colours: dict[str, str]) -> str:
    large, small = _by_weight(profile.parts)
    made = [
        Bar(_name(part), (max(part.job_ms, 0.0),), f"{number(part.job_ms)} ms, {percent(part.share)}",
            (colours[part.stage],))
        for part in large
    ]  # fmt: skip
    rest = sum(part.job_ms for part in small)
    words = f"{number(rest)} ms, {percent(sum(part.share for part in small))}"
    made += [Bar(f"{len(small)} more, see below", (max(rest, 0.0),), words, (NO_COLOUR,))] * bool(small)
    return bars(made, "milliseconds of a job by part", "ms")


def _by_weight(parts: Sequence[PartFigures]) -> tuple[list[PartFigures], list[PartFigures]]:
    """The largest first, and apart from them those that nobody would see in a chart."""
    ordered = sorted(parts, key=lambda part: -part.job_ms)
    return [part for part in ordered if part.share >= VISIBLE], [part for part in ordered if part.share < VISIBLE]


def _job_chart(profile: Profile, colours: dict[str, str]) -> str:
    jobs = [(f"cold {i + 1}", job) for i, job in enumerate(profile.cold)]
    jobs += [(str(i + 1), job) for i, job in enumerate(profile.steady)]
    return columns([Column(label, _stack(job, colours)) for label, job in jobs], "wall time of every job", "ms")


def _stack(job: Job, colours: dict[str, str]) -> tuple[tuple[str, float, str], ...]:
    spent = dict.fromkeys(colours, 0.0)
    for part in job.parts:
        spent[part.stage] = spent.get(part.stage, 0.0) + part.seconds * 1e3
    spent[""] += max(job.between, 0) / 1e6
    return tuple((stage or BETWEEN, value, colours.get(stage, NO_COLOUR)) for stage, value in spent.items())


def _first_chart(profile: Profile, colours: dict[str, str]) -> str:
    made = [
        Bar(_name(part), (part.first_ms, max(part.job_ms, 0.0)), f"{number(part.first_ms)} / {number(part.job_ms)} ms",
            (PALE, colours[part.stage]))
        for part in _by_weight(profile.parts)[0]
    ]  # fmt: skip
    return bars(made, "first and steady milliseconds by part", "ms of a job")


def _flops_chart(profile: Profile, colours: dict[str, str]) -> str:
    made = [
        Bar(_name(part), (part.flops_per_second / 1e9,),
            f"{number(part.flops_per_second / 1e9)}, {percent(part.of_peak or 0.0)}", (colours[part.stage],))
        for part in profile.parts if part.flops_per_second is not None
    ]  # fmt: skip
    peak = profile.peak.flops_per_second / 1e9
    return bars(made, "achieved GFLOP/s by part", "GFLOP/s", peak, f"peak {number(peak)}") if made else ""


def _batch_charts(profile: Profile) -> str:
    ran = [batch for batch in profile.batches if batch.seconds]
    if not ran:
        return ""
    speed = [(b.images, b.images_per_second, number(b.images_per_second)) for b in ran]
    drawn = curve(speed, "images per second by batch size", "images/s", COLOURS[1])
    for name, sizes in (("process", [b.memory_bytes for b in ran]), ("GPU", [b.gpu_bytes for b in ran])):
        known = [(b.images, size / 1e6, megabytes(size)) for b, size in zip(ran, sizes, strict=True) if size]
        if known:
            drawn += f"<p>Memory of the {name}.</p>"
            drawn += curve(known, f"memory of the {name} by batch size", "MB", COLOURS[3], 170)
    refused = [b for b in profile.batches if b.refused]
    return drawn + "".join(f"<p>{b.images} at once did not run: {escape(b.refused or '')}</p>" for b in refused)


def _table(profile: Profile) -> str:
    def cells(values: Sequence[str], tag: str) -> str:
        kinds = [' class="words"' if i < LEFT else "" for i in range(len(values))]
        return "".join(f"<{tag}{kind}>{escape(v)}</{tag}>" for kind, v in zip(kinds, values, strict=True))

    heads, *rows = table(profile.parts)
    lines = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells(heads, "th")}</tr></thead><tbody>{lines}</tbody></table></div>'
