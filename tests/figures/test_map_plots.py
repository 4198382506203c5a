"""Figures about maps: each says what it shows, shows all that it is given, and none stays open."""

import inspect

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawing import assert_gives_a_figure
from matplotlib.colors import to_rgba
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from PIL import Image

from ribnb.figures import map_plots
from ribnb.figures.map_plots import METHOD_STYLES, PART_COLORS, voc_colormap

HEIGHT, WIDTH = 12, 16
DRAWN = np.random.default_rng(0)
IMAGES = [Image.fromarray(DRAWN.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)) for _ in range(3)]
MASKS = [DRAWN.choice(np.array([0, 1, 5, 255], np.uint8), (HEIGHT, WIDTH)) for _ in IMAGES]
PARTS = [DRAWN.integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8) for _ in IMAGES]
MAPS = DRAWN.random((2, 3, HEIGHT, WIDTH))
TRUTHS = [np.arange(WIDTH) + np.arange(HEIGHT)[:, None] > 12 + 2 * row for row in range(3)]
GRID = np.array([[0.1, 0.5], [0.9, 0.2]])
TITLE = "What to see"
SCORES = {"CAM": [39.0, 41.0, 40.0], "RIB, GAP": [40.0, 42.5, 41.0], "RIB, GNDRP": [42, 43, 44]}
PER_CLASS = {
    "CAM": {"owl": 40.0, "cat": 30.0, "bus": 50.0},
    "RIB": {"owl": 45.0, "cat": 31.0, "bus": 48.0},
}

# name -> arguments, as a chapter gives them
CALLS = {
    "scenes_with_masks": (IMAGES, MASKS, PARTS, ["owl", "cat, bus", "bus"]),
    "map_grid": (IMAGES, {"k = 0": MAPS[0], "M": MAPS[1]}, TRUTHS, ["a", "b", "c"], TITLE),
    "map_frame": (IMAGES[0], {"GAP": MAPS[0, 0], "RIB": MAPS[1, 0]}, TRUTHS[0], ["left", "right"]),
    "by_part": ({"head": [0.9, 0.8], "body": [0.3, 0.4]}, "recall", TITLE),
    "pooling_by_hand": (GRID, GRID, {"GAP": GRID >= 0, "GNDRP": GRID <= 0.4}),
    "kept_share": (
        np.linspace(0, 1, 5),
        {"head": np.linspace(0, 1, 5), "body": np.linspace(0, 1, 5) ** 0.5},
        0.4,
        TITLE,
    ),
    "scores_of_methods": (SCORES, "seed mIoU (%)", TITLE),
    "curves": (
        {"GAP": (np.arange(4), np.ones((3, 4))), "GNDRP": (np.arange(4), np.zeros((3, 4)))},
        "step k",
        "seed mIoU (%)",
        TITLE,
    ),
    "tradeoffs": (
        {"CAM": ([0.2, 0.4], [0.9, 0.7]), "RIB": ([0.3, 0.6], [0.8, 0.6])},
        "recall",
        "precision",
        TITLE,
    ),
    "grouped_bars": (PER_CLASS, "IoU (%)", TITLE),
    "changes_by_image": (
        {"GAP": [-1.0, 2.0, 3.0], "GNDRP": [5.0, 0.0, -7.0]},
        "change of the IoU (points)",
        TITLE,
    ),
}
GIVEN_A_TITLE = [name for name, arguments in CALLS.items() if arguments[-1] is TITLE]
AXES = {
    "by_part": ("", "recall"),
    "kept_share": ("threshold $\\tau$", "share of pixels kept"),
    "scores_of_methods": ("", "seed mIoU (%)"),
    "curves": ("step k", "seed mIoU (%)"),
    "tradeoffs": ("recall", "precision"),
    "grouped_bars": ("", "IoU (%)"),
    "changes_by_image": ("change of the IoU (points)", "images"),
}
LEGENDS = {
    "scenes_with_masks": ["head", "body"],
    "kept_share": ["head", "body"],
    "curves": ["GAP", "GNDRP"],
    "tradeoffs": ["CAM", "RIB"],
    "grouped_bars": ["CAM", "RIB"],
}


def draw(name: str) -> Figure:
    return getattr(map_plots, name)(*CALLS[name])


def legend(figure: Figure) -> list:
    legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    assert len(legends) <= 1
    return legends[0].get_texts() if legends else []


def tick_labels(axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def picture(axes) -> np.ndarray:
    """The only picture of a panel."""
    (shown,) = axes.get_images()
    return shown.get_array()


def looks_like(axes, colours: np.ndarray) -> bool:
    """Whether the panel shows these colours in [0, 1], rounded to 12 levels a channel."""
    shown = picture(axes)
    return shown.shape == colours.shape and np.abs(shown - colours).max() < 0.5 / 11 + 1e-6


def overlay(image, one) -> np.ndarray:
    """A quarter of the grey image, three quarters of the map's colours."""
    grey = np.asarray(image.convert("L"))[:, :, None] / 255
    return grey / 4 + matplotlib.colormaps["magma"](one)[:, :, :3] * 3 / 4


# All figures ------------------------------------------------------------------------------


def test_every_figure_of_the_book_is_covered_here():
    own = inspect.getmembers(
        map_plots, lambda o: getattr(o, "__module__", "") == map_plots.__name__
    )
    public = {name for name, one in own if inspect.isfunction(one) and name[0] != "_"}
    assert public == {*CALLS, "voc_colormap"}


@pytest.mark.parametrize("name", CALLS)
def test_gives_a_figure_and_leaves_none_open(name):
    assert_gives_a_figure(draw, name)


@pytest.mark.parametrize("name", CALLS)
def test_is_drawn_from_its_arguments_alone_and_leaves_them(name):
    before = repr(CALLS[name])
    draw(name)
    assert repr(CALLS[name]) == before


@pytest.mark.parametrize("name", CALLS)
def test_has_words(name):
    figure = draw(name)
    assert figure.get_suptitle() or all(axes.get_title() for axes in figure.axes)


@pytest.mark.parametrize("name", CALLS)
def test_no_words_are_cut_off(name):
    figure = draw(name)
    figure.canvas.draw()
    titles = [figure.texts, *([axes.title, *axes.texts] for axes in figure.axes)]
    for text in (text for texts in titles for text in texts if text.get_text()):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, text.get_text()
        assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, text.get_text()


@pytest.mark.parametrize("name", GIVEN_A_TITLE)
def test_says_what_to_see(name):
    figure = draw(name)
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    assert titles.count(TITLE) == 1


@pytest.mark.parametrize("name", AXES)
def test_the_axes_are_named(name):
    figure = draw(name)
    xlabel, ylabel = AXES[name]
    assert {axes.get_xlabel() for axes in figure.axes} == {xlabel}
    assert figure.axes[0].get_ylabel() == ylabel


@pytest.mark.parametrize("name", CALLS)
def test_the_legend_names_what_is_drawn(name):
    texts = legend(draw(name))
    assert [text.get_text() for text in texts] == LEGENDS.get(name, [])


@pytest.mark.parametrize("name", ["scenes_with_masks", "map_grid", "map_frame", "pooling_by_hand"])
def test_pictures_have_no_ticks(name):
    for axes in draw(name).axes:
        assert len(axes.get_xticks()) == len(axes.get_yticks()) == 0


def test_methods_and_parts_have_colours_of_their_own_and_methods_markers_too():
    assert len({color for color, _ in METHOD_STYLES}) == len(METHOD_STYLES)
    assert len({marker for _, marker in METHOD_STYLES}) == len(METHOD_STYLES)
    assert len(set(PART_COLORS.values())) == len(PART_COLORS)


# VOC's colours ----------------------------------------------------------------------------

VOC_COLOURS = {
    0: (0, 0, 0),
    1: (128, 0, 0),
    2: (0, 128, 0),
    3: (128, 128, 0),
    4: (0, 0, 128),
    5: (128, 0, 128),
    6: (0, 128, 128),
    7: (128, 128, 128),
    8: (64, 0, 0),
    9: (192, 0, 0),
    10: (64, 128, 0),
    11: (192, 128, 0),
    12: (64, 0, 128),
    13: (192, 0, 128),
    14: (64, 128, 128),
    15: (192, 128, 128),
    16: (0, 64, 0),
    17: (128, 64, 0),
    18: (0, 192, 0),
    19: (128, 192, 0),
    20: (0, 64, 128),
    64: (32, 0, 0),
    128: (0, 32, 0),
    255: (224, 224, 192),
}


def test_the_colours_are_vocs():
    colormap = voc_colormap()
    assert colormap.N == 256
    shown = {index: tuple(colormap(index, bytes=True)) for index in VOC_COLOURS}
    assert shown == {index: (*colour, 255) for index, colour in VOC_COLOURS.items()}
    assert len({tuple(colormap(index)) for index in range(256)}) == 256


def test_a_mask_is_shown_in_vocs_colours():
    """Whatever values it holds: 0 ... 255 are not stretched to those that occur."""
    for mask in (MASKS[0], np.minimum(MASKS[0], 5)):
        figure = map_plots.scenes_with_masks(IMAGES[:1], [mask], PARTS[:1], ["owl"])
        (shown,) = figure.axes[1].get_images()
        expected = [[VOC_COLOURS[int(value)] for value in row] for row in mask]
        np.testing.assert_array_equal(shown.to_rgba(mask, bytes=True)[..., :3], expected)


# Pictures ---------------------------------------------------------------------------------


def test_scenes_stand_over_their_masks_and_parts():
    figure = draw("scenes_with_masks")
    axes = np.array(figure.axes).reshape(3, 3)
    for column in range(3):
        assert looks_like(axes[0, column], np.asarray(IMAGES[column]) / 255)
        np.testing.assert_array_equal(picture(axes[1, column]), MASKS[column])
        np.testing.assert_array_equal(picture(axes[2, column]), PARTS[column])
    assert [axis.get_title() for axis in axes[0]] == ["owl", "cat, bus", "bus"]
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["image", "mask", "parts"]


def test_the_colours_of_the_parts_are_those_of_the_legend():
    figure = draw("scenes_with_masks")
    (shown,) = figure.axes[6].get_images()
    colours = shown.to_rgba(np.array([[1, 2]], np.uint8))[0]
    for name, color, handle in zip(
        ("head", "body"), colours, figure.legends[0].legend_handles, strict=True
    ):
        assert tuple(color) == to_rgba(PART_COLORS[name]) == to_rgba(handle.get_color())
    alone = map_plots.scenes_with_masks(IMAGES[:1], MASKS[:1], [0 * PARTS[0] + 2], ["owl"])
    (shown,) = alone.axes[2].get_images()
    assert tuple(shown.to_rgba(shown.get_array())[0, 0]) == to_rgba(PART_COLORS["body"])


def test_a_grid_has_a_row_an_image_and_a_column_a_map():
    figure = draw("map_grid")
    axes = np.array(figure.axes).reshape(3, 4)
    assert [axis.get_title() for axis in axes[0]] == ["image", "k = 0", "M", "truth"]
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["a", "b", "c"]
    for row in range(3):
        assert looks_like(axes[row, 0], np.asarray(IMAGES[row]) / 255)
        np.testing.assert_array_equal(picture(axes[row, 3]), TRUTHS[row])
        for column in (1, 2):
            assert looks_like(axes[row, column], overlay(IMAGES[row], MAPS[column - 1, row]))


def test_maps_share_one_scale_from_0_to_1():
    """A map that is low everywhere looks so."""
    low = 0.1 * MAPS[0, 0]
    grid = map_plots.map_grid(IMAGES[:1], {"low": [low]}, TRUTHS[:1], ["a"], "title")
    frame = map_plots.map_frame(IMAGES[0], {"low": low}, TRUTHS[0], ["caption"])
    assert looks_like(grid.axes[1], overlay(IMAGES[0], low))
    assert looks_like(frame.axes[0], overlay(IMAGES[0], low))


def outlines(axes) -> list:
    return [one for one in axes.collections if isinstance(one, QuadContourSet)]


def test_the_truth_is_outlined_where_it_has_an_outline(recwarn):
    for truth, count in ((TRUTHS[0], 1), (TRUTHS[0] & False, 0), (TRUTHS[0] | True, 0)):
        figure = map_plots.map_frame(IMAGES[0], {"M": MAPS[0, 0]}, truth, ["caption"])
        assert len(outlines(figure.axes[0])) == count
        grid = map_plots.map_grid(IMAGES[:1], {"M": MAPS[0]}, [truth], ["a"], "title")
        assert [len(outlines(axes)) for axes in grid.axes] == [0, count, 0]
        assert grid.axes[2].get_images()[0].norm.vmax == 1  # white, not black, when all of it is
    assert not recwarn.list


def test_the_seed_is_outlined_where_a_map_is_above_the_cut():
    low, high = 0.2 + 0 * MAPS[0, 0], MAPS[0, 0]  # one that nowhere reaches the cut
    maps = {"low": [low], "high": [high]}
    figure = map_plots.map_grid(IMAGES[:1], maps, [TRUTHS[0] & False], ["a"], "title", cut=0.5)
    assert [len(outlines(axes)) for axes in figure.axes] == [0, 0, 1, 0]
    (seed,) = outlines(figure.axes[2])
    assert list(seed.levels) == [0.5]


def test_a_frame_has_a_caption_under_each_map():
    figure = draw("map_frame")
    said = [(axes.get_title(), axes.get_xlabel()) for axes in figure.axes]
    assert said == [("GAP", "left"), ("RIB", "right")]


def test_a_caption_too_few_is_refused():
    with pytest.raises(ValueError):
        map_plots.map_frame(IMAGES[0], {"M": MAPS[0, 0], "N": MAPS[1, 0]}, TRUTHS[0], ["one"])
    plt.close("all")  # what could not be drawn to its end stays open


def test_pooling_by_hand_shows_the_numbers_that_are_kept():
    figure = draw("pooling_by_hand")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["feature", "CAM", "GAP", "GNDRP"]
    numbers = [{text.get_text() for text in axes.texts} for axes in figure.axes]
    everything = {"0.1", "0.5", "0.9", "0.2"}
    assert numbers == [everything, everything, everything, {"0.1", "0.2"}]
    for text in (text for axes in figure.axes for text in axes.texts):
        column, row = text.get_position()
        assert f"{GRID[row, column]:g}" == text.get_text()
    hidden = figure.axes[3].get_images()[0].get_array().mask
    np.testing.assert_array_equal(hidden, GRID > 0.4)


def test_a_dark_position_has_a_light_number():
    cam = draw("pooling_by_hand").axes[1]
    colormap, norm = cam.get_images()[0].get_cmap(), cam.get_images()[0].norm
    for text in cam.texts:
        background = np.dot(colormap(norm(float(text.get_text())))[:3], (0.3, 0.59, 0.11))
        number = np.dot(to_rgba(text.get_color())[:3], (0.3, 0.59, 0.11))
        assert abs(number - background) > 0.3, text.get_text()


# Numbers ----------------------------------------------------------------------------------


def test_a_bar_is_the_mean_and_a_dot_a_net():
    axes = draw("by_part").axes[0]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([0.85, 0.35])
    assert tick_labels(axes) == ["head", "body"]
    for line, place, values in zip(axes.get_lines(), (0, 1), ([0.9, 0.8], [0.3, 0.4]), strict=True):
        assert list(line.get_ydata()) == values
        assert set(line.get_xdata()) == {place}
    colors = [tuple(bar.get_facecolor())[:3] for bar in axes.patches]
    assert colors == [to_rgba(PART_COLORS[name])[:3] for name in ("head", "body")]
    single = map_plots.by_part({"background": 0.2}, "recall", "title").axes[0]
    assert single.patches[0].get_height() == pytest.approx(0.2)


def test_the_threshold_in_use_is_marked():
    axes = draw("kept_share").axes[0]
    head, body, mark = axes.get_lines()
    np.testing.assert_allclose(head.get_ydata(), CALLS["kept_share"][1]["head"])
    np.testing.assert_allclose(body.get_ydata(), CALLS["kept_share"][1]["body"])
    assert set(mark.get_xdata()) == {0.4}
    assert [text.get_text().strip() for text in axes.texts] == ["$\\tau$ = 0.4"]


def test_scores_have_a_dot_a_net_and_a_bar_at_the_mean():
    axes = draw("scores_of_methods").axes[0]
    nets, methods = axes.get_lines()[:3], axes.get_lines()[3:]
    assert [list(line.get_ydata()) for line in methods] == [list(one) for one in SCORES.values()]
    assert [list(line.get_ydata()) for line in nets] == [[39, 40, 42], [41, 42.5, 43], [40, 41, 44]]
    means = [one.get_segments()[0][:, 1] for one in axes.collections]
    assert [set(mean.round(6)) for mean in means] == [{40.0}, {round(123.5 / 3, 6)}, {43.0}]
    assert tick_labels(axes) == list(SCORES)


def test_a_curve_is_the_mean_and_its_band_reaches_from_least_to_most():
    values = np.array([[40.0, 42.0], [44.0, 41.0], [42.0, 46.0]])
    axes = map_plots.curves({"RIB": ([0, 10], values)}, "step k", "mIoU", "title").axes[0]
    (line,) = axes.get_lines()
    assert list(line.get_xdata()) == [0, 10]
    assert list(line.get_ydata()) == [42, 43]
    band = axes.collections[0].get_paths()[0].vertices
    assert {tuple(one) for one in band} == {(0, 40), (0, 44), (10, 41), (10, 46)}


def test_nets_with_places_of_their_own_are_drawn_at_their_mean():
    places = np.array([[0.0, 1.0], [0.0, 3.0]])
    axes = map_plots.curves({"RIB": (places, np.ones((2, 2)))}, "logit", "mIoU", "title").axes[0]
    assert list(axes.get_lines()[0].get_xdata()) == [0, 2]
    single = map_plots.curves({"RIB": ([0, 1], [5.0, 6.0])}, "step k", "mIoU", "title").axes[0]
    assert list(single.get_lines()[0].get_ydata()) == [5, 6]


def test_a_tradeoff_is_one_score_against_the_other():
    lines = draw("tradeoffs").axes[0].get_lines()
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]
    assert drawn == [([0.2, 0.4], [0.9, 0.7]), ([0.3, 0.6], [0.8, 0.6])]


def test_steps_are_whole_numbers():
    axes = map_plots.curves({"RIB": (range(3), np.ones(3))}, "step k", "mIoU", "title").axes[0]
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_grouped_bars_stand_side_by_side_over_their_group():
    axes = draw("grouped_bars").axes[0]
    assert tick_labels(axes) == ["owl", "cat", "bus"]
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights == [[40, 30, 50], [45, 31, 48]]
    for group in range(3):
        left, right = (bars[group] for bars in axes.containers)
        assert left.get_x() + left.get_width() == pytest.approx(right.get_x())
        assert right.get_x() == pytest.approx(group)


def test_groups_are_found_by_their_name():
    """Also when a method has them in another order."""
    turned = {"CAM": PER_CLASS["CAM"], "RIB": dict(reversed(PER_CLASS["RIB"].items()))}
    axes = map_plots.grouped_bars(turned, "IoU (%)", "title").axes[0]
    assert [bar.get_height() for bar in axes.containers[1]] == [45, 31, 48]


def test_error_bars_belong_to_their_bar():
    errors = {
        "RIB": {"bus": 3.0, "cat": 2.0, "owl": 1.0},
        "CAM": {"owl": 0.1, "cat": 0.2, "bus": 0.3},
    }
    axes = map_plots.grouped_bars(PER_CLASS, "IoU (%)", "title", errors).axes[0]
    halves = [
        [float(np.ptp(segment[:, 1])) / 2 for segment in lines.get_segments()]
        for lines in axes.collections
    ]
    assert halves[0] == pytest.approx([0.1, 0.2, 0.3])
    assert halves[1] == pytest.approx([1, 2, 3])


def test_changes_count_what_became_better_and_worse():
    figure = draw("changes_by_image")
    assert [axes.get_title() for axes in figure.axes] == [
        "GAP: 67% better, 33% worse",
        "GNDRP: 33% better, 33% worse",
    ]
    for axes in figure.axes:
        assert sum(bar.get_height() for bar in axes.patches) == 3


def test_no_change_stands_in_a_bar_of_its_own():
    """Not with the images that became better, nor with those that became worse."""
    values = {"RIB": np.array([0.0] * 5 + [0.2, -0.2, 1.0, -1.0])}
    axes = map_plots.changes_by_image(values, "change", "title").axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights[len(heights) // 2] == 5
    middle = axes.patches[len(heights) // 2]
    assert middle.get_x() + middle.get_width() / 2 == pytest.approx(0, abs=1e-9)
    assert heights == heights[::-1]


def test_the_panels_of_changes_share_their_scale():
    figure = map_plots.changes_by_image({"a": [0.1], "b": [30.0]}, "change", "title")
    left, right = ([bar.get_x() for bar in axes.patches] for axes in figure.axes)
    assert left == right
    assert left[0] == pytest.approx(-30)
    figure = map_plots.changes_by_image({"a": [1.0] * 50, "b": [1.0, 0.0]}, "change", "title")
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


@pytest.mark.parametrize("count", [1, 6, 9])
def test_no_method_is_left_out(count):
    """Also if there are more than colours."""
    names = [f"method {index}" for index in range(count)]
    scores = map_plots.scores_of_methods({name: [1.0, 2.0] for name in names}, "mIoU", "title")
    assert len(scores.axes[0].collections) == count
    curves = map_plots.curves({name: ([0, 1], [1.0, 2.0]) for name in names}, "k", "y", "title")
    assert len(curves.axes[0].get_lines()) == len(legend(curves)) == count
    lines = map_plots.tradeoffs({name: ([0, 1], [1.0, 2.0]) for name in names}, "x", "y", "title")
    assert len(lines.axes[0].get_lines()) == count
    bars = map_plots.grouped_bars({name: {"owl": 1.0} for name in names}, "IoU", "title")
    assert len(bars.axes[0].containers) == len(legend(bars)) == count
    changes = map_plots.changes_by_image({name: [1.0] for name in names}, "change", "title")
    assert all(axes.patches for axes in changes.axes)
    assert len(changes.axes) == count


@pytest.mark.parametrize("name", ["scenes_with_masks", "map_grid", "map_frame"])
def test_one_image_and_one_map_are_enough(name):
    calls = {
        "scenes_with_masks": (IMAGES[:1], MASKS[:1], PARTS[:1], ["owl"]),
        "map_grid": (IMAGES[:1], {"M": MAPS[0, :1]}, TRUTHS[:1], ["a"], "title"),
        "map_frame": (IMAGES[0], {"M": MAPS[0, 0]}, TRUTHS[0], ["caption"]),
    }
    assert isinstance(getattr(map_plots, name)(*calls[name]), Figure)
