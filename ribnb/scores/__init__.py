"""Scores in %: maps and masks against their truth, what is kept of each image."""

from ribnb.scores.confusion import image_confusions
from ribnb.scores.folders import score_folder, score_masks, score_split
from ribnb.scores.image_scores import load_image_scores
from ribnb.scores.iou import (
    ORACLE,
    by_part,
    class_iou,
    cross_fitted,
    mask_miou,
    mean_iou,
    seed_miou,
)
