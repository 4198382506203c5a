"""Time an image costs: our engine as a user runs it against the authors' loop, in one run.

Both read, decode and resize the same JPEG files, start from the same weights, draw the same
batches, write map files, and must give the same maps. Ours is `localization_maps` with workers;
the other is `released_loop.py`, which spares nothing and decodes where it stands. The stops are
switched off, so that all K steps run: with them ours saves more. Time it on a machine that does
nothing else: what others take lands unevenly on the two, and processor time is only a rough help.

    python tests/benchmarks/rib_speed.py                           a small case, 1 minute
    python tests/benchmarks/rib_speed.py --voc                     VOC's size, 10 minutes on 2 cores
    python tests/benchmarks/rib_speed.py --voc --device cuda --precision bfloat16 \
        --images 8 --repeats 3 --workers 12 --output result.json     on a GPU

On CUDA the authors' loop computes in float32 with TF32 in convolutions, as PyTorch does by
itself, unless `--precision float32`. Exit status 1: the maps do not agree.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from matrix_peak import matrix_peak
from part_clock import PartClock, alive, in_the_engine
from random_net import CLASSES, net
from released_loop import released_loop

from ribnb.book.costs import rib_flops
from ribnb.core.devices import PRECISIONS, device_name, float32_mode, resolve_device
from ribnb.core.files import read_maps
from ribnb.core.provenance import git_commit, now, versions
from ribnb.data.scenes.images import write_scenes
from ribnb.data.views import multi_scale_views
from ribnb.data.voc import VOCImages
from ribnb.method.inputs import AdaptationInputs
from ribnb.method.localization import localization_maps
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import ARCHITECTURES

TOLERANCE = 1e-3  # of a map in [0, 1], in float32
AGREEMENT = 0.98  # of the pixels' labels, in the other precisions
BACKGROUND = 0.3  # below it a pixel is background
VOC = {"size": (375, 500), "crop": 512, "batch_size": 20, "iterations": 10}


class Comparison:
    """The folder of images, both engines, and what was measured so far."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments, self.folder = arguments, folder
        self.device = resolve_device(arguments.device)
        crop = arguments.crop
        self.settings = RIBSettings.released(
            iterations=arguments.iterations,
            batch_size=arguments.batch_size,
            crop_size=crop,
            long_side_min=crop * 5 // 8,  # 320 to 640 for 512
            long_side_max=crop * 5 // 4,
            learning_rate=arguments.learning_rate,
            flood_share=None,
            margin=1e9,
            precision=arguments.precision,
        )
        with alive(f"drawing {arguments.pool} scenes"):
            write_scenes(folder / "data", arguments.pool, arguments.size, num_classes=CLASSES)
        self.images = VOCImages(folder / "data", "train_aug")
        self.targets = range(0, len(self.images), -(-len(self.images) // arguments.images))
        view = multi_scale_views(self.images.image(0), (1.0,))[0]
        self.model = net(arguments.arch, view).to(self.device)
        self.plain_model = copy.deepcopy(self.model).eval()
        if arguments.compile:
            self.model.moving_features = torch.compile(self.model.moving_features)
        self.runs = 0

    def ours(self, settings: RIBSettings, clock: PartClock) -> Path:
        output, stride = self.new_folder(), self.targets.step
        with in_the_engine(clock):
            report = localization_maps(
                self.model,
                self.images,
                settings,
                output,
                shard=(0, stride),
                workers=self.arguments.workers,
            )
        if report.failed:
            raise RuntimeError(f"images failed: {report.failed}")
        return output

    def released(self, settings: RIBSettings, clock: PartClock) -> Path:
        output = self.new_folder()
        inputs = AdaptationInputs(self.images, settings)
        by_itself = "float32" if settings.precision == "float32" else "tf32"
        with float32_mode(by_itself):
            released_loop(self.plain_model, inputs, self.targets, output / "maps", clock)
        return output

    def new_folder(self) -> Path:
        self.runs += 1
        return self.folder / f"run_{self.runs}"

    def measure(self) -> dict:
        """Time both in turn, the order changing; the result, ready for JSON."""
        engines = {"ours": self.ours, "released_loop": self.released}
        short = self.settings.replace(iterations=min(2, self.settings.iterations))
        for name, run in engines.items():
            with alive(f"{name}, warming up"):
                run(short, PartClock(self.device, on=False))
        seconds, processor, memory, shares, folders = (
            {name: [] for name in engines} for _ in range(5)
        )
        cuda, repeats = self.device.type == "cuda", self.arguments.repeats
        for repeat in range(repeats + cuda):
            last = repeat == repeats - 1 + cuda  # on CUDA one more, because the clock slows it
            order = list(engines) if repeat % 2 == 0 else list(engines)[::-1]
            for name in order:
                clock = PartClock(self.device, on=last)
                if cuda:
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats(self.device)
                start, busy = clock.now(), time.process_time()
                with alive(f"{name}, {'parts of' if cuda and last else 'run'} {repeat + 1}"):
                    folder = engines[name](self.settings, clock)
                total, busy = clock.now() - start, time.process_time() - busy
                if last:
                    shares[name], folders[name] = clock.shares(total), folder
                if repeat < repeats:
                    seconds[name].append(round(total / len(self.targets), 4))
                    processor[name].append(round(busy / len(self.targets), 4))
                if cuda:
                    memory[name] = torch.cuda.max_memory_allocated(self.device) / 2**30
        return {
            "seconds_per_image": seconds,
            "processor_seconds_per_image": processor,  # without the workers'
            **ratios(seconds),
            "processor_ratio": ratios(processor)["ratio"],
            "shares": shares,
            "peak_memory_GiB": memory if cuda else None,
            **self.speed(seconds),
            **self.agreement(folders),
        }

    def speed(self, seconds: dict[str, list[float]]) -> dict:
        """FLOPs of an image by part, and TFLOP/s reached against the device's peak."""
        peak, source = matrix_peak(self.device, self.settings.precision)
        by_part = {
            "ours": rib_flops(self.plain_model, self.arguments.size, self.settings),
            "released_loop": rib_flops(self.plain_model, self.arguments.size, self.settings, True),
        }
        work = {name: sum(parts.values()) / 1e12 for name, parts in by_part.items()}
        reached = {name: work[name] / statistics.median(seconds[name]) for name in work}
        return {
            "TFLOP_per_image": work,
            "FLOP_by_part": by_part,
            "TFLOP_per_second": reached,
            "peak_TFLOP_per_second": peak,
            "peak_source": source,
            "share_of_peak": peak and reached["ours"] / peak,
        }

    def agreement(self, folders: dict[str, Path]) -> dict:
        """Largest difference of the maps, and the share of pixels with the same label."""
        cams = self.ours(self.settings.replace(iterations=0), PartClock(self.device, on=False))
        difference = change = 0.0
        same = pixels = 0
        for target in self.targets:
            places = (*folders.values(), cams)
            maps = [read_maps(at / "maps" / f"{self.images.ids[target]}.npz") for at in places]
            ours, plain, cam = (torch.from_numpy(one.high_res) for one in maps)
            difference = max(difference, (ours - plain).abs().max().item())
            change = max(change, (ours - cam).abs().max().item())
            labels = [torch.cat([torch.full_like(m[:1], BACKGROUND), m]) for m in (ours, plain)]
            one, other = (stack.argmax(dim=0) for stack in labels)
            same, pixels = same + (one == other).sum().item(), pixels + one.numel()
        return {
            "largest_difference": difference,
            "label_agreement": same / pixels,
            "change_by_the_steps": change,
        }


def ratios(seconds: dict[str, list[float]]) -> dict:
    """How many times as long the authors' loop takes, pair by pair."""
    pairs = zip(seconds["released_loop"], seconds["ours"], strict=True)
    found = [round(plain / ours, 3) for plain, ours in pairs]
    return {"ratios": found, "ratio": statistics.median(found)}


def agree(result: dict, precision: str) -> bool:
    if precision == "float32":
        return result["largest_difference"] < TOLERANCE
    return result["label_agreement"] >= AGREEMENT


def show(result: dict) -> None:
    print(f"{result['device']}, load {result['load_average'][0]}")
    for name, seconds in result["seconds_per_image"].items():
        memory = result["peak_memory_GiB"]
        print(
            f"{name}: {statistics.median(seconds):.3f} s an image (runs: {seconds}), "
            f"{result['TFLOP_per_image'][name]:.2f} TFLOP, "
            f"{result['TFLOP_per_second'][name]:.3f} TFLOP/s"
            + (f", peak {memory[name]:.2f} GiB" if memory else "")
        )
        print("  " + ", ".join(f"{part} {s:.1%}" for part, s in result["shares"][name].items()))
    found = result["ratios"]
    print(
        f"released loop / ours: {result['ratio']:.2f}, from {min(found)} to {max(found)}; in "
        f"processor time {result['processor_ratio']:.2f}"
    )
    if result["peak_TFLOP_per_second"]:
        share, peak = result["share_of_peak"], result["peak_TFLOP_per_second"]
        print(f"ours reaches {share:.0%} of {peak:.3g} TFLOP/s ({result['peak_source']})")
    else:
        print("the device's peak is unknown")
    print(
        f"the maps differ by up to {result['largest_difference']:.1e}, labels agree on "
        f"{result['label_agreement']:.3%}; the steps change the maps by up to "
        f"{result['change_by_the_steps']:.1e}"
    )


def size(text: str) -> tuple[int, int]:
    """``"375x500"`` as (375, 500)."""
    height, width = text.lower().split("x")
    return int(height), int(width)


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--voc", action="store_true", help="VOC's size: 375x500, 512, B 20, K 10")
    parser.add_argument("--arch", default="resnet50", choices=ARCHITECTURES[1:])
    parser.add_argument("--size", type=size, default=(188, 250), metavar="HxW", help="of images")
    parser.add_argument("--batch-size", type=int, default=4, help="B, other images in each step")
    parser.add_argument("--crop", type=int, default=256, help="side of the others, pixels")
    parser.add_argument("--iterations", type=int, default=3, help="K")
    parser.add_argument("--learning-rate", type=float, default=8e-6)
    parser.add_argument("--images", type=int, default=1, help="targets in each run")
    parser.add_argument("--pool", type=int, default=80, help="images in the folder")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, mps")
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--compile", action="store_true", help="our moving stages, torch.compile")
    parser.add_argument("--workers", type=int, default=1, help="that decode ahead, ours alone")
    parser.add_argument("--threads", type=int, help="of the CPU; default: as many as torch takes")
    parser.add_argument("--output", type=Path, help="a JSON file for the result")
    words = sys.argv[1:] if words is None else words
    if "--voc" in words:
        parser.set_defaults(**VOC)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Print the comparison; 1 if the maps do not agree."""
    arguments = parsed(words)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(arguments, Path(folder))
        result = comparison.measure()
        result |= {
            "device": device_name(comparison.device),
            "arguments": {**vars(arguments), "size": list(arguments.size), "output": None},
            "settings": comparison.settings.as_dict(),
            "targets": len(comparison.targets),
            "load_average": [round(load, 2) for load in os.getloadavg()],
            "git_commit": git_commit(),
            "versions": versions(),
            "date": now(),
        }
    show(result)
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not agree(result, arguments.precision):
        print("the maps are not the same", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
