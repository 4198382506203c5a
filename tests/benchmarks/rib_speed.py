"""How long an adaptation takes, as ratios to references that run in turn with it.

The references: the same adaptation written out plainly (`tests/method/plain_adaptation.py`, which
spares nothing), and bare forward and backward passes of the same views and batches through the
whole net. No test collects this, and nothing asserts a time. Time it on a machine that does
nothing else; the ratios, not the seconds, are what can be compared.

    python tests/benchmarks/rib_speed.py                            the net of scenes, 1 minute
    python tests/benchmarks/rib_speed.py --arch resnet50 --side 320 --classes 20 --batch 4
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "method"), str(TESTS.parent)]

from plain_adaptation import plain_adaptation, small_net, some_batches, some_views  # noqa: E402

from ribnb.core.devices import device_name, resolve_device  # noqa: E402
from ribnb.method import RIBSettings, adapt  # noqa: E402
from ribnb.nets.backbones import BACKBONES  # noqa: E402


def engines(arguments: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """What is timed: each runs all steps for one image."""
    device = resolve_device(arguments.device)
    settings = getattr(RIBSettings, arguments.variant)(
        iterations=arguments.iterations,
        batch_size=arguments.batch,
        flood_share=None,  # all steps run
        margin=1e9,
    )
    net = small_net(arguments.classes, arch=arguments.arch).to(device)
    side = arguments.side
    views = [view.to(device) for view in some_views(settings, side, side)]
    others = {"size": settings.num_others, "num_classes": arguments.classes, "side": side}
    given = some_batches(settings.iterations, **others)
    batches = [(images.to(device), labels.to(device)) for images, labels in given]
    labels = torch.zeros(arguments.classes, dtype=torch.long, device=device)
    labels[: min(2, arguments.classes)] = 1

    def passes() -> None:
        for images, _ in batches:
            for view in (*views, images):
                net.logits(view).sum().backward()
            net.zero_grad()

    return {
        "adapt": lambda: adapt(net, views, labels, batches, settings),
        "plain loop": lambda: plain_adaptation(net, views, labels, batches, settings),
        "bare passes": passes,
    }


def seconds(run: Callable[[], object]) -> float:
    """Of one run, until a GPU is done too."""
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Print each one's seconds, and how many times as long it takes as ours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="scenes", help="a ResNet, scenes, timm/NAME")
    parser.add_argument("--variant", default="released", choices=("paper", "released"))
    parser.add_argument("--side", type=int, default=96, help="of all images, pixels")
    parser.add_argument("--classes", type=int, default=6, help="of the net")
    parser.add_argument("--batch", type=int, default=4, help="B, at least 2")
    parser.add_argument("--iterations", type=int, default=5, help="K")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each, in turn")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, mps")
    arguments = parser.parse_args()
    runs = engines(arguments)
    for run in runs.values():
        run()  # to warm up
    rounds = [{name: seconds(run) for name, run in runs.items()} for _ in range(arguments.repeats)]
    print(f"{arguments.arch} on {device_name(resolve_device(arguments.device))}")
    print(f"{'':12} {'seconds':>9} {'over adapt':>11}  from     to")
    for name in runs:
        ratios = [taken[name] / taken["adapt"] for taken in rounds]
        median = statistics.median(taken[name] for taken in rounds)
        print(
            f"{name:12} {median:9.3f} {statistics.median(ratios):11.2f}  "
            f"{min(ratios):.2f}  {max(ratios):.2f}"
        )


if __name__ == "__main__":
    main()
