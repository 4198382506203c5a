"""What every function that draws a figure must do."""

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def assert_gives_a_figure(draw, name) -> None:
    """And leaves none open, nor another style behind."""
    settings = dict(matplotlib.rcParams)
    figure = draw(name)
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == settings
    figure.canvas.draw()
