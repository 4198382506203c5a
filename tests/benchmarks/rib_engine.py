"""Time an image costs: `adapt` against the authors' loop written out plainly, in one run.

Both get the same random weights, views and batches, and must give the same maps; the stops are
switched off, so that all K steps run (with them `adapt` saves more). Decoding is not in it. On a
busy machine look at the processor time, which does not count what other processes take.

    python tests/benchmarks/rib_engine.py
    python tests/benchmarks/rib_engine.py --arch resnet50 --size 375x500 --batch-size 20 \
        --crop 512 --iterations 10 --device cuda
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ribnb.adaptation import adapt
from ribnb.devices import device_name, full_float32, resolve_device
from ribnb.models import CAMNet
from ribnb.provenance import git_commit, now, versions
from ribnb.rib_settings import RIBSettings

TOLERANCE = 1e-3  # of a map in [0, 1]
CLASSES = 20
PRESENT = (3, 11)


def plain_adaptation(model, views, labels, batches, settings, theta_0):
    """The maps (n, H, W) by the authors' loop, as it is described: nothing is spared.

    Every scale of every step runs through the whole net with a graph, the 0.5 that is not in the
    loss too; so do the others, also at the last step, whose update no map looks at. Classes are
    pooled one after the other. At the start all weights are set to a copy of theta_0.
    """
    model.load_state_dict(copy.deepcopy(theta_0))
    backbone = [*model.backbone.layer3.parameters(), *model.backbone.layer4.parameters()]
    groups = [{"params": backbone}, {"params": model.class_layer.parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum)
    present = [c for c, label in enumerate(labels.tolist()) if label]
    total = 0
    for k in range(settings.iterations):
        sums, rows = [], []
        for scale, view in zip(settings.scales, views, strict=True):
            maps = model.class_maps(view)
            cams = maps[:, present].relu().detach()
            sums.append(cams[0] + cams[1].flip(-1))
            if scale in settings.loss_scales:
                rows.append(plain_pooling(maps, settings.threshold))
        total = total + resized(sums, views[0].shape[-2:], model.output_stride)
        images, others = batches[k]
        logits = torch.cat([*rows, plain_pooling(model.class_maps(images), settings.threshold)])
        targets = torch.cat([labels.expand(sum(map(len, rows)), -1), others])
        loss = -(targets * logits).sum()
        optimizer.zero_grad()
        loss.backward()
        loss.item()
        rate = settings.learning_rate * (1 - k / settings.iterations) ** settings.power
        optimizer.param_groups[0]["lr"] = rate
        optimizer.param_groups[1]["lr"] = rate * settings.class_layer_factor
        optimizer.step()
    return (total / (total.amax(dim=(1, 2), keepdim=True) + 1e-5)).cpu()


def plain_pooling(maps: Tensor, threshold: float) -> Tensor:
    """(b, C) logits, a class at a time, the images of the batch together."""
    logits = []
    for c in range(maps.shape[1]):
        one = maps[:, c]
        low = one.detach() / one.detach().amax(dim=(1, 2), keepdim=True) < threshold
        logits.append((one * low).mean(dim=(1, 2)))
    return torch.stack(logits, dim=1)


def resized(sums: Sequence[Tensor], size: Sequence[int], stride: int) -> Tensor:
    """(n, H, W) the sum over the scales: resized to whole multiples of the stride, cropped."""
    padded = [-(-side // stride) * stride for side in size]
    maps = [F.interpolate(one[None], padded, mode="bilinear")[0] for one in sums]
    return sum(maps)[:, : size[0], : size[1]]


def inputs(arguments: argparse.Namespace, settings: RIBSettings, device: torch.device):
    """Random weights, views, labels and batches, all on the device."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CAMNet(arguments.arch, CLASSES).eval().to(device)
    image = noise(1, 3, *arguments.size)
    views = []
    for scale in settings.scales:
        size = [round(side * scale) for side in arguments.size]
        view = F.interpolate(image, size, mode="bicubic")
        views.append(torch.cat([view, view.flip(-1)]))
    labels = torch.zeros(CLASSES, device=device)
    labels[list(PRESENT)] = 1
    absent = torch.tensor([c for c in range(CLASSES) if c not in PRESENT])
    batches = []
    for _ in range(settings.iterations):
        drawn = torch.randint(len(absent), (arguments.batch_size,), generator=generator)
        others = F.one_hot(absent[drawn], CLASSES).float().to(device)
        batches.append((noise(arguments.batch_size, 3, arguments.crop, arguments.crop), others))
    return model, views, labels, batches


def measured(
    run: Callable[[], Tensor], device: torch.device
) -> tuple[float, float, float | None, Tensor]:
    """Wall and processor time in seconds, on CUDA the peak memory in GiB, and the maps."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    wall, processor = time.perf_counter(), time.process_time()
    maps = run()  # on the CPU: all is computed
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if cuda else None
    return wall, processor, peak, maps


def compare(arguments: argparse.Namespace) -> dict:
    """Time both in turn; the result, ready for JSON."""
    device = resolve_device(arguments.device)
    settings = RIBSettings.released(
        iterations=arguments.iterations,
        batch_size=arguments.batch_size,
        crop_size=arguments.crop,
        learning_rate=arguments.learning_rate,
        flood_share=None,
        margin=1e9,
    )
    given = inputs(arguments, settings, device)
    plain_model, theta_0 = copy.deepcopy(given[0]), copy.deepcopy(given[0].state_dict())
    runs = {
        "adapt": lambda: adapt(*given, settings).high_res,
        "plain": lambda: plain_adaptation(plain_model, *given[1:], settings, theta_0),
    }
    walls, processors = ({name: [] for name in runs} for _ in range(2))
    memory, maps = {}, {}
    with full_float32():
        for repeat in range(-1, arguments.repeats):  # the first is for warming up
            for name, run in runs.items():
                wall, processor, memory[name], maps[name] = measured(run, device)
                if repeat >= 0:
                    walls[name].append(round(wall, 4))
                    processors[name].append(round(processor, 4))
    cams = adapt(*given, RIBSettings.released(iterations=0, flood_share=None)).high_res
    return {
        "seconds": walls,
        "processor_seconds": processors,
        "ratio": ratio(walls),
        "processor_ratio": ratio(processors),
        "peak_memory_GiB": memory,
        "largest_difference": (maps["adapt"] - maps["plain"]).abs().max().item(),
        "change_by_the_steps": (maps["adapt"] - cams).abs().max().item(),
        "arguments": {**vars(arguments), "size": list(arguments.size), "output": None},
        "device": device_name(device),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "git_commit": git_commit(),
        "versions": versions(),
        "date": now(),
    }


def ratio(seconds: dict[str, list[float]]) -> float:
    return round(statistics.median(seconds["plain"]) / statistics.median(seconds["adapt"]), 3)


def size(text: str) -> tuple[int, int]:
    """``"375x500"`` as (375, 500)."""
    height, width = text.lower().split("x")
    return int(height), int(width)


def main(words: Sequence[str] | None = None) -> int:
    """Print the comparison; returns 1 if the maps differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--size", type=size, default=(96, 96), metavar="HxW", help="of the image")
    parser.add_argument("--batch-size", type=int, default=4, help="other images in each step")
    parser.add_argument("--crop", type=int, default=96, help="side of the other images, pixels")
    parser.add_argument("--iterations", type=int, default=3, help="K")
    parser.add_argument("--learning-rate", type=float, default=8e-6)
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, mps")
    parser.add_argument("--threads", type=int, help="of the CPU; default: as many as torch takes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a JSON file for the result")
    arguments = parser.parse_args(words)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    result = compare(arguments)
    print(f"{result['device']}, load {result['load_average'][0]}")
    for name, seconds in result["seconds"].items():
        memory = result["peak_memory_GiB"][name]
        peak = f", peak {memory:.2f} GiB" if memory is not None else ""
        median = statistics.median(seconds)
        print(f"{name}: {median:.3f} s an image, median of {seconds}{peak}")
    print(
        f"plain / adapt: {result['ratio']:.2f}; in processor time {result['processor_ratio']:.2f}"
    )
    print(
        f"the maps differ by up to {result['largest_difference']:.1e}; the steps change them by "
        f"up to {result['change_by_the_steps']:.1e}"
    )
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not result["largest_difference"] < TOLERANCE:
        print("the maps are not the same", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
