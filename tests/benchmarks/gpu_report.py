"""What the stages cost on this machine, for the page `running`: seconds, memory, equal numbers.

One command, offline, under 8 minutes on a GPU. It needs what the package needs: beside torch,
torchvision, timm, safetensors and click, the wheels that `pip download` fetches for it. Each part
runs in a process of its own for each precision, so that its peak of memory is its own and one
that fails leaves the others; what was found is written after each. On a CPU steps and batches are
fewer, and are counted.

    python tests/benchmarks/gpu_report.py --animals data/voc_animals
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "method")]

from plain_adaptation import plain_adaptation, small_net, some_batches, some_views  # noqa: E402

from ribnb.book.costs import count, rib_flops  # noqa: E402
from ribnb.core.devices import (  # noqa: E402
    PRECISIONS,
    autocast,
    device_name,
    float32_mode,
    resolve_device,
)
from ribnb.core.files import provenance, write_json  # noqa: E402
from ribnb.data.views import spread_out  # noqa: E402
from ribnb.data.voc import VOCImages  # noqa: E402
from ribnb.masks import random_walk  # noqa: E402
from ribnb.masks.crf import crf_mask  # noqa: E402
from ribnb.masks.irn import IRNSettings  # noqa: E402
from ribnb.masks.irn_net import IRN  # noqa: E402
from ribnb.method import RIBSettings, adapt, localization_maps  # noqa: E402
from ribnb.method.cam import MapSum  # noqa: E402
from ribnb.nets.backbones import frozen_pass  # noqa: E402
from ribnb.nets.cam_net import CAMNet  # noqa: E402
from ribnb.nets.classifier import load_classifier  # noqa: E402
from ribnb.nets.deeplab import DeepLabV2  # noqa: E402
from ribnb.scores import score_split  # noqa: E402

VOC_SIZE = 375, 500  # pixels
ONE = torch.eye(20, dtype=torch.long)[3]  # labels of an image of one class
PARTS: dict[str, Callable[..., dict[str, Any]]] = {}


def part(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """One of the report, by its name."""
    PARTS[function.__name__] = function
    return function


class Machine:
    """A device in one precision, and what was given on the command line."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.precision = given, given.precision
        self.device = resolve_device(given.device)
        self.gpu = self.device.type == "cuda"

    def seconds(self, call: Callable[[], Any], repeats: int = 2) -> float:
        """Of the quickest; on a GPU after a first call, which loads what it needs."""
        taken = []
        for _ in range(self.gpu + repeats):
            start = time.perf_counter()
            call()
            if self.gpu:
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - start)
        return min(taken[self.gpu :])

    def peak(self) -> float:
        """Most of the device's memory that this process has had, GB."""
        if self.gpu:
            return torch.cuda.max_memory_allocated() / 1e9
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9

    def images(self, size: int, height: int, width: int) -> torch.Tensor:
        """Noise."""
        made = torch.randn(size, 3, height, width, device=self.device)
        return made.contiguous(memory_format=torch.channels_last)

    def net(self, net: torch.nn.Module) -> torch.nn.Module:
        """Here, with the layout that convolutions like."""
        return net.to(self.device, memory_format=torch.channels_last)

    def step(self, net: torch.nn.Module, images: torch.Tensor) -> dict[str, Any]:
        """Forward and backward through a whole net."""

        def call() -> None:
            with autocast(self.precision, self.device):
                made = net(images)
            made.float().mean().backward()

        taken = self.seconds(call)
        return {"images": len(images), "seconds": taken, "tflop": count(call) / 1e12}


@part
def products(on: Machine) -> dict[str, Any]:
    """TFLOP/s of one large matrix product: what all others are held to."""
    side = 8192 if on.gpu else 2048
    first, second = torch.randn(2, side, side, device=on.device)
    with autocast(on.precision, on.device):
        return {"tflop_per_second": 2 * side**3 / on.seconds(lambda: first @ second) / 1e12}


@part
def rib(on: Machine) -> dict[str, Any]:
    """An image of VOC's size on a ResNet-50, `paper`: its parts, and against the plain loop."""
    steps = 10 if on.gpu else 1
    settings = RIBSettings.paper(iterations=steps, precision=on.precision, margin=1e9)
    net = small_net(20, arch="resnet50").to(on.device)  # as it is made, for both
    views = [view.to(on.device) for view in some_views(settings, *VOC_SIZE)]
    given = some_batches(settings.iterations, settings.num_others, 20, settings.crop_size)
    batches = [(images.to(on.device), labels.to(on.device)) for images, labels in given]
    maps, taken = {}, {"seconds": [], "plain_seconds": []}

    def ours() -> None:
        maps["seconds"] = adapt(net, views, ONE, batches, settings).high_res

    def plain() -> None:
        with autocast(on.precision, on.device):
            made, *_ = plain_adaptation(net, views, ONE.to(on.device), batches, settings)
        maps["plain_seconds"] = made.cpu()

    taken["seconds"].append(on.seconds(ours, 1))
    flops = rib_flops(net, VOC_SIZE, settings)
    tflop = sum(flops.values()) / 1e12
    found = {"steps": settings.iterations, "peak_gb": on.peak(), "tflop": tflop}
    found["parts"] = rib_parts(on, copy.deepcopy(net), views, batches[0][0], settings, flops)
    try:
        for _ in range(2):  # in turn
            taken["plain_seconds"].append(on.seconds(plain, 1))
            taken["seconds"].append(on.seconds(ours, 1))
        found["differs_by"] = float((maps["seconds"] - maps["plain_seconds"]).abs().max())
    except torch.OutOfMemoryError:
        pass
    return found | {name: min(each, default=None) for name, each in taken.items()}


def rib_parts(on, net, views, batch, settings, flops) -> dict[str, dict[str, float]]:
    """Seconds of each part, run by itself as often as an image needs it, and its TFLOP."""
    frozen, moving = on.net(net).split(settings.moving_stages)
    features = frozen_pass(frozen.eval(), on.device, settings.precision)
    looks, updates = settings.iterations + settings.last_map, settings.num_updates
    targets = [features(view) for view in views]
    others = [features(batch)] if settings.num_others else []
    scales = zip(targets, settings.scales, strict=True)
    learning = [*(maps for maps, scale in scales if scale in settings.loss_scales), *others]

    def forward(several: list[torch.Tensor]) -> list[torch.Tensor]:
        with autocast(settings.precision, on.device):
            return [net.class_layer(moving(maps)).float() for maps in several]

    def sums() -> None:
        total = MapSum(views[0].shape[2:], settings)
        for _ in range(looks):
            total.add(cams)
        total.finish()

    with torch.no_grad():
        cams = [maps[0, :1].relu() for maps in forward(targets)]
        once = on.seconds(lambda: forward(learning), 1)
        found = {
            "frozen_target": on.seconds(lambda: [features(view) for view in views], 1),
            "moving_target": looks * on.seconds(lambda: forward(targets), 1),
            "maps": on.seconds(sums),
        }
        if others:
            found["frozen_batch"] = updates * on.seconds(lambda: features(batch), 1)
            found["moving_batch"] = updates * on.seconds(lambda: forward(others), 1)
    both = on.seconds(lambda: [forward([m])[0].mean().backward() for m in learning], 1)
    found["backward"] = updates * (both - once)
    sgd = torch.optim.SGD([*moving.parameters(), *net.class_layer.parameters()], 1e-9)
    found["update"] = updates * on.seconds(sgd.step)
    return {name: {"seconds": s, "tflop": flops.get(name, 0) / 1e12} for name, s in found.items()}


@part
def equal(on: Machine) -> dict[str, Any]:
    """Three steps against the CPU's in float32: the largest difference, and labels that agree."""
    small = {"iterations": 3, "learning_rate": 1e-5, "batch_size": 3, "crop_size": 96}
    settings = RIBSettings.paper(**small, scales=(1.0,), loss_scales=(1.0,))
    given = some_batches(3, settings.num_others, 20, 96)

    def maps(device: str | torch.device, precision: str) -> torch.Tensor:
        how = settings.replace(precision=precision)
        net = small_net(20, arch="resnet50").to(device)
        return adapt(net, some_views(how, 160, 240), ONE, given, how).high_res

    cpu, here = maps("cpu", "float32"), maps(on.device, on.precision)
    agree = float(((here > 0.3) == (cpu > 0.3)).float().mean())
    return {"differs_by": float((here - cpu).abs().max()), "labels_agree": agree}


@part
def classifier(on: Machine) -> dict[str, Any]:
    """A step of its training, crops of 512."""
    return on.step(on.net(CAMNet("resnet50", 20)), on.images(16 if on.gpu else 2, 512, 512))


@part
def irn(on: Machine) -> dict[str, Any]:
    """A step of IRN's training, crops of 512, without its loss over pairs."""
    return on.step(on.net(IRN(CAMNet("resnet50", 20))), on.images(32 if on.gpu else 2, 512, 512))


@part
def deeplab(on: Machine) -> dict[str, Any]:
    """A step of DeepLab-v2's training, crops of 321."""
    return on.step(on.net(DeepLabV2("resnet101", 20)), on.images(10 if on.gpu else 2, 321, 321))


@part
def crf(on: Machine) -> dict[str, Any]:
    """The dense CRF of one image with two classes; always on the processor."""
    picture = np.random.default_rng(0).integers(0, 256, (*VOC_SIZE, 3), dtype=np.uint8)
    mask = np.tile(np.repeat([0, 1, 2, 0], 125).astype(np.uint8), (VOC_SIZE[0], 1))
    return {"images": 1, "seconds": on.seconds(lambda: crf_mask(picture, mask))}


@part
def walk(on: Machine) -> dict[str, Any]:
    """The random walk of one image with two classes."""
    values, walls = torch.rand(2, 94, 125, device=on.device), torch.rand(94, 125, device=on.device)
    how = IRNSettings.rib()
    given = values, walls, how.walk_radius, how.beta, how.walk_steps
    return {"images": 1, "seconds": on.seconds(lambda: random_walk(*given))}


@part
def animals(on: Machine) -> dict[str, Any]:
    """The seeds of VOC's animals, preset of photographs, net 0."""
    net = on.net(load_classifier(on.given.net)).eval()
    images = VOCImages(on.given.animals, "train", labels_from="masks")
    images = spread_out(images, on.given.images)
    settings = RIBSettings.photographs(precision=on.precision)
    views = [view.to(on.device) for view in some_views(settings, 240, 320)]
    flops = rib_flops(net, (240, 320), settings)
    parts = rib_parts(on, copy.deepcopy(net), views, None, settings, flops)
    with tempfile.TemporaryDirectory() as place:
        report = localization_maps(net, images, settings, place, workers=4 if on.gpu else 0)
        score = score_split(images, Path(place, "maps")).seeds()
    made = len(report.written)
    found = {"images": made, "seconds": report.seconds, "seed_miou": score.best_miou}
    return {**found, "parts": parts, "tflop": sum(flops.values()) / 1e12}


@part
def processes(on: Machine) -> dict[str, Any]:
    """Images a second of the animals in 1 and 2 processes of one thread each, on one folder."""
    images = spread_out(VOCImages(on.given.animals, "train", labels_from="masks"), 8)
    words = [sys.executable, "-m", "ribnb", "maps", on.given.animals, "--labels-from", "masks"]
    words += ["--variant", "photographs", "--weights", on.given.net, "--device", on.given.device]
    found = {}
    for number in (1, 2):
        with tempfile.TemporaryDirectory() as place:
            few = Path(place, "few.txt")
            few.write_text("\n".join(images.ids), encoding="utf-8")
            shards = [
                subprocess.Popen(
                    [*words, "--split", few, "-o", place, "--shard", f"{index}/{number}"],
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    stdout=sys.stderr,
                    cwd=ROOT,
                )
                for index in range(number)
            ]
            if any([shard.wait() for shard in shards]):
                raise RuntimeError("a shard failed")
            steps = [json.loads(path.read_text()) for path in Path(place, "steps").iterdir()]
            found[f"{number}"] = number / statistics.fmean(step["seconds"] for step in steps)
    return {"images_a_second": found}


@part
def ddp(on: Machine) -> dict[str, Any]:
    """One process of torchrun trains DeepLab-v2 for five steps on the true masks."""
    words = ["--split=train", "--arch=resnet18", "--weights=random", "-psteps=5", "-pcrop_size=161"]
    root = on.given.animals
    with tempfile.TemporaryDirectory() as place:
        command = ["-m", "torch.distributed.run", "--nproc_per_node", "1", "-m", "ribnb", "segment"]
        command += [root, f"{root}/SegmentationClass", *words, "--output-dir", place]
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, stdout=sys.stderr, cwd=ROOT)
    return {"images": 0, "seconds": time.perf_counter() - start}


def main() -> None:
    """Run the parts and write what they found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    net = ROOT / "book/results/voc_animals/theta_0/0.safetensors"
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--only", nargs="+", default=[*PARTS], choices=[*PARTS], help="these parts")
    parser.add_argument("--animals", help="folder of VOC's animals, for three of the parts")
    parser.add_argument("--images", type=int, default=0, help="of them; 0: all 437 of train")
    parser.add_argument("--net", default=str(net), help="their classifier")
    parser.add_argument("--out", help="result file; default: book/results/speed/DEVICE.json")
    parser.add_argument("--precision", default="float32", help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    given = parser.parse_args()
    on = Machine(given)
    if given.part:
        with float32_mode(given.precision):
            made = PARTS[given.part](on)
        print(json.dumps({"peak_gb": on.peak(), **made}))
        return
    name = torch.cuda.get_device_name(on.device).replace(" ", "_") if on.gpu else on.device.type
    out = Path(given.out or ROOT / "book/results/speed" / f"{name}.json")
    found = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    found |= provenance() | {"device": device_name(on.device)}
    for chosen in given.only:
        if chosen in ("animals", "processes", "ddp") and not given.animals:
            continue
        once = not on.gpu or chosen in ("crf", "walk", "processes", "ddp")
        for precision in PRECISIONS[:1] if once else PRECISIONS:
            start = time.perf_counter()
            one = [*sys.argv[1:], "--part", chosen, "--precision", precision]
            done = subprocess.run([sys.executable, __file__, *one], capture_output=True, text=True)
            failed = {"failed": done.stderr.strip().splitlines()[-1:]} if done.returncode else None
            made = failed or json.loads(done.stdout.splitlines()[-1])
            found.setdefault(chosen, {})[precision] = made | {"git_commit": found["git_commit"]}
            write_json(out, found)
            seconds = f"{time.perf_counter() - start:.0f} s"
            print(f"{chosen}, {precision}: {seconds}", failed or "", flush=True)
    print(out)


if __name__ == "__main__":
    main()
