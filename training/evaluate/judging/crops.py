"""Distances between crops of drawn hands and of true ones: KID by one recipe, FID from 2,000 crops on.

The recipe: every whole hand of the held-out people, cut from the finished picture as the square of 1.5 times its
points' box and brought to 128 pixels, beside the same square of the true render; 192 features of the published
Inception network (inception.py). KID is the unbiased squared MMD of the kernel (x.y / D + 1)^3 over all pairs, no
subsets; what stands beside it is that between the renders of every other person and the rest. Knows nothing about
where pictures come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.cases import Case
from handfirst.training.evaluate.detect import square_around
from handfirst.training.evaluate.judging.held_out import person_of, seen_through
from handfirst.training.evaluate.judging.looks import whole_hands
from handfirst.training.evaluate.judging.table import Row, row_of
from handfirst.training.evaluate.measure import Measure, Weights, figure
from handfirst.training.evaluate.pictures import PictureFile, files_by_key
from handfirst.training.evaluate.quality import DISTANCES, FID_RESAMPLES, Update, lacking
from handfirst.training.evaluate.score import Sampling

CROP_SIZE, CROP_MARGIN = 128, 1.5
ENOUGH_FOR_FID = 2000
FEWEST = 4
Features = NDArray[np.float64]
Owners = NDArray[np.int64]


def hand_crops_of(image: NDArray[np.uint8], sample: Sample) -> list[NDArray[np.uint8]]:
    """Each whole hand of a person's picture, uint8 [128, 128, 3], left before right."""
    person = person_of(sample)
    squares = [square_around(person.hand(side), CROP_SIZE, CROP_MARGIN) for side in whole_hands(sample)]
    return [seen_through(image, square, CROP_SIZE) for square in squares]


def kernel(a: Features, b: Features) -> Features:
    """[N, D], [M, D] -> [N, M]."""
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)


def kid_measure(made: Features, true: Features, owner: Owners, pictures: int) -> Measure:
    """KID of crops, which are resampled by whole pictures: a picture drawn twice adds no pair of a crop with itself.

    Args:
        made, true: [K, D], crop by crop of the same places.
        owner: [K], the picture that each crop is of.
        pictures: N.
    """
    return _distance("kid_hands", made, true, owner, owner, pictures)


def kid_of_halves(true: Features, owner: Owners, pictures: int) -> Measure:
    """The same between the crops of every other picture and of the rest: what equal distributions give."""
    even = owner % 2 == 0
    return _distance("kid_hands", true[even], true[~even], owner[even], owner[~even], pictures)


def _distance(name: str, a: Features, b: Features, owner_a: Owners, owner_b: Owners, pictures: int) -> Measure:
    within_a, within_b, between = kernel(a, a), kernel(b, b), kernel(a, b)
    np.fill_diagonal(within_a, 0)
    np.fill_diagonal(within_b, 0)

    def squared(weights: Weights) -> float:
        w_a, w_b = weights[owner_a], weights[owner_b]
        if min(np.count_nonzero(w_a), np.count_nonzero(w_b)) < 2:
            return float("nan")
        same = [float(w @ k @ w) / (w.sum() ** 2 - w @ w) for w, k in ((w_a, within_a), (w_b, within_b))]
        return float(sum(same) - 2 * (w_a @ between @ w_b) / (w_a.sum() * w_b.sum()))

    return Measure(name, "KID of hand crops (192)", "lower", squared, np.bincount(owner_a, minlength=pictures))


def distance_rows(
    folder: Path, keys: Sequence[str], where: tuple[str, str], weights: Path | None, sampling: Sampling, update: Update
) -> list[Row]:
    """KID and FID of the crops of people, with the reason where they cannot be had.

    Args:
        folder: "made" and "true" in it hold the crops of picture KEY as KEY-0.png, KEY-1.png.
        keys: of the N pictures.
        where: system and digest.
        weights: the FID network's.

    Raises:
        UserError: the weights cannot be used.
    """
    place, owners = (*where, "people", "inception"), {key: i for i, key in enumerate(keys)}
    saved = files_by_key(folder / "made") if (folder / "made").is_dir() else {}
    crops = [key for key in saved if key[:-2] in owners]
    why = _why_none(crops, weights)
    if why or weights is None:
        return [row_of(place, name, "lower", None, None, str(why)) for name in ("kid_hands", "fid_hands")]
    from handfirst.training.evaluate.distances import fid_figure

    made, true = (_features(weights, folder / name, crops, update) for name in ("made", "true"))
    owner, every = np.array([owners[key[:-2]] for key in crops], np.int64), np.arange(len(keys))
    kid, halves = kid_measure(made, true, owner, len(keys)), kid_of_halves(true, owner, len(keys))
    value = figure(kid.statistic, kid.counts, every, sampling.resamples, sampling.seed)
    renders = figure(halves.statistic, kid.counts, every, 0, 0)
    enough = len(crops) >= ENOUGH_FOR_FID
    frechet = fid_figure(true, made, min(FID_RESAMPLES, sampling.resamples), sampling.seed) if enough else None
    few = f"{ENOUGH_FOR_FID} crops are the least, there are {len(crops)}"
    return [
        row_of(place, "kid_hands", "lower", value, renders, "too few pictures with whole hands", share=False),
        row_of(place, "fid_hands", "lower", frechet, None, few),
    ]


def _why_none(crops: Sequence[str], weights: Path | None) -> str | None:
    if weights is None:
        return "no weights of the FID network; handfirst evaluate judge --inception FILE, the same --out"
    if len(crops) < FEWEST:
        return f"{FEWEST} crops are the least, there are {len(crops)}"
    return lacking(DISTANCES)


def _features(weights: Path, folder: Path, crops: Sequence[str], update: Update) -> Features:
    from handfirst.training.evaluate.inception import features, load_inception

    network, _ = load_inception(weights)
    cases = [Case(key, PictureFile(folder / f"{key}.png")) for key in crops]
    return features(network, cases, False, lambda i, n: update(f"features, {folder.name}", i, n))
