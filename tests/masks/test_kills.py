"""The long stages of the chapters on masks killed at any moment: the end of an undisturbed run.

Each runs as a process of its own, forked from this one, and is killed without warning.
"""

import hashlib
import multiprocessing
import os
import random
import signal
import time
from unittest import mock

import pytest
from safetensors.torch import load_file
from small_masks import Blocks, few, small_net, write_maps_of
from small_split import Noise
from small_split import net as classifier

from ribnb.core.voc import read_mask
from ribnb.masks.irn import IRNSettings, irn_masks
from ribnb.masks.irn_net import IRN
from ribnb.segmentation.training import train_segmentation

IMAGES = Noise(labels=[[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0]] * 8, sizes=((64, 48), (50, 70)))


def walk(given, folder):
    how = IRNSettings.scenes(walk_exponent=10)
    irn_masks(IRN(classifier()).eval(), IMAGES, given / "run" / "maps", folder, how)


def segmentation_training(given, folder):
    train_segmentation(small_net(), Blocks(12), None, few(steps=60), folder)


STAGES = [
    # stage, a pattern of the files that it leaves on its way, what only a finished one has; every
    # stage of masks fills its folder as the walk does, every net is fitted as DeepLab is
    pytest.param(walk, "*.png", None, id="walk"),
    pytest.param(segmentation_training, "training.pt", "segmentation.safetensors", id="DeepLab"),
]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What the stages start from."""
    folder = tmp_path_factory.mktemp("given")
    with mock.patch.dict(os.environ, {"RIBNB_PROGRESS": "off"}):
        write_maps_of(IMAGES, folder / "run")
        yield folder


def snapshot(folder, pattern) -> dict:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob(pattern)}


def killed_at_work(stage, given, folder, pattern, moments) -> bool:
    """Start the stage, kill it soon after it left a new file; whether that was before its end."""
    before = snapshot(folder, pattern)
    process = multiprocessing.get_context("fork").Process(target=stage, args=(given, folder))
    process.start()
    while process.is_alive() and snapshot(folder, pattern) == before:
        time.sleep(0.001)
    time.sleep(moments.uniform(0, 0.03))
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL


def contents(folder) -> dict[str, str]:
    """File -> a hash of the masks, maps or weights that it holds."""
    found = {}
    for path in sorted(folder.rglob("*.png")):
        mask = read_mask(path)  # refuses a half
        found[str(path.relative_to(folder))] = hashlib.sha256(mask.tobytes()).hexdigest()
    for path in folder.glob("*.safetensors"):
        weights = load_file(path)
        state = b"".join(weights[name].numpy().tobytes() for name in sorted(weights))
        found[path.name] = hashlib.sha256(state).hexdigest()
    return found


@pytest.mark.parametrize(("stage", "pattern", "last"), STAGES)
def test_a_stage_killed_three_times_ends_as_an_undisturbed_one(
    given, tmp_path, stage, pattern, last
):
    whole, killed, moments = tmp_path / "whole", tmp_path / "killed", random.Random()
    killed.mkdir()
    stage(given, whole)
    in_time = sum(killed_at_work(stage, given, killed, pattern, moments) for _ in range(3))
    assert in_time  # at least one kill hit it at work
    before = contents(killed)
    assert before.items() <= contents(whole).items()  # what is there is whole and right
    if in_time == 3:
        assert last not in before and len(before) < len(contents(whole))
    stage(given, killed)
    assert contents(killed) == contents(whole)
