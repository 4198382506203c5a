"""Figures: each says what it shows, shows what it is given in the book's colours, stays closed."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from ribnb import figures
from ribnb.data.digits import DigitScenes
from ribnb.figures.style import METHODS, REGIONS, looks
from ribnb.scores.iou import SeedScore

pytestmark = pytest.mark.filterwarnings("error")
TITLE = "What to see"
NAN = float("nan")
DRAWS = np.random.default_rng(0)
IMAGES = [Image.fromarray(DRAWS.integers(0, 256, (12, 16, 3), np.uint8)) for _ in range(3)]
MASKS = [DRAWS.choice(np.array([0, 1, 5, 255], np.uint8), (12, 16)) for _ in IMAGES]
PARTS = [DRAWS.integers(0, 3, (12, 16)).astype(np.uint8) for _ in IMAGES]
MAPS = DRAWS.random((2, 3, 12, 16))
TRUTHS = [np.arange(16) + np.arange(12)[:, None] > 12 + 2 * row for row in range(3)]
GRID = np.array([[0.1, 0.5], [0.9, 0.2]])
NETS = {"CAM": [39.0, 41.0, 40.0], "RIB, GAP": [40.0, 42.5, 41.0], "RIB, GNDRP": [42, 43, 44]}
CLASSES = {
    "CAM": {"owl": 40.0, "cat": NAN, "bus": 50.0},
    "RIB": {"bus": 48.0, "cat": 31.0, "owl": 45.0},
}
LINES = {"RIB, GAP": (np.arange(4), np.ones((3, 4))), "CAM": (np.arange(4), np.zeros(4))}
LOGITS = np.linspace(-3, 3, 10)
DIGITS, _, DIGIT_REGIONS = DigitScenes(2, shape_rate=1.0).batch()
RATIOS = dict.fromkeys(DIGIT_REGIONS, DRAWS.random((5, 4)))
GRADIENTS = torch.randn(6, 2, 56, 56, generator=torch.Generator().manual_seed(0))
THRESHOLDS = np.array([0.1, 0.3])
SWEEP = SeedScore(THRESHOLDS, np.array([[[4, 0], [0, 4]], [[4, 0], [3, 1]]]), ("background", "owl"))
STEPS, SEEDS = (0, 2, 5, 10), (3, 4, 5)
VALUES = {"GNDRP": (40.0, 42.0, 44.0, 45.0), "GAP": (40.0, 43.0, 42.0, 38.0)}
SWITCHES = [
    {"label": "a stop, not a cap", "difference": 1.0, "low": 0.5, "high": 1.5, "by_seed": [1, 2]},
    {"label": "raw maps " * 12, "difference": 0.0, "low": -1.0, "high": 1.0, "by_seed": (0.5,)},
    {"label": "not run"},
]


def runs(seeds=SEEDS) -> pd.DataFrame:
    """K and pooling: seed 4 has the value, 3 and 5 are one below and one above."""
    rows = [
        {
            "iterations": k,
            "pooling": pooling,
            "margin": 10 if pooling == "GAP" else 20,
            "seed": seed,
            "seed_miou": value + seed - 4,
            "cam_seed_miou": 36.0 + seed,
        }
        for pooling, values in VALUES.items()
        for k, value in zip(STEPS, values, strict=True)
        for seed in seeds
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)  # in no order


CURVE = ("iterations", "seed_miou", "pooling", TITLE, "cam_seed_miou")
HEAT = ("iterations", "margin", "seed_miou", TITLE)
PICTURES = {  # name -> arguments, as a chapter gives them
    "images_with_masks": (IMAGES, MASKS, ["owl", "cat, bus", "bus"], TITLE, PARTS),
    "map_grid": (IMAGES, {"k = 0": MAPS[0], "M": MAPS[1]}, TRUTHS, ["a", "b", "c"], TITLE, 0.5),
    "mask_grid": (IMAGES, {"CAM": MASKS, "truth": MASKS[::-1]}, TITLE),
    "panels": (
        {"image": ("image", IMAGES[0]), "seed": ("mask", MASKS[0]), "map": ("map", MAPS[0, 0]),
         "wall": ("grey", 5 * MAPS[1, 0]), "no wall": ("grey", 0 * MAPS[1, 0])}, TITLE,
    ),
    "pooling_by_hand": (GRID, GRID, {"GAP": GRID >= 0, "GNDRP": GRID <= 0.4}),
    "digit_scenes": (DIGITS, DIGIT_REGIONS),
    "gradient_map_rows": (DIGITS, 7 * GRADIENTS, DIGIT_REGIONS),
}  # fmt: skip
STATISTICS = {
    "curves": (LINES, "step k", "seed mIoU (%)", TITLE, {"here": 2}),
    "threshold_sweep": ({"CAM": SWEEP, "RIB": SWEEP}, TITLE),
    "training_curves": ([0.7, 0.4, 0.2], [0.5, 0.6, 0.75]),
    "loss_and_gradient": (LOGITS, {"BCE": LOGITS, "RIB": -LOGITS}, {"BCE": LOGITS, "RIB": LOGITS}),
    "hgr_curves": (dict.fromkeys("abcd", RATIOS), "step $k$", TITLE, None, 2),
    "scores_of_methods": (NETS, "seed mIoU (%)", TITLE),
    "grouped_bars": (CLASSES, "IoU (%)", TITLE),
    "iou_by_class": (CLASSES, TITLE),
    "class_statistics": (torch.eye(3, dtype=torch.uint8), ("owl", "cat", "bus")),
    "setting_curves": (runs(), *CURVE),
    "heat_map": (runs(), *HEAT),
    "differences": (SWITCHES, TITLE),
}
CALLS = PICTURES | STATISTICS


def draw(name: str, *arguments) -> Figure:
    figure = getattr(figures, name)(*(arguments or CALLS[name]))
    figure.draw_without_rendering()  # settles the layout
    figure.canvas.draw()
    return figure


def words(texts) -> list[str]:
    return [text.get_text() for text in texts]


def line(axes, label: str) -> np.ndarray:
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return found.get_xydata()


def band(collection, x: float) -> tuple[float, float]:
    """Where a filled band begins and ends at a place."""
    corners = collection.get_paths()[0].vertices
    return corners[corners[:, 0] == x][:, 1].min(), corners[corners[:, 0] == x][:, 1].max()


def small_print(figure: Figure) -> str:
    return figure.legends[0].get_title().get_text().replace("\n", " ")


def without(frame: pd.DataFrame, **point) -> pd.DataFrame:
    """NaN in place of the seed mIoU at these settings."""
    here = np.logical_and.reduce([frame[key] == value for key, value in point.items()])
    return frame.assign(seed_miou=frame["seed_miou"].where(~here))


# All figures ------------------------------------------------------------------------------


def test_every_figure_is_covered_here():
    shown = {name for name, each in vars(figures).items() if callable(each)}
    assert shown == {*CALLS, "map_player", "gradient_player", "player"}


@pytest.mark.parametrize("name", CALLS)
def test_a_figure_is_closed_has_words_and_leaves_its_arguments_and_the_style(name):
    before, settings = repr(CALLS[name]), dict(matplotlib.rcParams)
    figure = draw(name)
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == []
    assert repr(CALLS[name]) == before and dict(matplotlib.rcParams) == settings
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    assert titles.count(TITLE) == any(one is TITLE for one in CALLS[name])
    assert any(titles)
    of_axes = [text for axes in figure.axes for text in (axes.title, *axes.texts)]
    for text in (*figure.texts, *of_axes):
        box = text.get_window_extent()
        inside = box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert inside or not text.get_text(), text.get_text()
    first, *others = figure.axes
    if name in STATISTICS:  # axes say what they are of
        assert first.get_ylabel() or words(first.get_yticklabels())
        labels = any(axes.get_xlabel() for axes in (first, *others))
        assert labels or name in ("scores_of_methods", "grouped_bars")  # whose ticks say all
    for axes in figure.axes if name in PICTURES else ():
        assert axes.get_label() == "<colorbar>" or not (*axes.get_xticks(), *axes.get_yticks())


# Colours ----------------------------------------------------------------------------------


def test_a_method_has_one_colour_in_every_figure_whatever_stands_beside_it():
    for names, method in (
        (("RIB, GNDRP", "RIB", "$L_{RIB}$", "RIB+IRN"), "gndrp"),
        (("RIB, GAP", "GAP"), "gap"),
        (("L_BCE", "$\\mathcal{L}_{BCE}$"), "bce"),
        (("CAM", "CAM+CRF", "the CAM"), "cam"),
        (("truth", "true masks"), "truth"),
    ):
        for name in names:
            assert looks(["other", name])[name].color == METHODS[method].color, name
    many = looks([*METHODS, "RIB+CRF", "RIB+IRN", "CAM+IRN", *map(str, range(28))])
    assert len(set(many.values())) == len(many)
    colors = {look.color for look in (*METHODS.values(), *REGIONS.values())}
    assert len(colors) == 5 + 3  # methods and regions share none


def test_masks_have_vocs_colours_whatever_values_they_hold():
    voc = {0: (0, 0, 0), 1: (128, 0, 0), 5: (128, 0, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    for mask in (MASKS[0], np.minimum(MASKS[0], 5)):
        (shown,) = draw("mask_grid", IMAGES[:1], {"CAM": [mask]}, TITLE).axes[1].images
        expected = [[voc[int(value)] for value in row] for row in mask]
        np.testing.assert_array_equal(shown.to_rgba(mask, bytes=True)[..., :3], expected)


# Numbers ----------------------------------------------------------------------------------

READ = {  # figure -> what is read off its axes, and the numbers that it was given
    "gradient_map_rows": (
        lambda axes: axes[3].images[0].get_array(),
        GRADIENTS[2, 0].abs() / GRADIENTS[2, 0].abs().max(),
    ),
    "pooling_by_hand": (lambda axes: axes[3].images[0].get_array().mask, GRID > 0.4),
    "threshold_sweep": (
        lambda axes: line(axes[0], "CAM"),
        np.column_stack([THRESHOLDS, SWEEP.miou]),
    ),
    "scores_of_methods": (
        lambda axes: [one.get_ydata() for one in axes[0].lines],
        [*zip(*NETS.values(), strict=True), *NETS.values()],
    ),
    "iou_by_class": (  # a class without a score is left out
        lambda axes: [one.get_xdata() for one in axes[0].lines],
        [[40, 50], [45, 48]],
    ),
    "differences": (  # the intervals; a mean whose interval holds 0 is hollow
        lambda axes: [
            [*bar[2][0].get_segments()[0][:, 0], bar[0].get_markerfacecolor() == "white"]
            for bar in axes[0].containers
        ],
        [[0.5, 1.5, False], [-1, 1, True]],
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_figure_shows_the_numbers_that_it_was_given(name):
    read, expected = READ[name]
    np.testing.assert_allclose(read(draw(name).axes), expected, rtol=1e-5)


def test_a_grid_has_a_row_an_image_a_column_a_map_on_one_scale_and_the_outlines():
    low = [0.1 * MAPS[0, 0], *MAPS[0, 1:]]  # a map that is low everywhere looks so
    figure = draw("map_grid", IMAGES, {"low": low, "M": MAPS[1]}, TRUTHS, list("abc"), TITLE, 0.5)
    axes = np.array(figure.axes).reshape(3, 4)
    assert words(axis.title for axis in axes[0]) == ["image", "low", "M", "truth"]
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["a", "b", "c"]
    grey = np.asarray(IMAGES[0].convert("L"))[:, :, None] / 255
    expected = grey / 4 + matplotlib.colormaps["magma"](low[0])[:, :, :3] * 3 / 4
    assert np.abs(axes[0, 1].images[0].get_array() - expected).max() < 0.5 / 11 + 1e-6
    np.testing.assert_array_equal(axes[2, 3].images[0].get_array(), TRUTHS[2])
    outlines = [len(axis.collections) for axis in axes[0]]
    assert outlines == [0, 1, 2, 0]  # the truth; and the seed, where a map reaches the cut


# Curves and comparisons -------------------------------------------------------------------


def test_a_curve_is_the_mean_at_the_mean_place_and_its_band_reaches_from_least_to_most():
    values, places = np.array([[40.0, 42], [44, 41], [42, 46]]), [[0.0, 8], [0, 10], [0, 12]]
    axes = draw("curves", {"RIB": (places, values)}, "k", "mIoU", TITLE).axes[0]
    assert line(axes, "RIB").tolist() == [[0, 42], [10, 43]]
    assert band(axes.collections[0], 10) == (41, 46)
    many = {"own": {"background": np.linspace(0, 1, 11)[:, None] * [1.0, 0.5]}}
    axes = draw("hgr_curves", many, "step").axes[0]  # rows are images: the middle half of them
    assert axes.lines[0].get_ydata() == pytest.approx([0.5, 0.25])
    assert band(axes.collections[0], 0) == pytest.approx((0.25, 0.75))


def test_bars_stand_side_by_side_over_their_group_found_by_its_name_with_their_errors():
    errors = {"RIB": {"bus": 3.0, "cat": 2.0, "owl": 1.0}, "CAM": dict.fromkeys(CLASSES["CAM"], 0)}
    axes = draw("grouped_bars", CLASSES, "IoU (%)", TITLE, errors).axes[0]
    bars = [one for one in axes.containers if hasattr(one, "patches") and len(one.patches)]
    assert [bar.get_height() for bar in bars[1]] == [45, 31, 48]
    halves = [np.ptp(one[:, 1]) / 2 for one in axes.collections[1].get_segments()]
    assert halves == pytest.approx([1, 2, 3])


# Ablations --------------------------------------------------------------------------------


def test_lines_are_means_over_seeds_error_bands_their_standard_deviation_dots_the_seeds():
    figure = draw("setting_curves")
    axes, bands, dots = figure.axes[0], set(), set()
    for pooling, values in VALUES.items():
        np.testing.assert_allclose(line(axes, pooling), np.array([STEPS, values]).T)
    for one in axes.collections:
        if isinstance(one, PathCollection):
            dots |= {*one.get_offsets()[:, 1]}
        else:
            bands.add(tuple(np.round(band(one, 10), 6)))
    assert bands == {(44, 46), (37, 39)} and dots == {*runs()["seed_miou"]}
    assert set(line(axes, "CAM")[:, 1]) == {40.0}
    assert "band: ± std over 3 seeds" in small_print(figure)


def test_what_has_no_result_is_said_and_two_runs_of_a_point_are_not_averaged():
    gaps = without(runs(), iterations=5, pooling="GAP")
    figure = draw("setting_curves", gaps, *CURVE)
    assert line(figure.axes[0], "GAP")[:, 0].tolist() == [0, 2, 10]
    assert "3 of 24 runs have no result" in small_print(figure)
    for name, rest in (("setting_curves", CURVE), ("heat_map", HEAT)):
        assert "no result" in small_print(draw(name, runs().assign(seed_miou=NAN), *rest))
        with pytest.raises(ValueError, match=r"two runs have .*'seed': 4"):
            draw(name, pd.concat([runs(), runs((4,))]), *rest)


def test_there_are_axes_for_each_kind_of_images_with_a_result():
    lower, none = (runs().assign(seed_miou=value) for value in (runs()["seed_miou"] - 1, NAN))
    kinds = {"photographs": runs(), "scenes": lower, "VOC": none}
    kinds["scenes"] = lower.assign(seed=lower["seed"] + 10)
    frame = pd.concat([each.assign(images=kind) for kind, each in kinds.items()])
    figure = draw("setting_curves", frame, *CURVE, False, "images")
    axes = figure.axes
    assert small_print(figure).endswith("over 3 seeds")
    assert [one.get_title() for one in axes] == ["photographs", "scenes"]
    photographs, scenes = (line(one, "GAP")[:, 1] for one in axes)
    np.testing.assert_allclose(photographs - scenes, 1)


def test_cells_hold_mean_and_spread_and_missing_ones_are_hatched():
    frame = without(runs(), iterations=5, pooling="GAP")
    frame = without(frame, iterations=0, pooling="GAP", seed=3)
    figure = draw("heat_map", frame, *HEAT)
    axes = figure.axes[0]
    assert words(axes.get_xticklabels()) == ["0", "2", "5", "10"]
    assert words(axes.get_yticklabels()) == ["10", "20"]
    cells = axes.collections[0].get_array().reshape(2, 4)
    expected = np.array([[40.5, 43, NAN, 38], [40, 42, 44, 45]])
    np.testing.assert_allclose(cells.filled(NAN), expected)
    shown = words(axes.texts)
    assert "38.0\n±1.0" in shown and "40.5\n±0.7" in shown and len(shown) == 7
    assert axes.patch.get_hatch() == "////"
    assert small_print(figure) == "mean ± std over 3 seeds; 4 of 24 runs have no result"
