"""Every figure of the book: a function that returns a Figure in one style.

Its ``title`` says what to see, a label what is measured, with its unit.
"""

from ribnb.figures.ablations import differences, heat_map, setting_curves
from ribnb.figures.animation import gradient_player, map_player, player
from ribnb.figures.pictures import (
    digit_scenes,
    gradient_map_rows,
    images_with_masks,
    map_grid,
    mask_grid,
    panels,
    pooling_by_hand,
)
from ribnb.figures.plots import (
    class_statistics,
    curves,
    grouped_bars,
    hgr_curves,
    iou_by_class,
    loss_and_gradient,
    scores_of_methods,
    threshold_sweep,
    training_curves,
)
