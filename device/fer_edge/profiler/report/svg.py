"""Plots as SVG text, without any library: bars, stage boxes, and lines over time with gaps left open."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 34
INK, LINE, FILL, MUTED = "#1f2933", "#1f6feb", "#9cc2f7", "#8a94a0"
Point = tuple[float, float]


def ticks(lower: float, upper: float, count: int = 5) -> list[float]:
    """Round values between two bounds, about ``count``: steps of 1, 2 or 5 times a power of ten."""
    span = upper - lower
    if span <= 0 or not math.isfinite(span):
        return [lower]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(lower / step - 1e-9)
    return [i * step for i in range(first, math.floor(upper / step + 1e-9) + 1)]


class Plot:
    """One plot: axes from data bounds to px."""

    def __init__(self, x: Point, y: Point, x_label: str, y_label: str, height: int = HEIGHT) -> None:
        self._x, self._y, self._height = x, y if y[1] > y[0] else (y[0] - 1, y[0] + 1), height
        self._parts: list[str] = []
        self._axes(x_label, y_label)

    def px(self, x: float, y: float) -> Point:
        """Data to px."""
        across = (x - self._x[0]) / ((self._x[1] - self._x[0]) or 1)
        up = (y - self._y[0]) / (self._y[1] - self._y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), self._height - BOTTOM - up * (self._height - TOP - BOTTOM)

    def bar(self, x0: float, x1: float, y: float, hint: str) -> None:
        """From the lower bound of y up."""
        left, top = self.px(x0, y)
        right, bottom = self.px(x1, self._y[0])
        self._parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(0.5, right - left - 0.6):.1f}" '
            f'height="{max(0.0, bottom - top):.1f}" fill="{FILL}" stroke="{LINE}" stroke-width="0.5">'
            f"<title>{html.escape(hint)}</title></rect>"
        )

    def line(self, points: Sequence[Point], gaps: Sequence[Point] = ()) -> None:
        """Through the points in order of x, broken wherever a gap (from, to) lies between two."""
        runs: list[list[Point]] = [[]]
        for point in points:
            if runs[-1] and any(runs[-1][-1][0] <= b and a <= point[0] and b > a for a, b in gaps):
                runs.append([])
            runs[-1].append(point)
        for run in runs:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.px(*point) for point in run))
            if len(run) > 1:
                self._parts.append(f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="1.4"/>')
            elif run:
                x, y = self.px(*run[0])
                self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6" fill="{LINE}"/>')
        for a, b in gaps:
            left, right = self.px(max(a, self._x[0]), 0)[0], self.px(min(b, self._x[1]), 0)[0]
            if right > left:
                self._parts.append(
                    f'<rect x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" '
                    f'height="{self._height - TOP - BOTTOM}" fill="#000" opacity="0.06">'
                    "<title>the probe gave nothing</title></rect>"
                )

    def mark(self, x: float, text: str, level: int = 0) -> None:
        """A vertical line with a word at its top."""
        left, _ = self.px(x, self._y[0])
        self._parts.append(
            f'<line x1="{left:.1f}" x2="{left:.1f}" y1="{TOP}" y2="{self._height - BOTTOM}" stroke="{INK}" '
            f'stroke-dasharray="3 3" stroke-width="0.8"/>' + _text(left + 3, TOP + 9 + 11 * level, text, "start")
        )

    def svg(self, label: str) -> str:
        """The whole plot; ``label`` is read aloud in its place."""
        return (
            f'<svg viewBox="0 0 {WIDTH} {self._height}" role="img" aria-label="{html.escape(label)}" '
            f'xmlns="http://www.w3.org/2000/svg">{"".join(self._parts)}</svg>'
        )

    def _axes(self, x_label: str, y_label: str) -> None:
        bottom = self._height - BOTTOM
        for value in ticks(*self._y):
            _, y = self.px(self._x[0], value)
            self._parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e6e9ed"/>')
            self._parts.append(_text(LEFT - 6, y + 3.5, f"{value:.6g}", "end"))
        for value in ticks(*self._x, count=7):
            x, _ = self.px(value, self._y[0])
            self._parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}" stroke="{MUTED}"/>')
            self._parts.append(_text(x, bottom + 15, f"{value:.6g}", "middle"))
        self._parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}" stroke="{MUTED}"/>')
        self._parts.append(_text((LEFT + WIDTH - RIGHT) / 2, self._height - 4, x_label, "middle"))
        self._parts.append(
            f'<g transform="rotate(-90 12 {self._height / 2 - 8:.0f})">'
            f"{_text(12, self._height / 2 - 8, y_label, 'middle')}</g>"
        )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="10.5" fill="{INK}">{html.escape(text)}</text>'
    )
