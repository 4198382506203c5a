"""Figures: each says what it shows, and none stays open."""

import inspect

import numpy as np
import pytest
import torch
from drawing import assert_gives_a_figure
from matplotlib.figure import Figure

from ribnb.data.digits import DigitScenes
from ribnb.figures import digit_plots as plots

IMAGES, _, REGIONS = DigitScenes(3, shape_rate=1.0).batch()
MAPS = torch.randn(6, 3, 56, 56, generator=torch.Generator().manual_seed(0))


def ratios(*shape: int) -> dict[str, np.ndarray]:
    """A number in [0, 1] for each region."""
    generator = np.random.default_rng(0)
    return {name: generator.random(shape) for name in REGIONS}


LOGITS = np.linspace(-3, 3, 10)
CURVES = {"BCE": LOGITS, "RIB": -LOGITS}

# name -> arguments, as a chapter gives them
CALLS = {
    "digit_scenes": (IMAGES, REGIONS),
    "loss_curves": ([[0.7, 0.3], [0.6, 0.2]],),
    "gradient_map_rows": (IMAGES, MAPS, REGIONS),
    "hgr_by_layer": ({"one": ratios(3, 6), "two": ratios(3, 6)}, 0.3),
    "hgr_by_threshold": (np.linspace(0, 1, 7), {"$G_5$": ratios(7), "$G_6$": ratios(7)}),
    "loss_and_gradient": (LOGITS, CURVES, CURVES),
    "hgr_by_step": ({"own": ratios(5, 4), "fixed": ratios(5, 4)}, 0.3, "What to see"),
    "adaptation_frame": (
        {"RIB": MAPS[0, 0], "BCE": MAPS[1, 0]},
        {name: masks[0] for name, masks in REGIONS.items()},
        3.0,
        ["left", "right"],
    ),
}


def draw(name: str) -> Figure:
    return getattr(plots, name)(*CALLS[name])


def words(figure: Figure) -> list[str]:
    """Titles and labels of a figure and its axes, legends included."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    entries = [text.get_text() for legend in legends if legend for text in legend.get_texts()]
    return [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes), *entries]


def test_every_figure_of_the_book_is_covered_here():
    own = inspect.getmembers(plots, lambda o: getattr(o, "__module__", "") == plots.__name__)
    public = {name for name, one in own if inspect.isfunction(one) and name[0] != "_"}
    assert public == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_gives_a_figure_and_leaves_none_open(name):
    assert_gives_a_figure(draw, name)


@pytest.mark.parametrize("name", CALLS)
def test_has_words(name):
    assert any(words(draw(name)))


@pytest.mark.parametrize("name", ["loss_curves", "hgr_by_layer", "hgr_by_threshold", "hgr_by_step"])
def test_axes_of_a_curve_are_named_and_curves_told_apart(name):
    figure = draw(name)
    assert all(axes.get_xlabel() for axes in figure.axes)
    assert figure.axes[0].get_ylabel()
    assert figure.legends or any(axes.get_legend() for axes in figure.axes)


@pytest.mark.parametrize("name", CALLS)
def test_is_drawn_from_its_arguments_alone_and_leaves_them(name):
    before = repr(CALLS[name])
    draw(name)
    assert repr(CALLS[name]) == before


@pytest.mark.parametrize("name", ["digit_scenes", "gradient_map_rows"])
def test_one_image_is_enough_and_may_lack_a_shape(name):
    image, _, regions = DigitScenes(1, shape_rate=0).batch()
    arguments = (image, MAPS[:, :1], regions) if name == "gradient_map_rows" else (image, regions)
    assert isinstance(getattr(plots, name)(*arguments), Figure)


@pytest.mark.parametrize("name", ["hgr_by_layer", "hgr_by_step"])
def test_one_panel_is_enough(name):
    panels, *rest = CALLS[name]
    first = dict(list(panels.items())[:1])
    assert len(getattr(plots, name)(first, *rest).axes) == 1


def test_the_curve_is_the_mean_and_the_band_reaches_from_least_to_most():
    values = np.array([[0.0, 0.2], [0.4, 0.4], [0.8, 0.3]])
    axes = plots.hgr_by_layer({"": {"background": values}}, 0.3).axes[0]
    (line,) = axes.get_lines()
    assert line.get_ydata() == pytest.approx([0.4, 0.3])
    assert list(line.get_xdata()) == [1, 2]
    band = axes.collections[0].get_paths()[0].vertices
    assert sorted(set(band[:, 1].round(6))) == [0.0, 0.2, 0.4, 0.8]


def test_a_map_is_shown_as_its_share_of_its_own_maximum():
    figure = plots.gradient_map_rows(
        IMAGES[:1], 7 * MAPS[:, :1], {k: m[:1] for k, m in REGIONS.items()}
    )
    shown = [picture.get_array() for axes in figure.axes for picture in axes.get_images()]
    assert len(shown) == 7
    expected = MAPS[2, 0].abs() / MAPS[2, 0].abs().max()
    np.testing.assert_allclose(np.asarray(shown[3]), expected, rtol=1e-5)
