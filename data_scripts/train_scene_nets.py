"""Train the nets that come with the package: one for each seed, on embedded scenes.

    python data_scripts/train_scene_nets.py --seeds 3 4 5

writes ribnb/checkpoints/scenes_<seed>.safetensors; about a minute each on one CPU core. The file's
own metadata tells the recipe, the loss of each epoch and the mAP.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from ribnb.book.scenes import TRAINED, train_scene_net
from ribnb.nets.classifier import load_classifier
from ribnb.nets.weights import CHECKPOINTS, checkpoint_metadata


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=TRAINED)
    parser.add_argument("--output", type=Path, default=CHECKPOINTS, help="folder for the nets")
    given = parser.parse_args()
    torch.set_num_threads(1)  # the same sums in the same order, on any machine's cores
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            train_scene_net(seed, folder)
            trained = Path(folder) / "classifier.safetensors"
            made_by = f"python data_scripts/train_scene_nets.py --seeds {seed}"
            metadata = {**checkpoint_metadata(trained, "classifier"), "command": made_by}
            path = given.output / f"scenes_{seed}.safetensors"
            load_classifier(trained).save(path, metadata)
        print(f"{path}: loss {', '.join(f'{loss:.3f}' for loss in metadata['history'])}")


if __name__ == "__main__":
    main()
