"""Settings of the chapter ``cam_and_gndrp``."""

from __future__ import annotations

from ribnb.core.settings import setting
from ribnb.nets.scene_nets import SceneSettings


class SceneCAMSettings(SceneSettings):
    """Parameters of the chapter ``cam_and_gndrp``."""

    threshold: float = setting(0.4, "tau of GNDRP", ge=0, le=1)
