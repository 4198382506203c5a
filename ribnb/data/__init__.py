"""Data: digit scenes, drawn scenes, and anything in the layout of PASCAL VOC 2012."""

from ribnb.core.voc import read_mask
from ribnb.data.digits import DigitScenes
from ribnb.data.labels import write_labels
from ribnb.data.scenes.images import SceneImages, write_scenes
from ribnb.data.voc import VOCImages, read_split
