"""Figures of points: coloured by class on a curve or surface, and arrows between pairs of them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from qdcjax.measures.intervals import Interval
from qdcjax.reporting.figures import GRID, INK, PALETTE, QUIET

PANEL = 3.4  # inches
MOST = 3_000  # points that are drawn


def classes(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]], names: Sequence[str], share: bool = False
) -> Figure:
    """Points in two or three dimensions, coloured by class.

    Args:
      panels: title → points [n, 2] or [n, 3], and the class of each [n], from 0.
      names: of the classes, for the legend.
      share: whether panels in two dimensions have the same axes.
    """
    figure = Figure(figsize=(PANEL * len(panels), PANEL + 0.5), layout="constrained")
    shown: dict[int, object] = {}
    for number, (title, (points, labels)) in enumerate(panels.items(), start=1):
        solid = points.shape[1] > 2
        ax = figure.add_subplot(1, len(panels), number, projection="3d" if solid else None)
        for label in np.unique(labels[:MOST]):
            of = points[:MOST][labels[:MOST] == label][:, :3]
            shown[int(label)] = ax.scatter(
                *of.T, s=4, color=PALETTE[label % len(PALETTE)], linewidths=0
            )
        _plain(ax, title, solid)
        if share and not solid:
            both = np.concatenate([points[:MOST] for points, _ in panels.values()])
            ax.set(xlim=_ends(both[:, 0]), ylim=_ends(both[:, 1]))
    if len(shown) > 1:
        figure.legend(
            [shown[label] for label in sorted(shown)],
            [names[label] for label in sorted(shown)],
            loc="outside upper left",
            ncols=len(shown),
            markerscale=3,
            frameon=False,
            fontsize=10,
            labelcolor=INK,
        )
    return figure


def arrows(panels: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Arrows from points to others in a plane, over the points where they should end.

    Args:
      panels: title → begins [n, 2], ends [n, 2], targets [m, 2].
    """
    figure = Figure(figsize=(PANEL * len(panels), PANEL + 0.3), layout="constrained")
    for number, (title, (begins, ends, targets)) in enumerate(panels.items(), start=1):
        ax = figure.add_subplot(1, len(panels), number)
        ax.scatter(*targets.T, s=3, color=QUIET, alpha=0.5, linewidths=0)
        ax.scatter(*begins.T, s=6, color=PALETTE[1], linewidths=0, zorder=3)
        ax.quiver(
            *begins.T,
            *(ends - begins).T,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.004,
            color=PALETTE[0],
            zorder=4,
        )
        _plain(ax, title, solid=False)
    return figure


def named(
    points: Mapping[str, tuple[Interval, Interval]],
    x_label: str,
    y_label: str,
) -> Figure:
    """Points with their names beside them, and intervals both ways.

    Args:
      points: name → (x, y); one with a value that is not finite is left out.
      x_label, y_label: of the axes.
    """
    figure = Figure(figsize=(2 * PANEL, 1.4 * PANEL), layout="constrained")
    ax = figure.add_subplot()
    shown = {n: xy for n, xy in points.items() if all(math.isfinite(of.value) for of in xy)}
    for number, (x, y) in enumerate(shown.values()):
        colour = PALETTE[number % len(PALETTE)]
        errors = [[[abs(of.value - end)] for end in (of.low, of.high)] for of in (x, y)]
        ax.errorbar(x.value, y.value, errors[1], errors[0], "o", color=colour, linewidth=0.8)
    ax.set(xlabel=x_label, ylabel=y_label)
    ax.grid(color=GRID)
    ax.spines[["top", "right"]].set_visible(False)
    _beside(ax, shown)
    return figure


def _beside(ax, points: Mapping[str, tuple[Interval, Interval]]) -> None:
    """Names at the right, as high as their points where there is room, with a line to each."""
    bottom, top = ax.get_ylim()
    least, height = (top - bottom) / 20, bottom
    for number, name in enumerate(sorted(points, key=lambda name: points[name][1].value)):
        x, y = (of.value for of in points[name])
        height = max(y, height + least if number else y)
        colour = PALETTE[list(points).index(name) % len(PALETTE)]
        at = (1.02, (height - bottom) / (top - bottom))
        # The line goes to the left end of the name, so that it crosses fewer others.
        style = {"arrowstyle": "-", "relpos": (0, 0.5)}
        line = style | {"color": colour, "linewidth": 0.5, "alpha": 0.6}
        ax.annotate(
            name, (x, y), at, textcoords="axes fraction", color=colour, va="center", arrowprops=line
        )


def _ends(values: np.ndarray) -> tuple[float, float]:
    """The values' range, and a little more."""
    margin = 0.05 * np.ptp(values)
    return values.min() - margin, values.max() + margin


def _plain(ax, title: str, solid: bool) -> None:
    """Equal scales, a title, and nothing that a reader would not look at."""
    ax.set_title(title, fontsize=10.5, color=INK)
    if solid:
        reach = np.abs([ax.get_xlim(), ax.get_ylim(), ax.get_zlim()]).max()
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
        ax.set_box_aspect((1, 1, 1), zoom=1.5)
        ax.set_axis_off()
        ax.view_init(elev=25, azim=-50)
        return
    ax.set_aspect("equal")
    ax.tick_params(labelsize=9, colors=QUIET, length=3)
    ax.spines[:].set_color(GRID)
