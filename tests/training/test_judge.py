"""The judge's arithmetic: Wilson's interval and the shares, by hand. MediaPipe itself is not needed."""

from __future__ import annotations

import math

import pytest

from handfirst.training.evaluate.judge import Verdict, share, summary


def test_share_has_wilsons_interval() -> None:
    n, k, z = 64, 55, 1.959963984540054
    p = k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    out = share([True] * k + [False] * (n - k))
    assert out["value"] == pytest.approx(p, abs=1e-4) and out["n"] == n
    assert out["low"] == pytest.approx(centre - half, abs=1e-4)
    assert out["high"] == pytest.approx(centre + half, abs=1e-4)


def test_errors_count_among_all_and_the_median_among_the_found() -> None:
    verdicts = [Verdict(True, 0.05, True), Verdict(True, 0.2, False), Verdict(False), Verdict(True, 0.08, True)]
    out = summary(verdicts, 0.1)
    assert out["detected"]["value"] == 0.75
    assert out["error_below_0.1"]["value"] == 0.5
    assert out["median_error"] == 0.08
    assert out["side_right"]["value"] == pytest.approx(2 / 3, abs=1e-4)
