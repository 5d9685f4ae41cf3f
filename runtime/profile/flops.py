"""How many floating-point operations a run of an engine takes: from the counts that its bundle carries.

Export counts with torch's own counter at a few sizes (export/flops.py). Every operator's count is proportional to the
rows of the batch and, of maps with n cells, to 1 (embeddings), n (convolutions, projections) or n squared (attention
of cells to cells): counts at three areas tell all others exactly. Knows nothing about graphs or time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import prod

from handfirst.engines.manifest import EngineEntry, FlopCount

NO_COUNTS = "the bundle holds no counts, export it again to have them"
OTHER_SIZE = "the bundle's counts do not tell those of this size"

Shape = tuple[int, ...]


def operations(counts: Sequence[FlopCount], rows_axis: int | str, sizes: Mapping[str, int]) -> int | None:
    """Of one run; None where the counts do not tell.

    Args:
        counts: at three areas, or at one where nothing is free but the rows.
        rows_axis: the name of the batch axis; a number where it is fixed.
        sizes: of the free axes, by name; they may be more than the counts name.
    """
    if not all(count.axes.keys() <= sizes.keys() for count in counts):
        return None
    own = [(_rows(count.axes, rows_axis), _area(count.axes, rows_axis), count.count) for count in counts]
    known = {area: Fraction(count, rows) for rows, area, count in own}
    if not known:
        return None
    area = _area({axis: sizes[axis] for axis in counts[0].axes}, rows_axis)
    if area not in known and len(known) < 3:
        return None
    found = _rows(sizes, rows_axis) * _parabola(known, area)
    return int(found) if found.denominator == 1 and found >= 0 else None


def _rows(sizes: Mapping[str, int], rows_axis: int | str) -> int:
    return sizes.get(rows_axis, 1) if isinstance(rows_axis, str) else 1


def _area(sizes: Mapping[str, int], rows_axis: int | str) -> int:
    return prod(size for axis, size in sizes.items() if axis != rows_axis)


def _parabola(known: Mapping[int, Fraction], area: int) -> Fraction:
    """The value at `area` of the polynomial through the known points (Lagrange's form); exact."""
    terms = (
        value * prod((Fraction(area - other, at - other) for other in known if other != at), start=Fraction(1))
        for at, value in known.items()
    )
    return sum(terms, start=Fraction(0))


class FlopCounts:
    """Those of every engine of a bundle; remembers what could not be told.

    Attributes:
        unknown: by role, why there is no count.
    """

    def __init__(self, engines: Mapping[str, EngineEntry]) -> None:
        self.unknown: dict[str, str] = {}
        self._engines = engines

    def count(self, role: str, shapes: Sequence[Shape]) -> int | None:
        """Operations of one run.

        Args:
            shapes: of the inputs, in the order of the engine's spec.
        """
        entry = self._engines[role]
        inputs = entry.spec.inputs
        sizes = {
            axis: size
            for tensor, shape in zip(inputs, shapes, strict=True)
            for axis, size in zip(tensor.shape, shape, strict=True)
            if isinstance(axis, str)
        }
        found = operations(entry.flops, inputs[0].shape[0] if inputs[0].shape else 1, sizes)
        if found is None:
            self.unknown[role] = OTHER_SIZE if entry.flops else NO_COUNTS
        return found
