"""Figures of the ablations: what is drawn is what the frames hold, and gaps stay gaps."""

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from ribnb.figures import ablation_plots
from ribnb.figures.ablation_plots import cost_and_quality, curves, differences, heat_map

pytestmark = pytest.mark.filterwarnings("error")
TITLE = "What to see"
NAN = float("nan")
STEPS, SEEDS = (0, 2, 5, 10), (3, 4, 5)
VALUES = {"gndrp": (40.0, 42.0, 44.0, 45.0), "gap": (40.0, 43.0, 42.0, 38.0)}


def runs(seeds=SEEDS) -> pd.DataFrame:
    """K and pooling: seed 4 has the value, 3 and 5 are one below and one above."""
    rows = [
        {
            "iterations": k,
            "pooling": pooling,
            "seed": seed,
            "seed_miou": value + seed - 4,
            "cam_seed_miou": 36.0 + seed,
            "seconds_per_image": (1 + k) * (1.5 if pooling == "gndrp" else 1.0),
            "setting": f"{pooling} at {k}",
        }
        for pooling, values in VALUES.items()
        for k, value in zip(STEPS, values, strict=True)
        for seed in seeds
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)  # in no order


ROWS = [
    {"label": "a stop, not a cap", "difference": 1.0, "low": 0.5, "high": 1.5, "by_seed": [1, 2]},
    {"label": "raw maps " * 12, "difference": 0.0, "low": -1.0, "high": 1.0, "by_seed": (0.5,)},
    {"label": "not run", "difference": None, "low": None, "high": None, "by_seed": None},
]  # fmt: skip
COST = ("seconds_per_image", "seed_miou", "setting", TITLE)
CALLS = {
    "curves": (runs(), "iterations", "seed_miou", "pooling", TITLE, "cam_seed_miou"),
    "heat_map": (runs(), "iterations", "pooling", "seed_miou", TITLE),
    "differences": (ROWS, TITLE),
    "cost_and_quality": (runs(), *COST, "cam_seed_miou"),
}


def draw(name: str, *arguments, **named) -> Figure:
    figure = getattr(ablation_plots, name)(*(arguments or CALLS[name]), **named)
    figure.draw_without_rendering()
    return figure


def line(axes, label: str) -> np.ndarray:
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return found.get_xydata()


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def small_print(figure: Figure) -> str:
    return figure.legends[0].get_title().get_text().replace("\n", " ")


def without(frame: pd.DataFrame, **point) -> pd.DataFrame:
    """NaN in place of the seed mIoU at these settings."""
    frame = frame.copy()
    here = np.logical_and.reduce([frame[key] == value for key, value in point.items()])
    frame.loc[here, "seed_miou"] = NAN
    return frame


# All figures ------------------------------------------------------------------------------


def test_every_figure_is_covered_here():
    own = inspect.getmembers(ablation_plots, inspect.isfunction)
    public = {n for n, f in own if f.__module__ == ablation_plots.__name__ and n[0] != "_"}
    assert public == {*CALLS}


@pytest.mark.parametrize("name", CALLS)
def test_gives_a_closed_figure_with_its_title_and_leaves_its_arguments(name):
    before = repr(CALLS[name])
    figure = draw(name)
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == []
    assert figure.axes[0].get_title() == TITLE
    assert figure.axes[0].get_xlabel()
    assert repr(CALLS[name]) == before


@pytest.mark.parametrize("name", CALLS)
def test_an_empty_frame_a_missing_column_and_nothing_but_gaps_are_refused_in_words(name):
    rest = CALLS[name][1:]
    with pytest.raises(ValueError, match="no row to draw: run the batch first"):
        draw(name, pd.DataFrame(), *rest)
    lacking = "difference" if name == "differences" else "seed_miou"
    frame = pd.DataFrame(CALLS[name][0])
    with pytest.raises(ValueError, match=f"no column '{lacking}'; it has "):
        draw(name, frame.drop(columns=lacking), *rest)
    with pytest.raises(ValueError, match="nothing to draw yet"):
        draw(name, frame.assign(**{lacking: NAN}), *rest)


@pytest.mark.parametrize("name", ["curves", "heat_map", "cost_and_quality"])
def test_one_seed_draws_and_says_so_and_two_runs_of_a_point_are_not_averaged(name):
    rest = CALLS[name][1:]
    assert "one seed: no spread" in small_print(draw(name, runs((4,)), *rest))
    assert "3 seeds" in small_print(draw(name))
    assert "runs" in small_print(draw(name, runs((4,)).drop(columns="seed"), *rest))
    with pytest.raises(ValueError, match=r"two runs have .*seed = 4: they differ in another"):
        draw(name, pd.concat([runs(), runs((4,))]), *rest)
    with pytest.raises(ValueError, match="'seed_miou' must hold numbers"):
        draw(name, runs().assign(seed_miou="high"), *rest)


def test_what_is_drawn_is_the_mean_and_not_the_middle():
    frame = pd.DataFrame({"seed": SEEDS, "x": 1, "of": "a", "y": (1.0, 1.0, 4.0)})
    assert line(curves(frame, "x", "y", "of", TITLE).axes[0], "a").tolist() == [[1, 2]]
    assert heat_map(frame, "x", "of", "y", TITLE).axes[0].texts[0].get_text() == "2.0\n±1.7"
    axes = cost_and_quality(frame, "x", "y", "of", TITLE).axes[0]
    assert [1, 2] in [one.get_xydata()[0].tolist() for one in axes.lines if one.get_marker() == "o"]


# Curves -----------------------------------------------------------------------------------


def test_lines_are_the_means_dots_the_seeds_and_bands_the_spread():
    figure = draw("curves")
    axes = figure.axes[0]
    assert legend(figure) == ["gndrp", "gap", "CAM"] or legend(figure) == ["gap", "gndrp", "CAM"]
    for pooling, values in VALUES.items():
        assert line(axes, pooling) == pytest.approx(np.array([STEPS, values]).T)
    dots = [one.get_xydata() for one in axes.lines if one.get_marker() == "."]
    assert sorted(map(len, dots)) == [12, 12]
    assert {y for one in dots for _, y in one} == set(runs()["seed_miou"])
    for band, label in zip(axes.collections, legend(figure), strict=False):
        corners = band.get_paths()[0].vertices
        at_10 = corners[corners[:, 0] == 10][:, 1]
        mean = VALUES[label][-1]
        assert (at_10.min(), at_10.max()) == pytest.approx((mean - 1, mean + 1))
    assert line(axes, "CAM")[:, 1] == pytest.approx([40.0, 40.0])  # the mean of 39, 40, 41


def test_a_point_without_a_result_is_a_gap_and_said_and_one_seed_less_is_a_mean_of_two():
    frame = without(runs(), iterations=5, pooling="gap")
    figure = draw(
        "curves", without(frame, iterations=10, pooling="gap", seed=3), *CALLS["curves"][1:]
    )
    means = line(figure.axes[0], "gap")[:, 1]
    assert means == pytest.approx([40, 43, NAN, 38.5], nan_ok=True)
    assert "4 of 24 runs have no result" in small_print(figure)


def test_a_baseline_that_the_setting_changes_is_a_curve():
    frame = runs().assign(cam_seed_miou=lambda of: 30.0 + of["iterations"])
    axes = draw("curves", frame, *CALLS["curves"][1:]).axes[0]
    assert line(axes, "CAM") == pytest.approx(np.array([STEPS, [30, 32, 35, 40]]).T)


def test_settings_that_are_no_numbers_stand_side_by_side_as_they_come():
    frame = pd.DataFrame(
        {
            "scales": [[1.0], [1.0, 0.5], None],
            "flip": [True, True, True],
            "seed_miou": [1.0, 3.0, 2.0],
        }
    )
    axes = draw("curves", frame, "scales", "seed_miou", "flip", TITLE).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "1, 0.5", "none"]
    assert line(axes, "flip = True").tolist() == [[0, 1], [1, 3], [2, 2]]


def test_without_by_there_is_one_line_and_many_lines_can_be_told_apart():
    frame = runs()[runs()["pooling"] == "gap"]
    axes = draw("curves", frame, "iterations", "seed_miou", None, TITLE).axes[0]
    assert line(axes, "seed mIoU (%)")[:, 1] == pytest.approx(VALUES["gap"])
    rows = [{"x": x, "of": of, "y": x * of} for x in (1, 2) for of in range(14)]
    axes = draw("curves", pd.DataFrame(rows), "x", "y", "of", TITLE).axes[0]
    named = [one for one in axes.lines if one.get_label().startswith("of = ")]
    assert len({(one.get_color(), one.get_linestyle()) for one in named}) == len(named) == 14


def test_a_logarithmic_axis_needs_numbers_above_0():
    rest = ("seed_miou", "pooling", TITLE)
    frame = runs().assign(rate=lambda of: 1e-4 * 2.0 ** of["iterations"])
    assert draw("curves", frame, "rate", *rest, log=True).axes[0].get_xscale() == "log"
    with pytest.raises(ValueError, match="logarithmic axis needs iterations above 0; got 0"):
        draw("curves", runs(), "iterations", *rest, log=True)
    with pytest.raises(ValueError, match="needs numbers; setting holds others"):
        draw("curves", runs(), "setting", *rest, log=True)
    with pytest.raises(ValueError, match="needs cost above 0; got 0"):
        cost_and_quality(runs().assign(cost=0.0), "cost", *COST[1:], log=True)


# Heat map ---------------------------------------------------------------------------------


def test_cells_hold_mean_and_spread_numbers_in_their_order():
    figure = heat_map(*CALLS["heat_map"])
    axes = figure.axes[0]
    rows = [text.get_text() for text in axes.get_yticklabels()]
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(k) for k in STEPS]
    expected = [VALUES[pooling] for pooling in rows]
    assert np.array_equal(axes.images[0].get_array(), expected)
    assert len(axes.texts) == 8
    words = {text.get_position(): text.get_text() for text in axes.texts}
    assert words[(3, rows.index("gap"))] == "38.0\n±1.0"
    assert legend(figure) == []
    assert not axes.patches


def test_missing_cells_are_hatched_and_counted_and_thin_ones_say_so():
    frame = without(runs(), iterations=5, pooling="gap")
    frame = without(frame, iterations=0, pooling="gap", seed=3)
    frame = frame[(frame["iterations"] != 2) | (frame["pooling"] != "gndrp")]  # no row at all
    figure = heat_map(frame, *CALLS["heat_map"][1:])
    axes = figure.axes[0]
    assert len(axes.texts) == 6
    assert [patch.get_hatch() for patch in axes.patches] == ["////"] * 2
    assert axes.images[0].get_array().mask.sum() == 2
    assert legend(figure) == ["no result (2 of 8 cells)"]
    assert [text.get_text() for text in axes.texts if "(" in text.get_text()] == ["40.5\n±0.7 (2)"]
    assert "in brackets" in small_print(figure)


# Differences ------------------------------------------------------------------------------


def test_rows_go_down_with_mark_interval_and_seeds():
    axes = differences(ROWS, TITLE).axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[::2] == ["a stop, not a cap", "not run"]
    assert max(map(len, labels[1].splitlines())) <= 38
    assert axes.yaxis_inverted()
    marks = [one for one in axes.lines if one.get_marker() == "s" and len(one.get_xdata())]
    assert [one.get_xydata().tolist() for one in marks] == [[[1, 0]], [[0, 1]]]
    full, empty = (one.get_markerfacecolor() for one in marks)
    assert full != "white" == empty  # the second interval holds 0
    ends = [of.get_segments()[0][:, 0].tolist() for of in axes.collections]
    assert ends == [[0.5, 1.5], [-1.0, 1.0]]
    dots = [list(one.get_xdata()) for one in axes.lines if one.get_marker() == "."]
    assert dots[:2] == [[1, 2], [0.5]]
    assert [text.get_text() for text in axes.texts] == ["no result"]


def test_a_frame_is_as_good_as_rows():
    one, other = (differences(of, TITLE).axes[0] for of in (ROWS, pd.DataFrame(ROWS)))
    assert [of.get_xydata().tolist() for of in one.lines] == [
        of.get_xydata().tolist() for of in other.lines
    ]


def test_the_same_rows_with_any_threshold_are_drawn_below_each():
    others = [{**row, "difference": 2.0, "low": -1.0, "high": 3.0, "by_seed": [2]} for row in ROWS]
    figure = differences(ROWS, TITLE, others)
    marks = [one for one in figure.axes[0].lines if len(one.get_xdata())]
    squares, diamonds = ([m.get_xydata() for m in marks if m.get_marker() == of] for of in "sD")
    assert [of[0][0] for of in squares] == [1, 0] and [of[0][0] for of in diamonds] == [2, 2, 2]
    assert 0 < diamonds[0][0][1] - squares[0][0][1] < 0.5
    words = legend(figure)
    assert words.count("interval with 0") == 2
    assert {"0.20 to 0.49, interval without 0", "any threshold, interval without 0"} < set(words)
    with pytest.raises(ValueError, match="must be of the same rows in the same order"):
        differences(ROWS, TITLE, others[::-1])


# Cost and quality -------------------------------------------------------------------------


def boxes(figure: Figure):
    return [Text.get_window_extent(text) for text in figure.axes[0].texts]


def test_points_are_means_and_the_dotted_line_is_the_best_that_a_cost_buys():
    axes = draw("cost_and_quality").axes[0]
    (points,) = [one for one in axes.lines if one.get_marker() == "o"]
    assert len(points.get_xdata()) == 8
    assert (4.5, 42.0) in {tuple(point) for point in points.get_xydata()}  # gndrp at 2
    steps = line(axes, "best at that cost or less").tolist()
    best = [[1, 40], [3, 43], [9, 44], [16.5, 45]]
    assert steps[::2] == best
    assert steps[1::2] == [[3, 40], [9, 43], [16.5, 44]]
    assert sorted(text.get_text() for text in axes.texts) == sorted(set(runs()["setting"]))
    assert set(line(axes, "CAM")[:, 1]) == {40.0}


@pytest.mark.parametrize("seed", range(4))
def test_labels_cover_neither_each_other_nor_marks_nor_leave_the_axes(seed):
    rng = np.random.default_rng(seed)
    names = [f"setting {place} " + "with many words " * (place % 3) for place in range(14)]
    frame = pd.DataFrame({"cost": rng.gamma(2, size=14), "y": rng.normal(50, 1, 14), "name": names})
    figure = draw("cost_and_quality", frame, "cost", "y", "name", TITLE)
    found, axes = boxes(figure), figure.axes[0]
    frame_box = axes.get_window_extent().padded(1)
    for place, box in enumerate(found):
        assert not any(box.padded(-0.5).overlaps(other) for other in found[place + 1 :])
        assert not any(
            box.contains(*point) for point in axes.transData.transform(frame[["cost", "y"]])
        )
        assert frame_box.contains(*box.p0)
        assert frame_box.contains(*box.p1)


def test_a_setting_without_a_result_is_named_not_drawn():
    frame = without(runs(), setting="gap at 5")
    figure = draw("cost_and_quality", frame, *COST)
    assert "no result: gap at 5" in small_print(figure)
    assert len(figure.axes[0].texts) == 7
