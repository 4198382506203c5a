"""The classes of the scenes: what each one's head is, and what its body tends to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ribnb.data.scenes import heads, markers
from ribnb.data.scenes.bodies import Creature, Vehicle
from ribnb.data.scenes.colours import Tones
from ribnb.data.scenes.sketch import Sketch


@dataclass(frozen=True)
class SceneClass:
    """One class: its head or marker is always its own, the rest only usually.

    Attributes:
        name: in the manner of VOC's, without spaces.
        head: draws the part that names the class.
        colour: hue, saturation and value of the body, each in [0, 1].
        texture: see ``ribnb.data.scenes.colours.pattern``.
        build: the body's proportions.
        skin: hue, saturation and value of the head; markers have no use for it. Unlike
            ``colour``, or a net that looks for the head would find the body as well.
    """

    name: str
    head: Callable[[Sketch, Tones], None]
    colour: tuple[float, float, float]
    texture: str
    build: Creature | Vehicle
    skin: tuple[float, float, float] = (0.0, 0.0, 1.0)


# fmt: off
SCENE_CLASSES = (
    SceneClass("cat", heads.cat, (0.44, 0.58, 0.78), "bands",
        Creature(1.0, 0.5, 4, 0.42, 0.14, "thin"), skin=(0.066, 0.88, 1.0)),
    SceneClass("rabbit", heads.rabbit, (0.77, 0.42, 0.9), "spots",
        Creature(0.88, 0.68, 4, 0.24, 0.18, "puff"), skin=(0.9, 0.04, 0.97)),
    SceneClass("taxi", markers.taxi, (0.145, 0.85, 0.97), "checks",
        Vehicle(1.24, 0.35, (-0.84, 0.64), 0.45, (0.26, 0.34), 2, 0.27, 0.2)),
    SceneClass("ambulance", markers.ambulance, (0.52, 0.6, 0.86), "lines",
        Vehicle(1.08, 0.46, (-1.05, 0.92), 0.42, (0.04, 0.26), 3, 0.26, 0.1)),
    SceneClass("bull", heads.bull, (0.0, 0.7, 0.8), "patches",
        Creature(1.08, 0.6, 4, 0.4, 0.17, "tuft"), skin=(0.65, 0.12, 0.26)),
    SceneClass("bird", heads.bird, (0.59, 0.68, 0.93), "chevrons",
        Creature(0.98, 0.62, 2, 0.46, 0.08, "fan", wing=True), skin=(0.36, 0.72, 0.72)),
    SceneClass("elephant", heads.elephant, (0.09, 0.6, 0.8), "plain",
        Creature(1.02, 0.72, 4, 0.36, 0.22, "tuft"), skin=(0.58, 0.16, 0.75)),
    SceneClass("policecar", markers.policecar, (0.66, 0.75, 0.62), "hoops",
        Vehicle(1.3, 0.33, (-0.6, 0.6), 0.48, (0.3, 0.42), 2, 0.3, 0.24)),
    SceneClass("pig", heads.pig, (0.3, 0.5, 0.75), "rings",
        Creature(1.0, 0.68, 4, 0.22, 0.15, "curl"), skin=(0.96, 0.34, 1.0)),
    SceneClass("fireengine", markers.fireengine, (0.985, 0.88, 0.92), "grid",
        Vehicle(1.26, 0.42, (0.26, 1.18), 0.44, (0.06, 0.16), 1, 0.25, 0.06)),
    SceneClass("lion", heads.lion, (0.97, 0.65, 0.6), "lines",
        Creature(1.04, 0.54, 4, 0.42, 0.15, "tuft"), skin=(0.115, 0.58, 0.95)),
    SceneClass("icecreamvan", markers.icecreamvan, (0.42, 0.32, 0.95), "bands",
        Vehicle(1.02, 0.45, (-0.95, 0.83), 0.52, (0.06, 0.12), 2, 0.22, 0.16)),
    SceneClass("frog", heads.frog, (0.14, 0.45, 0.95), "patches",
        Creature(0.92, 0.66, 4, 0.18, 0.2, "none"), skin=(0.3, 0.68, 0.76)),
    SceneClass("bug", heads.bug, (0.9, 0.7, 0.88), "spots",
        Creature(0.98, 0.7, 6, 0.28, 0.08, "stub"), skin=(0.7, 0.1, 0.25)),
    SceneClass("flowervan", markers.flowervan, (0.23, 0.72, 0.9), "rings",
        Vehicle(1.08, 0.43, (-0.99, 0.87), 0.47, (0.14, 0.3), 4, 0.25, 0.3)),
    SceneClass("mouse", heads.mouse, (0.53, 0.5, 0.72), "plain",
        Creature(0.94, 0.62, 4, 0.18, 0.11, "thin"), skin=(0.08, 0.08, 0.68)),
    SceneClass("unicorn", heads.unicorn, (0.68, 0.45, 0.85), "chevrons",
        Creature(1.0, 0.52, 4, 0.56, 0.13, "plume"), skin=(0.7, 0.04, 1.0)),
    SceneClass("pizzavan", markers.pizzavan, (0.2, 0.58, 0.62), "checks",
        Vehicle(1.2, 0.38, (-0.9, 0.72), 0.54, (0.4, 0.4), 2, 0.28, 0.34)),
    SceneClass("deer", heads.deer, (0.37, 0.6, 0.55), "hoops",
        Creature(0.98, 0.5, 4, 0.6, 0.1, "puff"), skin=(0.065, 0.58, 0.6)),
    SceneClass("piratevan", markers.piratevan, (0.75, 0.58, 0.48), "grid",
        Vehicle(1.22, 0.36, (-0.1, 0.94), 0.48, (0.08, 0.34), 2, 0.3, 0.1)),
)
# fmt: on
