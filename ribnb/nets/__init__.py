"""Networks of the book, their weights in and out, and one way to train them all."""

from ribnb.nets.backbones import Backbone
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import load_classifier, mean_average_precision, train_classifier
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.digit_net import DigitNet, train_digit_net
from ribnb.nets.fitting import Training, fit, shuffled
from ribnb.nets.weights import StoredNet, checkpoint_metadata
