"""Train the digit nets that come with the package, as the chapters on digits would.

    python data_scripts/train_digit_nets.py --seeds 0 1 2

writes ribnb/checkpoints/digits_<seed>.safetensors and, of the first seed, a net with biases and one
that pools by the maximum; half a minute each on one CPU core. The file's own metadata tells the
recipe and the loss of each epoch.
"""

import argparse
import time
from pathlib import Path

import torch

from ribnb.book.scenes import ToySettings, digit_recipe, toy_data
from ribnb.core.devices import device_name
from ribnb.core.files import provenance
from ribnb.nets.digit_net import train_digit_net
from ribnb.nets.weights import CHECKPOINTS

VARIANTS = {"_bias": {"bias": True}, "_max": {"pooling": "max"}}  # what exercises look at


def main() -> None:
    settings = ToySettings()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=range(settings.seeds))
    parser.add_argument("--output", type=Path, default=CHECKPOINTS, help="folder for the nets")
    given = parser.parse_args()
    torch.set_num_threads(1)  # the same sums in the same order, on any machine's cores
    for seed in given.seeds:
        images, labels, _ = toy_data(settings, seed)["train"]
        for name, design in {"": {}, **(VARIANTS if seed == 0 else {})}.items():
            start = time.perf_counter()
            net, history = train_digit_net(images, labels, settings.epochs, seed, **design)
            metadata = {
                "class_names": ["2", "8"],
                "identity": digit_recipe(settings, seed, **design),
                "history": history,
                "seconds": time.perf_counter() - start,
                "device": device_name(torch.device("cpu")),
                "command": f"python data_scripts/train_digit_nets.py --seeds {seed}",
                **provenance(),
            }
            path = given.output / f"digits_{seed}{name}.safetensors"
            net.save(path, metadata)
            print(f"{path}: loss {', '.join(f'{loss:.3f}' for loss in history)}")


if __name__ == "__main__":
    main()
