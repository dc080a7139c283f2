import io
import itertools
import math

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from qdcjax.measures.intervals import Interval
from qdcjax.reporting import figures, point_figures


def test_every_kind_of_figure_is_drawn_and_saved(tmp_path):
    import synthetic_report

    before = dict(matplotlib.rcParams)
    for path in synthetic_report.all_figures(tmp_path).values():
        pixels = imread(path)
        assert pixels.shape[0] > 400 and len(np.unique(pixels[..., :3])) > 20
    assert dict(matplotlib.rcParams) == before


def test_a_saved_figure_has_the_same_bytes_each_time(tmp_path):
    def draw():
        return figures.lines({"loss (nats)": {"a": figures.Series([1, 2], [3.0, 4.0])}}, "step")

    first = figures.save(draw(), tmp_path / "one.png").read_bytes()
    second = figures.save(draw(), tmp_path / "deep" / "two.png").read_bytes()
    assert first == second and b"Software" not in first


def test_a_name_keeps_its_colour_across_panels_and_references_take_none():
    truth = figures.Series([1, 2], [0.5, 0.5], reference=True)
    line = figures.Series([1, 2], [0.1, 0.2])
    figure = figures.lines(
        {"a": {"truth": truth, "ORM": line, "SORM": line}, "b": {"SORM": line}}, "x"
    )
    first, second = figure.axes
    assert [line.get_color() for line in first.lines[:3]] == [
        figures.INK,
        figures.PALETTE[0],
        figures.PALETTE[1],
    ]
    assert second.lines[0].get_color() == figures.PALETTE[1]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["truth", "ORM", "SORM"]


def test_log_axis_has_a_tick_at_each_k():
    figure = figures.lines(
        {"recall": {"r": figures.Series([1, 2, 4, 8], [0.1, 0.2, 0.3, 0.4])}},
        "K",
        percent=True,
        log_x=True,
    )
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "2", "4", "8"]
    assert ax.get_xscale() == "log" and not figure.legends
    assert ax.yaxis.get_major_formatter()(0.25, 0) == "25 %"


def test_large_numbers_of_a_log_axis_are_short():
    sizes = [900, 2_048, 14_400, 262_144, 1_048_576, 3e9]
    (ax,) = figures.lines({"loss": {"": figures.Series(sizes, sizes)}}, "n", log_x=True).axes
    shown = [tick.get_text() for tick in ax.get_xticklabels()]
    assert shown == ["900", "2048", "14.4k", "262k", "1.05M", "3G"]


@pytest.mark.parametrize(
    ("y", "low", "high", "limits"),
    [
        ([0.1, 0.99], [0.0, 0.97], [0.2, 1.0], (-0.03, 1.03)),
        ([1.0, 1.0], [], [], (0.8, 1.03)),
        ([0.4, 0.4], [], [], (0.2, 0.6)),
    ],
)
def test_an_axis_of_shares_ends_with_them(y, low, high, limits):
    series = figures.Series([1, 2], y, low, high)
    (ax,) = figures.lines({"right": {"a": series}}, "x", percent=True).axes
    assert ax.get_ylim() == pytest.approx(limits)


def test_an_axis_of_differences_has_room_for_them():
    gains = figures.Series([1, 2], [-0.4, 1.0], [-0.5, 0.9], [-0.3, 1.1])
    (ax,) = figures.lines({"gain": {"a": gains}}, "x", percent=True).axes
    low, high = ax.get_ylim()
    assert low < -0.5 and high > 1.1


def test_intervals_are_drawn_where_their_ends_are_finite():
    series = figures.series_of_intervals(
        [1, 2, 3],
        [Interval(0.5, 0.4, 0.7), Interval(0.6, -np.inf, np.inf), Interval(0.5, 0.5, 0.6)],
    )
    figure = figures.lines({"y": {"a": series}}, "x")
    bars = figure.axes[0].collections[0].get_segments()
    assert [segment[:, 1].tolist() for segment in bars] == [[0.4, 0.7], [0.5, 0.6]]


def test_bars_stand_at_their_values_with_counts_below():
    figure = figures.grouped_bars(
        ["2", "3"],
        {"ORM": [0.5, np.nan], "SORM": [Interval(0.6, 0.5, 0.7), 0.4]},
        "depth",
        "accuracy",
        counts=[10, 2000],
        chance=0.5,
    )
    (ax,) = figure.axes
    heights = [[bar.get_height() for bar in group] for group in ax.containers[:3:2]]
    assert heights[0][0] == 0.5 and ax.get_ylim()[0] == 0
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2\nn = 10", "3\nn = 2,000"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["ORM", "SORM", "chance"]


def test_bars_that_are_not_there_take_no_room_and_the_baseline_no_colour():
    shares = {"before": [0.1, 0.2], "a": [np.nan, 0.3], "b": [0.4, 0.5]}
    (ax,) = figures.grouped_bars(["x", "y"], shares, "start", "right", baseline="before").axes
    bars = {group.get_label(): group for group in ax.containers if len(group) == 2}
    middles = {n: [bar.get_x() + bar.get_width() / 2 for bar in bars[n]] for n in ("before", "b")}
    np.testing.assert_allclose(np.mean([*middles.values()], axis=0), [0, 1], atol=1e-9)
    np.testing.assert_allclose(np.subtract(middles["b"], middles["before"]), [0.8 / 3, 1.6 / 3])
    colours = [bars[name][0].get_facecolor()[:3] for name in shares]
    assert np.ptp(colours[0]) == 0 and colours[1:] == [to_rgb(c) for c in figures.PALETTE[:2]]


@pytest.mark.parametrize("rate", ["", ",learning_rate=0.0001"])
def test_names_of_groups_do_not_run_into_one_another(tmp_path, rate):
    names = [f"kl={kl}{rate}" for kl in (0.0, 0.01, 0.03, 0.1)]
    figure = figures.grouped_bars(names, {"greedy": [0.1, 0.2, 0.3, 0.4]}, "setting", "right")
    figures.save(figure, tmp_path / "bars.png")
    labels = figure.axes[0].get_xticklabels()
    assert {label.get_rotation() for label in labels} == {25.0 if rate else 0.0}
    if not rate:
        boxes = [label.get_window_extent() for label in labels]
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_reliability_puts_bins_at_their_mean_prediction_and_rate():
    predicted, outcome = [0.1, 0.3, 0.9, 1.0], [False, True, True, True]
    figure = figures.reliability({"m": (predicted, outcome)}, "right", bins=2)
    upper, lower = figure.axes
    np.testing.assert_allclose(upper.lines[1].get_xydata(), [[0.2, 0.5], [0.95, 1.0]])
    np.testing.assert_array_equal(lower.patches[0].get_data().values, [2, 2])


def test_histograms_show_shares_that_sum_to_one():
    figure = figures.histograms(
        {"ORM": {"right": [0.1, 0.9, 0.8], "wrong": [0.2]}, "SORM": {"right": [0.5]}},
        "score",
        "share",
        bins=4,
    )
    for ax in figure.axes:
        for patch in ax.patches:
            assert patch.get_data().values.sum() == pytest.approx(1.0)


def test_histograms_are_as_high_as_the_highest_of_all_panels():
    low, high = [0.1, 0.3, 0.5, 0.7, 0.9], [0.5] * 5
    figure = figures.histograms({"A": {"x": low}, "B": {"x": high}}, "value", "share", bins=5)
    assert all(ax.get_ylim()[1] >= 1 for ax in figure.axes)


def test_ticks_say_where_they_stand():
    panel = {"precision": {"SORM": figures.Series([1, 2], [0.755, 0.915])}}
    ax = figures.lines(panel, "K", percent=True).axes[0]
    low, high = ax.get_ylim()
    for at in (tick for tick in ax.get_yticks() if low <= tick <= high):
        assert ax.yaxis.get_major_formatter()(at) == f"{100 * at:.0f} %"
        assert abs(100 * at - round(100 * at)) < 1e-6


def test_a_legend_stays_inside_its_figure():
    models = {name: ([0.2, 0.8], [False, True]) for name in ("ORM", "SORM", "SORM, unbalanced")}
    long = {f"what has a name of many words, {n}": figures.Series([0, 1], [0, n]) for n in range(4)}
    for figure in (
        figures.reliability(models, "steps that are right"),
        figures.lines({"share": long}, "steps"),
    ):
        figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent()
        assert legend.x1 <= figure.bbox.x1 and len(figure.legends[0].get_texts()) == 4


def test_running_mean_is_centred_and_skips_gaps():
    mean = figures._running_mean(np.array([0.0, 3.0, np.nan, 6.0, 9.0]), 3)
    np.testing.assert_allclose(mean, [1.5, 1.5, 4.5, 7.5, 7.5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: figures.Series([1, 2], [1.0]), "2 x and 1 y"),
        (lambda: figures.Series([1], [1.0], [0.0]), "1 low, 0 high"),
        (lambda: figures.lines({}, "x"), "at least one panel"),
        (lambda: figures.grouped_bars(["a"], {"m": [1, 2]}, "x", "y"), "'m' has 2 values, not 1"),
        (
            lambda: figures.grouped_bars(["a"], {"m": [1]}, "x", "y", counts=[1, 2]),
            "counts has 2 values",
        ),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_many_series_are_drawn_all_the_same():
    panel = {str(n): figures.Series([1, 2], [n, n]) for n in range(10)}
    (ax,) = figures.lines({"y": panel}, "x").axes
    looks = [(line.get_color(), line.get_marker()) for line in ax.lines]
    assert len(set(looks)) == 8 and looks[8:] == looks[:2]


def test_saving_needs_no_display():
    figure = figures.lines({"y": {"a": figures.Series([1], [1.0])}}, "x")
    figure.savefig(io.BytesIO(), format="png")


def test_points_have_their_names_beside_them_and_none_stands_on_another():
    here = Interval(1.0, 0.9, 1.1)
    points = {name: (here, Interval(y, y - 1, y + 1)) for name, y in (("a", 2.0), ("b", 2.01))}
    points["gone"] = (here, Interval(math.nan, math.nan, math.nan))
    (ax,) = point_figures.named(points, "x", "y").axes
    places = {text.get_text(): text.xyann[1] for text in ax.texts}
    assert places.keys() == {"a", "b"}
    assert places["b"] - places["a"] > 0.04
