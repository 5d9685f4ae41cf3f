"""SVG as text: a canvas, a few shapes, round numbers for an axis. Knows nothing about charts."""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10

INK, FAINT, GRID = "#24292f", "#6b7280", "#e5e7eb"


def svg(width: float, height: float, *content: str, title: str) -> str:
    """A drawing that shrinks with its column; `title` is what a screen reader says."""
    return (
        f'<svg viewBox="0 0 {_n(width)} {_n(height)}" style="max-width:{_n(width)}px" role="img" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">{"".join(content)}</svg>'
    )


def rect(x: float, y: float, width: float, height: float, colour: str, note: str = "") -> str:
    """A filled box; `note` appears when the pointer rests on it."""
    tip = f"<title>{escape(note)}</title>" if note else ""
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0))}" height="{_n(max(height, 0))}" '
        f'fill="{colour}">{tip}</rect>'
    )


def line(x1: float, y1: float, x2: float, y2: float, colour: str = GRID, dashed: bool = False) -> str:
    """One pixel wide."""
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" stroke="{colour}"{dash}/>'


def text(x: float, y: float, words: str, anchor: str = "start", colour: str = INK, size: float = 12) -> str:
    """`y` is the base line; `anchor` is start, middle or end."""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" fill="{colour}" font-size="{_n(size)}">'
        f"{escape(words)}</text>"
    )


def polyline(points: list[tuple[float, float]], colour: str) -> str:
    """A line through the points, with a dot on each."""
    path = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    dots = "".join(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="4" fill="{colour}"/>' for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def ticks(top: float, count: int = 4) -> list[float]:
    """0, ... up to at least `top` in round steps of 1, 2 or 5 times a power of ten, about `count` of them."""
    if top <= 0:
        return [0.0, 1.0]
    raw = top / count
    power = 10.0 ** floor(log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    return [i * step for i in range(ceil(top / step - 1e-9) + 1)]


def tick(value: float) -> str:
    """As short as it can be: 0.5, 50, 1,000."""
    return f"{value:,.6g}"


def number(value: float) -> str:
    """Three digits, no exponent: 0.0123, 1.23, 123, 12300."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - floor(log10(abs(value))))
    return f"{value:,.{decimals}f}" if decimals < 6 else f"{value:.1e}"


def _n(value: float) -> str:
    """A coordinate: a tenth of a pixel is enough."""
    return f"{value:.1f}".removesuffix(".0")
