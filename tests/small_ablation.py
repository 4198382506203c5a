"""A small ablation with made-up results, for the tests of what is said about ablations."""

import numpy as np
import pytest
import yaml
from small_results import CHAPTERS, made_up, put

from ribnb.evidence.ablation_results import Published
from ribnb.evidence.comparisons import Comparison
from ribnb.evidence.paired import PairedDifference
from ribnb.runs.ablations import read_ablation
from ribnb.scores.image_scores import ImageScores, load_image_scores

COMMON = {"variant": "paper", "num_images": 4}
SEEDS = [3, 4, 5]
# how many of 100 pixels of the class are found, by number of steps, seed by seed
FOUND = {1: (50, 50, 80), 2: (60, 60, 60), 5: (70, 75, 40)}


def add(folder, iterations, seed, right, wide=True, wide_right=None):
    """A result whose images each have so many of the class's pixels right, the CAM 30.

    With any threshold the CAM has 65, and everything else 2 more.
    """
    place = put(folder / f"{iterations}_{seed}").parent

    def matrix(hits):
        return np.stack([[[900, 0], [100 - hits - n, hits + n]] for n in range(4)])

    rights = {"seeds": right, "cam": 30, "seeds_wide": wide_right or right + 2, "cam_wide": 65}
    cuts = {"seeds": 0.2, "cam": 0.3, "seeds_wide": 0.1, "cam_wide": 0.06}
    maps = {name: matrix(hits) for name, hits in rights.items() if wide or "_" not in name}
    ids = [f"s{seed}_{n}" for n in range(4)]
    ImageScores(tuple(ids), maps, {name: cuts[name] for name in maps}, ("a",)).save(place)
    metrics = {"seed_miou": load_image_scores(place).miou(), "images": 4}
    put(place, made_up(metrics=metrics, **COMMON, iterations=iterations, seed=seed))


@pytest.fixture(name="ablation")
def mini_ablation(tmp_path):
    path = tmp_path / "mini.yml"
    grid = {"rib.iterations": list(FOUND)}
    given = {"name": "mini", "chapter": "voc_rib", "parameters": COMMON, "grid": grid}
    path.write_text(yaml.safe_dump({**given, "seeds": SEEDS}))
    return read_ablation(path, CHAPTERS)


@pytest.fixture(name="folder")
def mini_folder(tmp_path):
    for iterations, rights in FOUND.items():
        for seed, right in zip(SEEDS, rights, strict=True):
            add(tmp_path / "results", iterations, seed, right)
    return tmp_path / "results"


def found_in(folder, ablation):
    return Published.read(folder).of(ablation)


def made(low, high, seeds, claim, wide=None):
    """A comparison of made-up numbers; the wide ones are as many points further up."""
    difference = PairedDifference(np.mean(seeds), low, high, tuple(seeds), (4,) * 3, False)
    other = None
    if wide is not None:
        higher = tuple(value + wide for value in seeds)
        numbers = (np.mean(higher), low + wide, high + wide)
        other = PairedDifference(*numbers, higher, (4,) * 3, False)
    return Comparison("mini", "one against two", claim, "the paper", difference, wide=other)
