"""Make the IRNs, masks and segmentation networks of scenes that come with the package.

    python data_scripts/train_scene_masks.py --seeds 3 4 5 --work runs/scene_masks

The chapters make them: voc_rib the maps of 400 scenes of train, voc_masks an IRN for each kind of
maps and the masks, voc_segmentation a network for each kind of masks. They are written to
ribnb/checkpoints, for each seed scenes_<seed>_irn_<kind>.safetensors, scenes_<seed>_masks.npz and
scenes_<seed>_deeplab_<kind>.safetensors. About ten minutes a seed on one CPU core; a call that was
stopped goes on where it was when it is repeated.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from ribnb.book.masks import KINDS, SUPERVISION, VOCMasksSettings
from ribnb.book.scenes import TRAINED
from ribnb.core.files import write_whole
from ribnb.core.voc import read_mask
from ribnb.masks.irn_net import load_irn
from ribnb.masks.stages import NUM_MASKS, network_path
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.weights import CHECKPOINTS, checkpoint_metadata
from ribnb.runs.execution import execute_chapter

PACKED = ("cam", "cam_crf", "cam_irn", "rib", "rib_crf", "rib_irn")  # kinds of masks
BOOK = Path(__file__).resolve().parents[1] / "book"


def make(seed: int, work: Path, output: Path) -> None:
    """All that comes along for one seed."""
    runs = {name: work / f"{name}_{seed}" for name in ("voc_rib", "voc_masks", "voc_segmentation")}
    common = {"seed": seed, "num_images": NUM_MASKS}
    given = {
        "voc_rib": {},
        "voc_masks": {"maps_run": str(runs["voc_rib"])},
        "voc_segmentation": {"masks": str(runs["voc_masks"])},
    }
    for chapter, folder in runs.items():
        parameters = {**common, **given[chapter], "output_dir": str(folder)}
        folder.mkdir(parents=True, exist_ok=True)
        execute_chapter(BOOK / f"{chapter}.ipynb", folder / f"{chapter}.ipynb", parameters)
    command = f"python data_scripts/train_scene_masks.py --seeds {seed}"
    settings = VOCMasksSettings(seed=seed, num_images=NUM_MASKS)
    trunk = settings.trunk(len(settings.images().class_names))
    for kind in KINDS:
        trained = runs["voc_masks"] / f"irn_{kind}" / "irn.safetensors"
        metadata = {**checkpoint_metadata(trained), "command": command}
        path = output / f"scenes_{seed}_irn_{kind}.safetensors"
        load_irn(trained, trunk).save(path, metadata)
    ids, masks = settings.images().ids, runs["voc_masks"] / "masks"
    arrays = {
        kind: np.stack([read_mask(masks / kind / f"{name}.png") for name in ids]) for kind in PACKED
    }
    arrays |= {"ids": np.array(ids), "kinds": np.array(PACKED)}
    packed = output / f"scenes_{seed}_masks.npz"
    write_whole(packed, lambda file: np.savez_compressed(file, **arrays))
    for kind in SUPERVISION:
        trained = runs["voc_segmentation"] / f"segmentation_{kind}" / "segmentation.safetensors"
        metadata = {**checkpoint_metadata(trained), "command": command}
        path = output / network_path(seed, kind).name
        DeepLabV2.load(trained).save(path, metadata, torch.float16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=TRAINED)
    parser.add_argument("--work", type=Path, default=Path("runs/scene_masks"), help="for the runs")
    parser.add_argument("--output", type=Path, default=CHECKPOINTS, help="for what comes along")
    given = parser.parse_args()
    for seed in given.seeds:
        make(seed, given.work, given.output)
        print(f"made what comes along for the scenes of seed {seed}, in {given.output}")


if __name__ == "__main__":
    main()
