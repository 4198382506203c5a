"""From maps to masks: a stage is a function of an image and its maps; see ``stages``."""

from ribnb.masks.crf import crf_masks, seed_masks
from ribnb.masks.irn import irn_masks
from ribnb.masks.walk import random_walk
