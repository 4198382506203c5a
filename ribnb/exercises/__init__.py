"""Self-checks: hand in a function, read what is wrong with it in words."""

from ribnb.exercises.maps import (
    check_cam,
    check_crf_kernels,
    check_gndrp,
    check_localization_map,
    check_random_walk_step,
    check_released_gndrp,
)
from ribnb.exercises.nets import (
    check_high_gradient_ratio,
    check_logit_gradient,
    check_mask_loss,
    check_rib_loss,
    check_rib_step,
)
