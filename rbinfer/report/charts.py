"""Charts as SVG inside the page; its style sheet colours them."""

import html
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 460, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 12, 36
_MAP = 420  # side of a detector map
_CELL = 3  # points of a map that lie closer than this are drawn once
_CROWD = 200  # marks on a map that need small circles
_SNR_TICKS = (2, 3, 5, 10, 20, 50)  # of planted stars, from end to end
_FLOOR = 0.5  # lowest count on a logarithmic axis


def histogram(
    bogus: NDArray[np.int64],
    real: NDArray[np.int64],
    reference: NDArray[np.float64] | None,
    threshold: float | None,
) -> str:
    """Draw how many detections have which score, on a logarithmic axis.

    Parameters
    ----------
    bogus, real : ndarray of int64, shape (n,)
        Counts in equal bins from 0 to 1.
    reference : ndarray of float64, shape (n,), optional
        Expected counts.
    threshold : float, optional
        Where the verdicts part.

    Returns
    -------
    str
        SVG.
    """
    total = bogus + real
    top = max(float(total.max()), 0.0 if reference is None else float(reference.max()), 10.0)
    decades = math.ceil(math.log10(top) - 1e-9)
    low = math.log10(_FLOOR)

    def y(count: float) -> float:
        share = (math.log10(max(count, _FLOOR)) - low) / (decades - low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)

    def x(score: float) -> float:
        return _LEFT + score * (_WIDTH - _LEFT - _RIGHT)

    parts = [_grid_line(y(10**k), f"{10**k:,}") for k in range(decades + 1)]
    n = len(total)
    for k in range(n):
        left, width = x(k / n) + 0.75, x((k + 1) / n) - x(k / n) - 1.5
        tip = _tip(f"{k / n:g} to {(k + 1) / n:g}: {bogus[k]:,} bogus, {real[k]:,} real")
        for name, base, end in (("bogus", 0, bogus[k]), ("real", bogus[k], total[k])):
            if end > base:
                parts.append(
                    f'<rect class="{name}" x="{left:.1f}" y="{y(end):.1f}" width="{width:.1f}" '
                    f'height="{y(base) - y(end):.1f}">{tip}</rect>'
                )
    if reference is not None:
        steps = [
            f"{x(k / n):.1f},{y(c):.1f} {x((k + 1) / n):.1f},{y(c):.1f}" for k, c in enumerate(reference)
        ]
        parts.append(f'<polyline class="reference" points="{" ".join(steps)}"/>')
    if threshold is not None:
        parts.append(
            f'<line class="threshold" x1="{x(threshold):.1f}" x2="{x(threshold):.1f}" y1="{_TOP}" '
            f'y2="{_HEIGHT - _BOTTOM}"/>'
        )
    parts += [_tick(x(k / 5), f"{k / 5:g}") for k in range(6)]
    parts.append(_axis_title("score"))
    return _svg(parts, "Histogram of the scores", _WIDTH, _HEIGHT)


def trend(
    values: Sequence[float | None],
    names: Sequence[str],
    what: str,
    percent: bool = False,
    hollow: Sequence[bool] = (),
    order: str = "by name",
) -> str:
    """Draw a value of each image in their order.

    Parameters
    ----------
    values : sequence of float or None
        None where it is not known.
    names : sequence of str
        Of the images.
    what : str
        Title of the axis.
    percent : bool
        Show shares in per cent.
    hollow : sequence of bool, optional
        Values to draw as hollow circles.
    order : str
        What the axis says of the order.

    Returns
    -------
    str
        SVG.
    """
    known = [value for value in values if value is not None]
    scale = 100.0 if percent else 1.0
    unit = " %" if percent else ""
    ticks = _nice(scale * max(known, default=1.0))
    last = max(len(values), 2)

    def x(number: float) -> float:
        return _LEFT + 8 + (number - 1) / (last - 1) * (_WIDTH - _LEFT - _RIGHT - 16)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / ticks[-1] * (_HEIGHT - _BOTTOM - _TOP)

    parts = [_grid_line(y(tick), f"{tick:g}{unit}") for tick in ticks]
    points = [(k + 1, scale * value) for k, value in enumerate(values) if value is not None]
    line = " ".join(f"{x(k):.1f},{y(value):.1f}" for k, value in points)
    parts.append(f'<polyline class="trend" points="{line}"/>')
    parts += [
        f'<circle class="trend{" hollow" if hollow and hollow[k - 1] else ""}" cx="{x(k):.1f}" '
        f'cy="{y(value):.1f}" r="{3 if last < 100 else 1.5}">'
        f"{_tip(f'{names[k - 1]}: {value:.3g}{unit}')}</circle>"
        for k, value in points
    ]
    step = max(round(_nice(last)[1]), 1)
    numbers = sorted({1, *range(step, len(values) + 1, step)})
    parts += [_tick(x(k), str(k)) for k in numbers]
    parts.append(_axis_title(f"number of the image, {order}"))
    return _svg(parts, f"{what} of each image", _WIDTH, _HEIGHT)


def completeness(lines: Sequence[Sequence[tuple[float, float]]]) -> str:
    """Draw which fractions of planted stars are found, against S/N on a logarithmic axis.

    Parameters
    ----------
    lines : sequence of sequence of (float, float)
        Of each image, S/N and fraction.

    Returns
    -------
    str
        SVG; the lines have the classes ``line0``, ``line1`` and so on.
    """
    low, high = (math.log(_SNR_TICKS[k]) for k in (0, -1))

    def x(snr: float) -> float:
        return _LEFT + (math.log(snr) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(fraction: float) -> float:
        return _HEIGHT - _BOTTOM - fraction * (_HEIGHT - _BOTTOM - _TOP)

    parts = [_grid_line(y(k / 4), f"{25 * k} %") for k in range(5)]
    for k, points in enumerate(lines):
        path = " ".join(f"{x(snr):.1f},{y(part):.1f}" for snr, part in points)
        parts.append(f'<polyline class="line{k}" points="{path}"/>')
    parts += [_tick(x(snr), f"{snr}") for snr in _SNR_TICKS]
    parts.append(_axis_title("S/N of the planted star"))
    return _svg(parts, "Fraction of planted stars that are called real, by S/N", _WIDTH, _HEIGHT)


def detector_map(
    places: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]],
    marked: Sequence[tuple[float, float, str]],
    extent: tuple[float, float],
) -> str:
    """Draw positions on the detector, origin lower left.

    Parameters
    ----------
    places : iterable of (ndarray of float64, ndarray of float64)
        All of them in parts, x and y; those that would lie on one another are drawn once.
    marked : sequence of (float, float, str)
        Positions to mark, and what to say of them.
    extent : (float, float)
        Largest x and y.

    Returns
    -------
    str
        SVG.
    """
    span = max(extent[0], extent[1], 1.0)
    scale = _MAP / span
    width, height = max(extent[0] * scale, 40.0), max(extent[1] * scale, 40.0)
    left, bottom = float(_LEFT), _TOP + height
    at = [(left + px * scale, bottom - py * scale) for px, py, _ in marked]
    # Those that are marked come first: each has a dot in its circle, which stands for those near it.
    centres = np.array(at).reshape(-1, 2)
    points = centres
    for x, y in places:
        seen = np.isfinite(x) & np.isfinite(y)
        own = np.column_stack([left + x[seen] * scale, bottom - y[seen] * scale])
        points = _first_of_each_cell(np.concatenate([points, own]))
    points = np.unique(np.concatenate([centres, points]), axis=0)
    dots = "".join(f"M{px:.1f} {py:.1f}h0" for px, py in points)
    parts = [f'<rect class="frame" x="{left}" y="{_TOP}" width="{width:.1f}" height="{height:.1f}"/>']
    if dots:
        parts.append(f'<path class="dots" d="{dots}"/>')
    radius = 6 if len(marked) < _CROWD else 2.5
    parts += [
        f'<circle class="repeat" cx="{px:.1f}" cy="{py:.1f}" r="{radius}">{_tip(text)}</circle>'
        for (px, py), (_, _, text) in zip(at, marked, strict=True)
    ]
    parts += [
        _tick(left + tick * scale, f"{tick:g}", bottom) for tick in _nice(extent[0]) if tick <= extent[0]
    ]
    parts += [
        f'<text class="tick" x="{left - 6}" y="{bottom - tick * scale + 4:.1f}" '
        f'text-anchor="end">{tick:g}</text>'
        for tick in _nice(extent[1])
        if 0 < tick <= extent[1]
    ]
    return _svg(parts, "Positions of the bogus on the detector", left + width + 14, bottom + 24)


def _first_of_each_cell(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return those points of a map, shape (n, 2), whose cells of `_CELL` pixels have none before."""
    cells = np.floor(points / _CELL).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    return points[first]


def share_bar(bogus: int, real: int, most: int) -> str:
    """Draw counts as one bar of two parts, the longest for `most`."""
    width = 160.0 / max(most, 1)
    return _svg(
        [
            f'<rect class="bogus" x="0" y="1" width="{bogus * width:.1f}" height="12"/>',
            f'<rect class="real" x="{bogus * width:.1f}" y="1" width="{real * width:.1f}" height="12"/>',
        ],
        f"{bogus} bogus, {real} real",
        160,
        14,
        "bar",
    )


def _nice(top: float) -> list[float]:
    """Return ticks from 0 to at least `top`, at steps of 1, 2 or 5 times a power of ten."""
    if not top > 0:
        return [0.0, 1.0]
    raw = top / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    return [k * step for k in range(math.ceil(top / step - 1e-9) + 1)]


def _grid_line(y: float, label: str) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    )


def _tick(x: float, label: str, y: float = _HEIGHT - _BOTTOM) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y + 15:.1f}" text-anchor="middle">{label}</text>'


def _axis_title(text: str) -> str:
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return f'<text class="tick" x="{middle}" y="{_HEIGHT - 5}" text-anchor="middle">{text}</text>'


def _tip(text: str) -> str:
    return f"<title>{html.escape(text)}</title>"


def _svg(parts: Sequence[str], label: str, width: float, height: float, kind: str = "chart") -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{html.escape(label)}">{"".join(parts)}</svg>'
    )
