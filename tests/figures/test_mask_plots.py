"""Figures about masks: each shows all that it is given, in its colours, and stays closed."""

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawing import assert_gives_a_figure
from matplotlib.figure import Figure
from PIL import Image

from ribnb.figures import mask_plots

pytestmark = pytest.mark.filterwarnings("error")
TITLE = "What to see"
IMAGES = [Image.new("RGB", (16, 12), colour) for colour in ("red", "blue")]
MASKS = [np.full((12, 16), value, np.uint8) for value in (1, 255)]
HEAT = np.linspace(0, 1, 12 * 16).reshape(12, 16)
SHOWN = {
    "image": ("image", IMAGES[0]),
    "seed": ("mask", MASKS[0]),
    "heat": ("map", HEAT),
    "boundaries": ("grey", HEAT / 50),
}
SCORES = {"miou": {"CAM": 40.0, "RIB": 52.25}, "recall": {"RIB": 61.0}}
LABELS = {"miou": "mIoU (%)", "recall": "recall (%)"}
NETS = {"CAM": [40.0, 42.0, 38.0], "RIB": [50.0, 49.0, 54.0], "truth": [70.0, 71.0, 72.0]}

CALLS = {
    "panels": (SHOWN, TITLE),
    "mask_grid": (IMAGES, {"CAM": MASKS, "truth": MASKS[::-1]}, ["owl", "cat"], TITLE),
    "scores_by_row": (SCORES, LABELS, TITLE),
    "loss_curves": ({"CAM": [1.5, 0.5], "truth": [1.0, 0.7, 0.1]}, "epoch", TITLE),
    "scores_by_net": (NETS, "val mIoU (%)", TITLE),
}
LEGENDS = {
    "loss_curves": ["CAM", "truth"],
    "scores_by_net": ["net 1", "net 2", "net 3", "mean"],
}
RED, CREAM, BLACK = (128, 0, 0), (224, 224, 192), (0, 0, 0)


def draw(name: str, *arguments, **options) -> Figure:
    figure = getattr(mask_plots, name)(*(arguments or CALLS[name]), **options)
    figure.canvas.draw()
    return figure


def texts(labels) -> list[str]:
    return [label.get_text() for label in labels]


def colours(axes, places) -> np.ndarray:
    """(N, 3) in 0 to 255, as drawn, at (row, column)."""
    (image,) = axes.images
    values = image.get_array()
    shown = values if values.ndim == 3 else image.to_rgba(values)[:, :, :3]
    return np.array([shown[place][:3] for place in places]) * 255


# All figures ------------------------------------------------------------------------------


def test_every_figure_is_covered_here():
    own = inspect.getmembers(mask_plots, inspect.isfunction)
    assert {n for n, f in own if f.__module__ == mask_plots.__name__ and n[0] != "_"} == {*CALLS}


@pytest.mark.parametrize("name", CALLS)
def test_gives_a_closed_figure_with_its_title_and_leaves_its_arguments(name):
    before = repr(CALLS[name])
    assert_gives_a_figure(lambda name: getattr(mask_plots, name)(*CALLS[name]), name)
    figure = draw(name)
    assert repr(CALLS[name]) == before
    heading = figure.get_suptitle() or figure.axes[0].get_title()
    assert heading == TITLE
    legends = [text for one in figure.legends for text in texts(one.get_texts())]
    assert legends == LEGENDS.get(name, [])


# Panels -----------------------------------------------------------------------------------


def test_panels_show_each_kind_under_its_name_in_its_colours():
    figure = draw("panels")
    assert texts(axes.title for axes in figure.axes) == [*SHOWN, "", ""]
    assert [axes.get_visible() for axes in figure.axes] == [True] * 4 + [False] * 2
    image, mask, heat, grey = figure.axes[:4]
    ends = [(0, 0), (-1, -1)]
    assert np.allclose(colours(image, ends), [(255, 0, 0)] * 2)
    assert np.allclose(colours(mask, ends), [RED] * 2)
    assert heat.images[0].get_cmap().name == "magma"
    assert heat.images[0].get_clim() == (0, 1)
    assert np.allclose(colours(grey, ends), [BLACK, (255, 255, 255)])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 40.0])
def test_greys_go_to_their_maximum(scale):
    """A faint boundary map is seen as well as a strong one."""
    (axes,) = draw("panels", {"one": ("grey", HEAT * scale)}, TITLE, columns=1).axes
    found = colours(axes, [(0, 0), (6, 0), (-1, -1)])[:, 0] / 255
    assert np.allclose(found, [0, 0.5, 1], atol=0.03)


def test_a_map_of_nothing_is_black_and_a_weak_one_dark():
    nothing = np.zeros((12, 16))
    shown = {"grey": ("grey", nothing), "map": ("map", nothing), "weak": ("map", HEAT / 2)}
    grey, heat, weak = draw("panels", shown, TITLE, columns=3).axes
    assert np.allclose(colours(grey, [(0, 0)]), [BLACK])
    assert colours(heat, [(0, 0)]).max() < 5
    assert weak.images[0].get_clim() == (0, 1)  # two maps can be compared


@pytest.mark.parametrize(("columns", "count"), [(1, 4), (3, 6), (4, 4)])
def test_panels_take_as_many_rows_as_needed(columns, count):
    figure = draw("panels", SHOWN, TITLE, columns=columns)
    assert len(figure.axes) == count
    assert figure.axes[0].get_gridspec().ncols == columns


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ({**SHOWN, "last": ("heat", HEAT)}, "last: kind must be one of image, .*; got .heat."),
        ({}, "there is no picture to show"),
    ],
)
def test_panels_refuse_in_words(shown, message):
    with pytest.raises(ValueError, match=message):
        mask_plots.panels(shown, TITLE)
    assert plt.get_fignums() == []


# Masks side by side -----------------------------------------------------------------------


def test_each_image_stands_beside_its_masks():
    figure = draw("mask_grid")
    axes = np.array(figure.axes).reshape(2, 3)
    assert texts(one.title for one in axes[0]) == ["image", "CAM", "truth"]
    assert [one.get_ylabel() for one in axes[:, 0]] == ["owl", "cat"]
    found = [[tuple(colours(one, [(0, 0)])[0].round()) for one in row] for row in axes]
    assert found == [[(255, 0, 0), RED, CREAM], [(0, 0, 255), CREAM, RED]]


def test_one_image_and_its_truth_alone():
    assert len(draw("mask_grid", IMAGES[:1], {"truth": MASKS[:1]}, [""], TITLE).axes) == 2


@pytest.mark.parametrize(
    ("images", "columns", "labels", "message"),
    [
        ([], {"CAM": []}, [], "there is no image to show"),
        (IMAGES, {"CAM": MASKS, "RIB": MASKS[:1]}, ["", ""], "RIB: there are 1, but 2 images"),
        (IMAGES, {"CAM": MASKS}, [""], "row_labels: there are 1, but 2 images"),
    ],
)
def test_a_grid_with_holes_is_refused_in_words(images, columns, labels, message):
    with pytest.raises(ValueError, match=message):
        mask_plots.mask_grid(images, columns, labels, TITLE)
    assert plt.get_fignums() == []


# Scores -----------------------------------------------------------------------------------


def test_each_score_has_a_panel_and_each_kind_of_masks_a_row():
    left, right = draw("scores_by_row").axes
    assert texts(left.get_yticklabels()) == ["CAM", "RIB"]
    assert left.yaxis_inverted()
    assert left.lines[0].get_xydata().tolist() == [[40, 0], [52.25, 1]]
    assert right.lines[0].get_xydata().tolist() == [[61, 1]]  # the row of RIB, without the other
    assert texts(left.texts) == ["40.0", "52.2"]
    assert (left.get_xlabel(), right.get_xlabel()) == tuple(LABELS.values())


def test_one_score_of_one_kind():
    (axes,) = draw("scores_by_row", {"miou": {"CAM": 40.0}}, LABELS, TITLE).axes
    assert texts(axes.get_yticklabels()) == ["CAM"]


def test_nets_are_joined_over_the_columns_and_their_mean_marked():
    (axes,) = draw("scores_by_net").axes
    *nets, mean = axes.lines
    assert [line.get_ydata().tolist() for line in nets] == [
        [40, 50, 70],
        [42, 49, 71],
        [38, 54, 72],
    ]
    assert mean.get_ydata().tolist() == [40, 51, 71]
    assert texts(axes.get_xticklabels()) == list(NETS)
    assert axes.get_ylabel() == "val mIoU (%)"
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 4


@pytest.mark.parametrize(("columns", "nets"), [(1, 1), (3, 1), (5, 6)])
def test_any_number_of_nets_and_columns(columns, nets):
    scores = {f"kind {one}": [50.0 + one] * nets for one in range(columns)}
    (axes,) = draw("scores_by_net", scores, "mIoU (%)", TITLE).axes
    assert len(axes.lines) == nets + 1
    assert len(axes.get_xticklabels()) == columns


@pytest.mark.parametrize("scores", [{"CAM": [40.0, 42.0], "RIB": [50.0]}, {}])
def test_columns_of_different_nets_are_refused(scores):
    with pytest.raises(ValueError, match=r"every column needs the same nets; got \{"):
        mask_plots.scores_by_net(scores, "mIoU (%)", TITLE)
    assert plt.get_fignums() == []


# Losses -----------------------------------------------------------------------------------


def test_losses_are_counted_from_1():
    (axes,) = draw("loss_curves").axes
    found = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert found == {"CAM": [[1, 1.5], [2, 0.5]], "truth": [[1, 1.0], [2, 0.7], [3, 0.1]]}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss")
    assert all(tick == round(tick) for tick in axes.get_xticks())


@pytest.mark.parametrize("history", [[], [0.5]])
def test_losses_of_a_net_without_a_history_or_with_one_pass(history):
    (axes,) = draw("loss_curves", {"CAM": history}, "epoch", TITLE).axes
    assert len(axes.lines[0].get_xdata()) == len(history)
