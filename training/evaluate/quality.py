"""FID, KID and CLIPSIM of a list of cases: what needs torch and weights that the user brings (`metrics` extra).

Nothing here stops an evaluation for want of a library or a file: what cannot be computed is listed with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from handfirst.training.evaluate.cases import Case
from handfirst.training.evaluate.measure import Figure, Measure, mean_of
from handfirst.training.evaluate.pictures import read_picture
from handfirst.training.evaluate.report import Report, Row
from handfirst.training.evaluate.score import Sampling

Update = Callable[[str, int, int | None], None]
FEWEST = 4
"""Pictures on either side: two halves of two."""
ENOUGH = 2048
"""Below this many pictures FID is noticeably too large."""
FID_RESAMPLES = 200
DISTANCES = ("torch", "torchmetrics")
CLIPSIM = ("torch", "transformers", "PIL")


def lacking(libraries: Sequence[str]) -> str | None:
    """Why these libraries cannot be used, or None."""
    absent = [name for name in libraries if find_spec(name) is None]
    return f"{', '.join(absent)} not installed; run: pip install 'handfirst[metrics]'" if absent else None


def why_no_distances(cases: Sequence[Case], real: Sequence[Case] | None, weights: Path | None) -> str | None:
    """Why FID and KID cannot be computed, or None."""
    if real is None:
        return "no real pictures (--real)"
    if weights is None:
        return "no weights of the FID network (--inception)"
    if min(len(cases), len(real)) < FEWEST:
        return f"{FEWEST} pictures of either kind are the least, there are {len(cases)} and {len(real)} real ones"
    return lacking(DISTANCES)


def add_distances(
    report: Report, cases: Sequence[Case], real: Sequence[Case] | None, weights: Path | None, sampling: Sampling,
    update: Update,
) -> None:  # fmt: skip
    """FID and KID at feature 192, of whole pictures and of foregrounds."""
    why = why_no_distances(cases, real, weights)
    masks = all(case.mask for case in (*cases, *(real or ())))
    if why or real is None or weights is None:
        report.not_computed |= dict.fromkeys(("fid", "kid", "fid_fg", "kid_fg"), str(why))
        return
    if not masks:
        report.not_computed |= dict.fromkeys(("fid_fg", "kid_fg"), "no foreground masks (--masks, --real-masks)")

    from handfirst.training.evaluate.distances import fid_figure, kid, subset_size
    from handfirst.training.evaluate.inception import PUBLISHED, features, load_inception

    network, digest = load_inception(weights)
    report.settings["inception_sha256"] = digest
    if not digest.startswith(PUBLISHED):
        report.notes.append(f"the FID weights are not the published file ({PUBLISHED}...), but {digest[:8]}...")
    if min(len(cases), len(real)) < ENOUGH:
        report.notes.append(f"FID of fewer than {ENOUGH} pictures is too large; compare equal numbers only, or KID")
    report.settings["kid_subset_size"] = subset_size(len(real), len(cases))
    for suffix, words, foreground in (("", "", False), *([("_fg", " foreground", True)] if masks else [])):
        of_real = features(network, real, foreground, lambda i, n: update("real", i, n))
        of_made = features(network, cases, foreground, lambda i, n: update("pictures", i, n))
        update("FID", 0, None)
        frechet = fid_figure(of_real, of_made, min(FID_RESAMPLES, sampling.resamples), sampling.seed)
        mean, spread = kid(of_real, of_made, sampling.seed)
        report.rows.append(Row(f"fid{suffix}", f"FID{words} (192)", "lower", frechet))
        kernel = Figure(mean, None, None, len(cases), spread)
        report.rows.append(Row(f"kid{suffix}", f"KID{words} (192)", "lower", kernel))


def clip_measure(cases: Sequence[Case], folder: Path | None, report: Report, update: Update) -> list[Measure]:
    """CLIPSIM over the pictures that have a prompt, or nothing and the reason in the report."""
    with_words = [case for case in cases if case.prompt]
    why = (
        "no CLIP checkpoint (--clip)" if folder is None
        else "no picture has a prompt" if not with_words
        else lacking(CLIPSIM)
    )  # fmt: skip
    if why or folder is None:
        report.not_computed["clipsim"] = str(why)
        return []
    from handfirst.training.evaluate.clipsim import clip_similarity, load_clip

    similarity: Any = clip_similarity(load_clip(folder))
    values = []
    for i, case in enumerate(cases):
        values.append([similarity(read_picture(case.picture, case.key), case.prompt)] if case.prompt else [])
        update("CLIPSIM", i + 1, len(cases))
    return [mean_of("clipsim", "CLIPSIM", "higher", values)]
