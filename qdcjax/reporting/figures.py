"""Figures of a report: pure functions from arrays to matplotlib Figures, one look for all.

No pyplot and no rcParams: a function makes its own `Figure`, so nothing global changes and any
thread may draw. Sizes are in inches; a report shows 96 pixels an inch.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from qdcjax.measures.intervals import Interval

# Okabe and Ito's palette without its yellow, which is too faint on white; then brown and grey.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F4F24", "#777777")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, QUIET, GRID = "#222222", "#666666", "#e4e4e4"
REFERENCE = {"color": INK, "linestyle": (0, (4, 2)), "linewidth": 1.3}
PANEL_SIZE = (4.4, 2.9)
SINGLE_SIZE = (6.2, 3.8)
LONG_SERIES = 40  # points beyond which markers would hide the line
CROWDED = 70  # characters of tick labels beyond which they would run into one another
FLAT = 0.02  # a spread of shares below which lines are as good as level
DPI = 192


@dataclasses.dataclass(frozen=True)
class Series:
    """Points of one line or one set of bars.

    Attributes:
      x: [N] positions.
      y: [N] values; NaN leaves a gap.
      low: [N] lower ends of intervals; empty for none.
      high: [N] upper ends; empty for none.
      reference: drawn dashed in ink, as the truth or a baseline that others are held against.
      smooth: a mean over this many neighbours is drawn in front of the faint raw line; 1 for none.
      joined: whether a line joins the points.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    reference: bool = False
    smooth: int = 1
    joined: bool = True

    def __post_init__(self):
        if len(self.x) != len(self.y):
            raise ValueError(f"Series has {len(self.x)} x and {len(self.y)} y: give as many")
        if len(self.low) != len(self.high) or len(self.low) not in (0, len(self.y)):
            raise ValueError(
                f"Series has {len(self.low)} low, {len(self.high)} high, {len(self.y)} y: "
                "give as many ends as values, or none"
            )


def series_of_intervals(
    x: Sequence[float], intervals: Sequence[Interval], reference: bool = False
) -> Series:
    """A series from estimates with intervals; a non-finite end draws none at its point."""
    return Series(
        x,
        [i.value for i in intervals],
        [i.low for i in intervals],
        [i.high for i in intervals],
        reference,
    )


def lines(
    panels: Mapping[str, Mapping[str, Series]],
    x_label: str,
    percent: bool = False,
    log_x: bool = False,
    log_y: bool = False,
) -> Figure:
    """Lines against a number, one panel for each measured quantity, one legend for all.

    Training curves; precision and recall of labels, or maj@K and pass@K, against K; predictions
    against position in a solution.

    Args:
      panels: the y axis's label with unit → name of line → points. A name has the same colour
        in every panel.
      x_label: the x axis's label with unit.
      percent: y is a fraction, shown as a percentage.
      log_x: logarithmic (base 2) x axis with a tick at each x.
      log_y: logarithmic y axis.
    """
    figure, axes = _panels(len(panels))
    coloured = [n for panel in panels.values() for n, s in panel.items() if not s.reference]
    colours = _colours(coloured)
    for ax, (y_label, panel) in zip(axes, panels.items(), strict=True):
        for name, series in panel.items():
            _line(ax, name, series, colours.get(name, INK))
        _label(ax, x_label, y_label, percent)
        if percent:
            _limit_shares(ax, panel)
        if log_y:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
            ax.yaxis.set_minor_locator(NullLocator())
        xs = np.unique(np.concatenate([np.asarray(s.x, float) for s in panel.values()]))
        if log_x:
            ax.set_xscale("log", base=2)
            ax.set_xticks(xs, [_short(x) for x in xs])
            ax.xaxis.set_minor_locator(NullLocator())
        elif len(xs) <= 12 and np.all(xs == np.round(xs)):
            ax.set_xticks(xs, [f"{x:,.0f}" for x in xs])
        else:
            ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
            ax.xaxis.set_major_locator(MaxNLocator(6))
    _legend(figure, axes)
    return figure


def grouped_bars(
    labels: Sequence[str],
    groups: Mapping[str, Sequence[float | Interval]],
    x_label: str,
    y_label: str,
    counts: Sequence[int] = (),
    chance: float | None = None,
    baseline: str = "",
) -> Figure:
    """Fractions by group, as bars from zero with intervals, one colour for each model.

    Step accuracy by depth or prefix length; false-negative rate by the student's success rate.

    Args:
      labels: G names of groups along the x axis.
      groups: model → G fractions in 0…1, with or without intervals; NaN takes no room.
      x_label: what the groups are, with unit.
      y_label: what the fractions are.
      counts: G sample sizes, written under the labels; empty for none.
      chance: level of a guess, drawn as a dashed line.
      baseline: the model that others are held against, drawn in grey.
    """
    for name, values in groups.items():
        if len(values) != len(labels):
            raise ValueError(f"grouped_bars: {name!r} has {len(values)} values, not {len(labels)}")
    if len(counts) not in (0, len(labels)):
        raise ValueError(f"grouped_bars: counts has {len(counts)} values, not {len(labels)}")
    figure, (ax,) = _panels(1)
    colours = {baseline: QUIET} | _colours([name for name in groups if name != baseline])
    width = 0.8 / len(groups)
    shares = np.array([[_value(v) for v in values] for values in groups.values()], float)
    there = np.isfinite(shares)
    offsets = (np.cumsum(there, axis=0) - (1 + there.sum(axis=0)) / 2) * width
    for (name, values), heights, offset in zip(groups.items(), shares, offsets, strict=True):
        x = np.arange(len(labels)) + offset
        ax.bar(x, heights, width * 0.92, color=colours[name], alpha=0.85, label=name, zorder=2)
        ends = np.array([_ends(v) for v in values], float)
        _whiskers(ax, x, heights, ends[:, 0], ends[:, 1], INK)
    if chance is not None:
        ax.axhline(chance, **REFERENCE, label="chance", zorder=3)
    ticks = list(labels)
    if len(counts):
        ticks = [f"{name}\nn = {n:,}" for name, n in zip(labels, counts, strict=True)]
    crowded = sum(map(len, labels)) > CROWDED
    turned = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    ax.set_xticks(range(len(labels)), ticks, **turned)
    _label(ax, x_label, y_label, percent=True)
    ax.set_ylim(bottom=0)
    _legend(figure, [ax], last="chance")
    return figure


def reliability(
    models: Mapping[str, tuple[Sequence[float], Sequence[bool]]], y_label: str, bins: int = 10
) -> Figure:
    """Calibration: the share that is true among equally confident predictions, over their counts.

    A bin's point stands at its mean prediction; bins of equal width divide 0…1. A calibrated
    model lies on the diagonal.

    Args:
      models: name → ([N] predicted probabilities, [N] whether each came true).
      y_label: the event in words, e.g. `steps that are right`.
      bins: number of bins.
    """
    figure = _figure((5.0, 5.4))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], **REFERENCE, label="calibrated")
    colours = _colours(models)
    edges = np.linspace(0, 1, bins + 1)
    for (name, (predicted, outcome)), marker in zip(
        models.items(), itertools.cycle(MARKERS), strict=False
    ):
        predicted, outcome = np.asarray(predicted, float), np.asarray(outcome, float)
        index = np.clip(np.digitize(predicted, edges[1:-1]), 0, bins - 1)
        count = np.bincount(index, minlength=bins)
        filled = count > 0
        x = np.bincount(index, predicted, bins)[filled] / count[filled]
        y = np.bincount(index, outcome, bins)[filled] / count[filled]
        style = {"color": colours[name], "linewidth": 1.6}
        upper.plot(x, y, marker=marker, markersize=5, label=name, clip_on=False, zorder=3, **style)
        lower.stairs(count, edges, **style)
    _label(upper, "", y_label, percent=True)
    _label(lower, "predicted probability", "predictions")
    upper.set(xlim=(0, 1), ylim=(0, 1))
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    lower.set_ylim(bottom=0)
    _legend(figure, [upper], last="calibrated")
    return figure


def histograms(
    panels: Mapping[str, Mapping[str, Sequence[float]]], x_label: str, y_label: str, bins: int = 20
) -> Figure:
    """Distributions side by side: each class's share in each bin, one panel for each model.

    Args:
      panels: model → class (e.g. `right steps`) → [N] values. All panels share their bins.
      x_label: the values with unit.
      y_label: what the shares are of, e.g. `share of the class's steps`.
      bins: number of bins, of equal width between the extremes.
    """
    figure, axes = _panels(len(panels), share=True)
    values = [np.asarray(v, float) for panel in panels.values() for v in panel.values()]
    edges = np.histogram_bin_edges(np.concatenate(values), bins)
    colours = _colours([name for panel in panels.values() for name in panel])
    for ax, (model, panel) in zip(axes, panels.items(), strict=True):
        for name, scores in panel.items():
            share = np.histogram(np.asarray(scores, float), edges)[0] / max(len(scores), 1)
            colour = colours[name]
            ax.stairs(share, edges, fill=True, color=colour, alpha=0.25)
            ax.stairs(share, edges, color=colour, linewidth=1.6, label=name)
        _label(ax, x_label, y_label, percent=True)
        ax.set_title(model, fontsize=10.5, color=INK, loc="left")
        ax.label_outer()
    axes[0].set_ylim(bottom=0)  # of all panels, once all are drawn
    _legend(figure, axes)
    return figure


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a PNG, the same bytes for the same figure, and returns its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
    return path


def _figure(size: tuple[float, float]) -> Figure:
    return Figure(figsize=size, layout="constrained", facecolor="white")


def _panels(count: int, share: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, two in a row."""
    if count == 0:
        raise ValueError("a figure needs at least one panel: `panels` is empty")
    if count == 1:
        figure = _figure(SINGLE_SIZE)
        return figure, [figure.subplots()]
    rows = (count + 1) // 2
    figure = _figure((2 * PANEL_SIZE[0], rows * PANEL_SIZE[1] + 0.3))
    grid = figure.subplots(rows, 2, squeeze=False, sharex=share, sharey=share).ravel()
    for spare in grid[count:]:
        spare.remove()
    return figure, list(grid[:count])


def _colours(names: Sequence[str] | Mapping[str, object]) -> dict[str, str]:
    """A colour for each distinct name, in order of first appearance; the ninth has the first's."""
    return dict(zip(dict.fromkeys(names), itertools.cycle(PALETTE), strict=False))


def _line(ax: Axes, name: str, series: Series, colour: str) -> None:
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    style = REFERENCE if series.reference else {"color": colour, "linewidth": 1.6}
    marker = "" if series.reference else MARKERS[PALETTE.index(colour)]
    marker = marker if len(x) <= LONG_SERIES else ""
    if not series.joined:
        style = style | {"linestyle": "none"}
    if series.smooth > 1:
        ax.plot(x, y, color=colour, linewidth=0.7, alpha=0.3)
        y = _running_mean(y, series.smooth)
    ax.plot(x, y, marker=marker, markersize=4.5, label=name, **style, zorder=3)
    if len(series.low):
        low, high = np.asarray(series.low, float), np.asarray(series.high, float)
        if len(x) <= LONG_SERIES:
            _whiskers(ax, x, y, low, high, style["color"])
        else:
            ax.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)


def _running_mean(y: np.ndarray, width: int) -> np.ndarray:
    """[N] mean of the finite values in a centred window (shorter at the ends), NaN if none."""
    width = min(width, len(y))
    finite, window = np.isfinite(y), np.ones(width)
    total = np.convolve(np.where(finite, y, 0.0), window, "same")
    count = np.convolve(finite, window, "same").round()
    return np.divide(total, count, out=np.full(len(y), np.nan), where=count > 0)


def _whiskers(ax: Axes, x, y, low, high, colour: str) -> None:
    """Vertical intervals where value and both ends are finite."""
    shown = np.isfinite(y) & np.isfinite(low) & np.isfinite(high)
    reach = np.maximum(0, np.stack([y - low, high - y])[:, shown])
    ax.errorbar(
        x[shown], y[shown], reach, fmt="none", ecolor=colour, elinewidth=1.2, capsize=2.5, zorder=4
    )


def _value(number: float | Interval) -> float:
    return number.value if isinstance(number, Interval) else number


def _ends(number: float | Interval) -> tuple[float, float]:
    return (number.low, number.high) if isinstance(number, Interval) else (np.nan, np.nan)


def _label(ax: Axes, x_label: str, y_label: str, percent: bool = False) -> None:
    """Labels and the light style that all panels share."""
    ax.set_xlabel(x_label, fontsize=10, color=INK)
    ax.set_ylabel(y_label, fontsize=10, color=INK)
    ax.tick_params(labelsize=9, colors=QUIET, length=3)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#b0b0b0")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.6g}"))
    if percent:
        ax.yaxis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 5, 10)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.3g} %"))


def _short(x: float) -> str:
    """A number of three digits: 900, 14.4k, 1.05M, 3.2G."""
    for least, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if x >= least:
            return f"{x / unit:.3g}{letter}"
    return f"{x:g}"


def _limit_shares(ax: Axes, panel: Mapping[str, Series]) -> None:
    """Shares of 0…100 % have no axis beyond these, and equal ones none of a hair's breadth."""
    ys = np.concatenate(
        [np.asarray(y, float) for s in panel.values() for y in (s.y, s.low, s.high)]
    )
    ys = ys[np.isfinite(ys)]
    if ys.size and ys.min() >= 0 and ys.max() <= 1:
        low, high = ax.get_ylim()
        if np.ptp(ys) < FLAT:
            low, high = ys.min() - 10 * FLAT, ys.max() + 10 * FLAT
        ax.set_ylim(max(low, -0.03), min(high, 1.03))


def _legend(figure: Figure, axes: Sequence[Axes], last: str = "") -> None:
    """One legend above all panels, `last` at its end; none for a series that its axis names."""
    entries = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            entries.setdefault(label, handle)
    if last in entries:
        entries[last] = entries.pop(last)
    if len(entries) < 2:
        return
    for columns in range(min(len(entries), 4), 0, -1):
        legend = figure.legend(
            entries.values(),
            entries.keys(),
            loc="outside upper left",
            ncols=columns,
            frameon=False,
            fontsize=10,
            labelcolor=INK,
        )
        if columns > 1 and legend.get_window_extent().width > figure.bbox.width:
            legend.remove()
        else:
            break
