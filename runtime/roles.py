"""Whether engines are what a system expects of them: tensors, dtypes and sizes; and in which pieces batches are cut.

Shared by the systems, each of which says what it expects (its own roles.py). Knows no engine and no system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from handfirst.engines.errors import BundleError
from handfirst.engines.spec import EngineSpec, TensorSpec

Axes = tuple[int | None, ...]
"""Of a tensor: a size each, or None for any."""

WHOLE = ("ids", "timestep")
"""Names of tensors of int64; all others are float32."""


def check_present(roles: Sequence[str], specs: Mapping[str, EngineSpec]) -> None:
    """Raises a BundleError that names the roles that have no engine."""
    missing = [role for role in roles if role not in specs]
    if missing:
        raise BundleError(f"bundle: expected engines for {', '.join(roles)}; {', '.join(missing)} missing")


def check_engine(role: str, spec: EngineSpec, inputs: Mapping[str, Axes], outputs: Mapping[str, Axes]) -> None:
    """The engine has these tensors and no others. A free axis (a name) of its spec fits any size.

    Raises:
        BundleError: naming the first tensor that does not fit, what was expected and what came.
    """
    _check(f"{role}: input", inputs, spec.inputs)
    _check(f"{role}: output", outputs, spec.outputs)


def _check(where: str, expected: Mapping[str, Axes], tensors: tuple[TensorSpec, ...]) -> None:
    names = {tensor.name: tensor for tensor in tensors}
    if set(names) != set(expected):
        raise BundleError(f"{where}s: expected {', '.join(sorted(expected))}, got {', '.join(sorted(names))}")
    for name, axes in expected.items():
        tensor = names[name]
        dtype = "int64" if name in WHOLE else "float32"
        fits = len(axes) == len(tensor.shape) and all(
            want is None or isinstance(got, str) or want == got for want, got in zip(axes, tensor.shape, strict=True)
        )
        if not fits or tensor.dtype != dtype:
            wanted = ",".join("*" if axis is None else str(axis) for axis in axes)
            got = ",".join(map(str, tensor.shape))
            raise BundleError(
                f"{where} '{name}': expected {dtype} [{wanted}] from the bundle's settings, "
                f"got {tensor.dtype} [{got}]; export the bundle again"
            )


def check_handed_on(specs: Mapping[str, EngineSpec], giver: str, taker: str, names: Iterable[str]) -> None:
    """Outputs of one engine are inputs of another: a BundleError names the first whose fixed sizes do not agree."""
    given = {tensor.name: tensor.shape for tensor in specs[giver].outputs}
    taken = {tensor.name: tensor.shape for tensor in specs[taker].inputs}
    for name in names:
        if any(
            isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(given[name], taken[name], strict=True)
        ):
            raise BundleError(
                f"bundle: expected {giver}'s output and {taker}'s input '{name}' to agree, "
                f"got {list(given[name])} and {list(taken[name])}; export the bundle again"
            )


def pieces(rows: int, most: int) -> set[int]:
    """The lengths of the pieces that run_rows cuts a batch into."""
    return {min(most, rows - start) for start in range(0, rows, most)}


def shapes_of(cut: Iterable[set[int]], sizes: tuple[int, int]) -> list[tuple[int, tuple[int, int]]]:
    """(rows, sizes) for every length of a piece, as `Runs` has them."""
    return [(rows, sizes) for rows in sorted(set().union(*cut))]
