"""A trained classifier: kept in a file, read back, scored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch.utils.data import DataLoader

from ribnb.core.devices import as_device, autocast, evaluation, float32_mode, worker_init
from ribnb.core.files import whole_file
from ribnb.core.image_set import ImageSet
from ribnb.core.progress import progress
from ribnb.core.settings import differences
from ribnb.data.views import Views, to_tensor
from ribnb.nets.models import CAMNet

FORMAT = 1
NEEDED = {"format", "arch", "num_classes", "output_stride", "class_names"}


def save_classifier(
    model: CAMNet,
    path: str | Path,
    metadata: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the weights as safetensors, with what is needed to build the net around them.

    Under its final name the file is whole: it is written beside it and renamed.

    Args:
        model: the net.
        path: the file; its folder is made.
        metadata: ``class_names`` and whatever else tells how the net was made, ready for JSON.
        dtype: of the stored weights; ``torch.float16`` halves the file and rounds them.

    Raises:
        ValueError: class names missing, or not as many as the net has classes.
    """
    names = list(metadata.get("class_names", ()))
    if len(names) != model.num_classes:
        raise ValueError(
            f"metadata['class_names'] must name the {model.num_classes} classes; got {names}"
        )
    header = {
        "format": FORMAT,
        "arch": model.arch,
        "num_classes": model.num_classes,
        "output_stride": model.output_stride,
        **metadata,
    }
    weights = {
        name: (value.to(dtype) if value.is_floating_point() else value).cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {key: json.dumps(value, allow_nan=False) for key, value in header.items()}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(weights, text))  # save_file makes it unreadable to others


def classifier_metadata(path: str | Path) -> dict[str, Any]:
    """What ``save_classifier`` wrote beside the weights; the weights are not read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not whole, or not from ``save_classifier``.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no classifier at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {key: json.loads(text) for key, text in (file.metadata() or {}).items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is not a whole classifier ({error}). Move it away, and fetch or train it anew"
        ) from error
    if metadata.get("format") != FORMAT or not metadata.keys() >= NEEDED:
        raise ValueError(
            f"{path} is no classifier of format {FORMAT}, as save_classifier writes it; plain "
            "weights are read by CAMNet(..., weights=path)"
        )
    return metadata


def load_classifier(
    path: str | Path, arch: str | None = None, num_classes: int | None = None
) -> CAMNet:
    """The net that ``save_classifier`` wrote: on the CPU, in float32, in eval mode.

    Args:
        path: the file.
        arch: the architecture that it must have, if that matters.
        num_classes: the number of classes that it must have, if that matters.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not whole, not a classifier, or not of the kind asked for.
    """
    metadata = classifier_metadata(path)
    wanted = {"arch": arch, "num_classes": num_classes}
    other = {key: value for key, value in wanted.items() if value not in (None, metadata[key])}
    if other:
        raise ValueError(
            f"{path} is another classifier: {differences(metadata, other)}. "
            "Ask for the one that is there, or name another file"
        )
    kind = (metadata["arch"], metadata["num_classes"])
    stride = {} if kind[0] == "scenes" else {"output_stride": metadata["output_stride"]}
    with torch.random.fork_rng(devices=[]):  # the initial weights that the file's replace
        return CAMNet(*kind, **stride, weights=path).eval()


@torch.no_grad()
def mean_average_precision(
    model: CAMNet,
    images: ImageSet,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    workers: int = 0,
    precision: str = "float32",
) -> float:
    """mAP in [0, 1]: average precision, averaged over the classes that occur in the images.

    The images are seen whole, at their own size; those of a batch go through the net together
    if they have one size, else one by one. The net's mode is left as it was.

    Args:
        model: a classifier; it is moved to ``device``.
        images: an image set.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ..., or a device.
        batch_size: images at a time.
        workers: processes that read images ahead; 0 reads them in this one.
        precision: ``"float32"``, ``"tf32"`` or ``"bfloat16"``.

    Raises:
        ValueError: the labels are of another number of classes than the net's, or all 0.
    """
    from torchmetrics.functional.classification import binary_average_precision  # takes seconds

    check_labels(model, images)
    device = as_device(device)
    loader = DataLoader(
        Views(images, to_tensor),
        batch_size,
        sampler=[(0, index) for index in range(len(images))],
        num_workers=workers,
        collate_fn=list,
        worker_init_fn=worker_init(),
        generator=torch.Generator(),  # else it draws from the global one
    )
    scores = []
    model.to(device)
    with evaluation(model), float32_mode(precision), autocast(precision, device):
        for items in progress(loader, "validation"):
            views = [view for view, _ in items]
            alike = len({view.shape for view in views}) == 1
            groups = [torch.stack(views)] if alike else [view[None] for view in views]
            scores += [model(group.to(device)).cpu() for group in groups]
    # torchmetrics takes the sigmoid, which in float32 cannot tell logits above 17 apart
    logits, labels = torch.cat(scores).double(), images.labels.long()
    precisions = [
        binary_average_precision(logits[:, c], labels[:, c])
        for c in range(labels.shape[1])
        if labels[:, c].any()
    ]
    if not precisions:
        raise ValueError("no image has a label, so that no class has an average precision")
    return torch.stack(precisions).mean().item()


def check_labels(model: CAMNet, images: ImageSet) -> None:
    """Raise ValueError unless there are images, with a label for each class of the net."""
    if not len(images):
        raise ValueError("the image set is empty")
    wanted = (len(images), model.num_classes)
    if tuple(images.labels.shape) != wanted or len(images.class_names) != model.num_classes:
        raise ValueError(
            f"the net has {model.num_classes} classes, the {len(images)} images have "
            f"{len(images.class_names)} class names and labels of the shape "
            f"{tuple(images.labels.shape)}; it must be {wanted}"
        )
