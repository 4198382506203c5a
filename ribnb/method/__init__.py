"""The paper's method: losses, pooling, maps, the bottleneck, and the adaptation to each image."""

from ribnb.method.adaptation import adapt
from ribnb.method.bottleneck import gradient_maps, high_gradient_ratio, region_ratios
from ribnb.method.cam import class_activation_maps
from ribnb.method.inputs import AdaptationInputs
from ribnb.method.localization import localization_maps, read_steps
from ribnb.method.losses import rib_loss
from ribnb.method.pooling import gap, gndrp, normalize
from ribnb.method.settings import RIBSettings
