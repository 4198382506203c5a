"""DeepLab-v2 trained on masks, and its masks (Chen et al. 2018, TPAMI)."""

from ribnb.segmentation.prediction import predict, segmentation_masks
from ribnb.segmentation.training import SegmentationSettings, train_segmentation
