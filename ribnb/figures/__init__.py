"""Every figure of the book: a function that returns a Figure in one style, and the player."""

from ribnb.figures.ablations import (
    cost_and_quality,
    differences,
    heat_map,
    setting_curves,
)
from ribnb.figures.animation import player
from ribnb.figures.comparisons import (
    changes_by_image,
    class_statistics,
    grouped_bars,
    iou_by_class,
    scores_of_methods,
)
from ribnb.figures.digits import (
    digit_scenes,
    gradient_map_rows,
    gradient_player,
    hgr_by_layer,
    hgr_by_step,
    hgr_by_threshold,
)
from ribnb.figures.lines import curves, loss_and_gradient, threshold_sweep, training_curves
from ribnb.figures.pictures import (
    images_with_masks,
    map_grid,
    map_player,
    mask_grid,
    panels,
    pooling_by_hand,
)

__all__ = [
    "changes_by_image",
    "class_statistics",
    "cost_and_quality",
    "curves",
    "differences",
    "digit_scenes",
    "gradient_map_rows",
    "gradient_player",
    "grouped_bars",
    "heat_map",
    "hgr_by_layer",
    "hgr_by_step",
    "hgr_by_threshold",
    "images_with_masks",
    "iou_by_class",
    "loss_and_gradient",
    "map_grid",
    "map_player",
    "mask_grid",
    "panels",
    "player",
    "pooling_by_hand",
    "scores_of_methods",
    "setting_curves",
    "threshold_sweep",
    "training_curves",
]
