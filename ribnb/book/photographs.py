"""The chapter ``photographs``: its settings, and photographs as an image set."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from PIL import Image

from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.data.photos import LONG_SIDE, SAMPLES, read_photo, sample_photo
from ribnb.data.views import to_tensor
from ribnb.method.adaptation import Adaptation
from ribnb.method.pooling import Variant
from ribnb.method.settings import RIBSettings
from ribnb.nets.backbones import Architecture
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.published import IN_PACKAGE


@cache
def imagenet_classes() -> tuple[str, ...]:
    """ImageNet's 1,000 names, in the order of every such net's logits."""
    from torchvision.models import ResNet50_Weights  # slow to load

    return tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


class PhotographsSettings(Settings):
    """Parameters of the chapter ``photographs``; ``rib`` starts from its preset of the variant."""

    photo: str = setting("", "a picture file of yours; none: three of scikit-image's")
    shows: str = setting("", "an ImageNet class to look for; none: what the net says first")
    long_side: int = setting(LONG_SIDE, "of a photograph, pixels", ge=64, le=2048)
    arch: Architecture = setting(IN_PACKAGE, "a net that has ImageNet's weights")
    variant: Variant = setting("paper", "the paper's formulas, or what its code does")
    rib: RIBSettings = setting({}, "how each photograph is adapted to")
    too_large: float = setting(3.0, "a step that is too large, in units of lambda", gt=1)
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", identity=False)
    output_dir: str = setting("", "folder for result.json; empty: none", identity=False)

    @classmethod
    def preset(cls, group: str, given: Mapping[str, Any]) -> RIBSettings:
        """Of ``rib`` by variant."""
        # a rate for ImageNet's own classifier, whose step is not that of one for other classes
        return RIBSettings.photographs(given.get("variant", "paper"), learning_rate=1e-4)

    def class_asked_for(self) -> int | None:
        """Index of ``shows`` in ImageNet's classes; None if nothing is asked for."""
        if not self.shows:
            return None
        classes = imagenet_classes()
        if self.shows not in classes:
            word = re.compile(rf"\b{re.escape(self.shows)}\b", re.IGNORECASE)
            near = [name for name in classes if word.search(name)][:5]
            near = near or difflib.get_close_matches(self.shows, classes, n=3, cutoff=0.4)
            hint = f"; near: {', '.join(near)}" if near else ""
            raise SettingsError(f"shows = {self.shows!r} is none of ImageNet's 1,000 classes{hint}")
        return classes.index(self.shows)

    def photographs(self) -> dict[str, Image.Image]:
        """Name -> RGB image; errors are those of ``read_photo``."""
        if self.photo:
            return {"your photo": read_photo(self.photo, self.long_side)}
        return {name: sample_photo(name, self.long_side) for name in SAMPLES}


class Photographs:
    """Photographs, each labelled with one class of ImageNet, as an image set.

    Attributes:
        shares: (N, 1000) what the net says: its softmax.
        classes: of each photograph the class that is looked for.

    Raises:
        ValueError: the net sees nothing of the class that is asked for in a photograph.
    """

    def __init__(
        self, images: Mapping[str, Image.Image], model: CAMNet, asked_for: int | None = None
    ) -> None:
        self.ids, self._images = list(images), list(images.values())
        self.class_names = imagenet_classes()
        device, logits, seen = model.class_layer.weight.device, [], []
        with torch.no_grad():
            for image in self._images:
                maps = model.class_maps(to_tensor(image, model.normalization)[None].to(device))
                logits.append(model.with_bias(maps.mean((2, 3)))[0].cpu())
                seen.append(maps.amax((2, 3))[0].cpu() > 0)
        self.shares = torch.stack(logits).softmax(1)
        said = self.shares.argmax(1).tolist()
        self.classes = [one if asked_for is None else asked_for for one in said]
        self.labels = torch.nn.functional.one_hot(torch.tensor(self.classes), len(self.class_names))
        for name, index, any_of in zip(self.ids, self.classes, seen, strict=True):
            if not any_of[index]:
                raise ValueError(
                    f"the net sees nothing of {self.class_names[index]!r} in {name}: its map is 0 "
                    "everywhere. Ask for what it says: leave shows empty"
                )

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Image.Image:
        """RGB."""
        return self._images[index]

    def said(self, index: int, count: int = 3) -> str:
        """In words, what the net says it sees, and what is looked for: its softmax in percent."""
        classes = dict.fromkeys(
            [*self.shares[index].topk(count).indices.tolist(), self.classes[index]]
        )
        words = []
        for c in classes:
            share = 100 * float(self.shares[index, c])
            hardly = ", so it hardly sees it" if c == self.classes[index] and share < 1 else ""
            words.append(f"{self.class_names[c]} {share:.{0 if share >= 1 else 3}f} %{hardly}")
        return ", ".join(words)


def coverage(maps: Sequence[Any]) -> list[float]:
    """Of each map in [0, 1] the share of its pixels above 0.3."""
    return [float((torch.as_tensor(one) > 0.3).float().mean()) for one in maps]


def coverage_by_step(walk: Adaptation) -> list[float]:
    """The same of the CAM at each step, at its own resolution, divided by its maximum."""
    cams = [step.cams[0][0] for step in walk.steps]
    return coverage([cam / cam.max().clamp_min(1e-12) for cam in cams])
