"""Figures about a split: each says what it shows, shows all that it is given, and stays closed."""

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from ribnb.data.voc import CLASS_NAMES
from ribnb.figures import split_plots
from ribnb.scores.iou import SeedScore

pytestmark = pytest.mark.filterwarnings("error")
TITLE = "What to see"
NAMES = ("owl", "cat", "bus")
LABELS = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 1, 0]], dtype=torch.uint8)
IMAGES = [Image.new("RGB", (16, 12), colour) for colour in ("red", "blue")]
MASKS = [np.full((12, 16), value, np.uint8) for value in (1, 255)]
THRESHOLDS = np.array([0.1, 0.2, 0.3])
NAN = float("nan")


def score(best: int) -> SeedScore:
    """Half of the pixels right at each threshold, all of them at the best one."""
    confusion = np.tile(np.array([[4, 4], [0, 8]]), (3, 1, 1))
    confusion[best] = np.diag([8, 8])
    return SeedScore(THRESHOLDS, confusion, ("background", "owl"))


SCORES = {"CAM": score(0), "RIB": score(2)}
PER_CLASS = {
    "CAM": {"background": 70.0, "owl": 40.0, "cat": NAN, "bus": 50.0},
    "RIB": {"background": 80.0, "owl": 45.0, "cat": 3.0, "bus": 48.0},
}
STOPS = {"margin": [1, 1, 3], "flood": [3], "none": [4, 4]}

CALLS = {
    "class_statistics": (LABELS, NAMES),
    "images_with_masks": (IMAGES, MASKS, ["owl", "nothing"]),
    "training_curves": ([0.7, 0.4, 0.2], [0.5, 0.6, 0.75]),
    "threshold_sweep": (SCORES, TITLE),
    "iou_by_class": (PER_CLASS, TITLE),
    "stops_by_step": (STOPS, TITLE),
}
LEGENDS = {
    "threshold_sweep": ["CAM", "RIB"],
    "iou_by_class": ["CAM", "RIB"],
    "stops_by_step": ["stopped by margin", "stopped by flood", "ran to its end"],
}


def draw(name: str, *arguments) -> Figure:
    figure = getattr(split_plots, name)(*(arguments or CALLS[name]))
    figure.canvas.draw()
    return figure


def texts(labels) -> list[str]:
    return [label.get_text() for label in labels]


def legend(figure: Figure) -> list[str]:
    legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    return [text for one in legends for text in texts(one.get_texts())]


def points(axes) -> dict[str, np.ndarray]:
    """Label of each line -> its points."""
    return {line.get_label(): line.get_xydata() for line in axes.lines}


# All figures ------------------------------------------------------------------------------


def test_every_figure_is_covered_here():
    own = inspect.getmembers(split_plots, inspect.isfunction)
    assert {n for n, f in own if f.__module__ == split_plots.__name__ and n[0] != "_"} == {*CALLS}


@pytest.mark.parametrize("name", CALLS)
def test_gives_a_closed_figure_with_titles_and_leaves_its_arguments(name):
    before = repr(CALLS[name])
    figure = draw(name)
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == []
    assert repr(CALLS[name]) == before
    if CALLS[name][-1] is TITLE:
        assert figure.axes[0].get_title() == TITLE
    else:
        assert all(axes.get_title() for axes in figure.axes[: 2 if len(figure.axes) < 4 else 1])
    assert legend(figure) == LEGENDS.get(name, [])


# Each figure ------------------------------------------------------------------------------


def test_class_statistics_counts_images_and_those_shown_together():
    left, right, bar = draw("class_statistics").axes
    assert [patch.get_width() for patch in left.patches] == [3, 3, 0]
    assert texts(left.texts) == [" 3", " 3", " 0"]
    assert texts(left.get_yticklabels()) == texts(right.get_yticklabels()) == list(NAMES)
    assert (left.get_xlabel(), right.get_xlabel()) == ("images", "")
    together = right.images[0].get_array().filled(NAN)
    expected = [[NAN, 2 / 3, 0], [2 / 3, NAN, 0], [0, 0, NAN]]
    assert np.allclose(together, expected, equal_nan=True)
    assert bar.get_yticklabels()[0].get_text().endswith("%")


@pytest.mark.parametrize(
    "labels",
    [
        torch.ones(1, 1, dtype=torch.uint8),
        torch.eye(20, dtype=torch.uint8),
        torch.ones(2, 20, dtype=torch.uint8),
    ],
)
def test_class_statistics_takes_one_class_or_twenty(labels):
    count = labels.shape[1]
    left, *_ = draw("class_statistics", labels, CLASS_NAMES[:count]).axes
    assert len(left.patches) == count


def test_images_stand_above_their_masks_in_vocs_colours():
    figure = draw("images_with_masks")
    assert len(figure.axes) == 4
    assert texts(axes.title for axes in figure.axes[:2]) == ["owl", "nothing"]
    top, bottom = figure.axes[0].images[0], figure.axes[2].images[0]
    assert np.allclose(top.get_array()[0, 0], [1, 0, 0])
    assert (bottom.get_array() == 1).all()
    assert np.allclose(bottom.to_rgba(np.array([[1, 255, 0]]))[0, :, :3] * 255,
                       [[128, 0, 0], [224, 224, 192], [0, 0, 0]])  # fmt: skip
    assert len(draw("images_with_masks", IMAGES[:1], MASKS[:1], ["owl"]).axes) == 2


def test_training_curves_show_each_epoch():
    left, right = draw("training_curves").axes
    assert left.lines[0].get_xydata().tolist() == [[1, 0.7], [2, 0.4], [3, 0.2]]
    assert np.allclose(right.lines[0].get_xydata(), [[1, 50], [2, 60], [3, 75]])
    assert (left.get_ylabel(), right.get_ylabel()) == ("mean loss L_BCE", "mAP (%)")


@pytest.mark.parametrize(("losses", "precisions"), [([], [0.9]), ([0.5], [0.9])])
def test_training_curves_of_a_net_that_was_loaded(losses, precisions):
    left, right = draw("training_curves", losses, precisions).axes
    assert (len(left.lines[0].get_xdata()), len(right.lines[0].get_xdata())) == (len(losses), 1)


def test_the_sweep_marks_each_best_threshold():
    (axes,) = draw("threshold_sweep").axes
    lines = points(axes)
    for name, one in SCORES.items():
        assert np.allclose(lines[name], np.column_stack([THRESHOLDS, one.miou]))
    marks = [line.get_xydata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert np.allclose(marks, [[0.1, 100], [0.3, 100]])
    assert texts(axes.texts) == ["100.0", "100.0"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("background threshold", "seed mIoU (%)")


def test_a_class_without_a_score_is_left_out():
    (axes,) = draw("iou_by_class").axes
    assert texts(axes.get_yticklabels()) == ["background", "owl", "bus"]
    assert points(axes)["CAM"].tolist() == [[70, 0], [40, 1], [50, 2]]
    assert points(axes)["RIB"].tolist() == [[80, 0], [45, 1], [48, 2]]
    assert axes.get_xlabel() == "IoU (%)"
    assert axes.yaxis_inverted()


@pytest.mark.parametrize("names", [("owl",), ("background", *CLASS_NAMES)])
def test_iou_by_class_takes_one_class_or_all(names):
    (axes,) = draw("iou_by_class", {"CAM": dict.fromkeys(names, 30.0)}, TITLE).axes
    assert texts(axes.get_yticklabels()) == list(names)


def test_stops_stand_on_each_other_at_their_step():
    (axes,) = draw("stops_by_step").axes
    margin, flood, none = (
        {bar.get_x() + bar.get_width() / 2: (bar.get_y(), bar.get_height()) for bar in bars}
        for bars in axes.containers
    )
    assert margin == {0: (0, 0), 1: (0, 2), 2: (0, 0), 3: (0, 1), 4: (0, 0)}
    assert flood[3] == (1, 1)
    assert none[4] == (0, 2)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("last step k whose map counts", "images")


@pytest.mark.parametrize("stops", [{}, {"margin": [], "flood": [], "none": [0]}])
def test_stops_of_no_step_at_all(stops):
    (axes,) = draw("stops_by_step", stops, TITLE).axes
    assert len(axes.patches) == 3
