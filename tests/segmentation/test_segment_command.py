"""`ribnb segment`, in one process and in two under torchrun."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from small_masks import Blocks, write_masks
from small_split import write_voc
from small_training import COLOURS, fresh, same

from ribnb.__main__ import main as ribnb
from ribnb.core.voc import read_mask
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.weights import checkpoint_metadata

SMALL = ["steps=6", "batch_size=3", "crop_size=24", "learning_rate=1e-3", "test_scales=[1.0]"]
RESULT = "segmentation.safetensors"


def main(words) -> int:
    return ribnb(["segment", *map(str, words)])


class Uneven(Blocks):
    """Every other mask is nearly empty: the parts of a batch have more and fewer labels."""

    def mask(self, index):
        mask = super().mask(index)
        if index % 2:
            mask[:, 7:] = 255
        return mask


@pytest.fixture
def data(tmp_path):
    """A folder in VOC's layout, without annotations, its masks beside it, and a classifier."""
    images, root = Uneven(), tmp_path / "data"
    write_voc(root, images, train=images.ids, val=images.ids[2:5])
    write_masks(root / "SegmentationClass", images)
    write_masks(tmp_path / "masks", images)
    fresh(seed=7).save(tmp_path / "classifier.safetensors", {"class_names": COLOURS})
    return root


def arguments(data, output, *more, masks=None, small=SMALL) -> list[str]:
    place = data.parent
    masks = place / "masks" if masks is None else masks
    weights = ["--weights", place / "classifier.safetensors"]
    fixed = [data, masks, "--split", "train", "--variant", "scenes", "--device", "cpu", *weights]
    given = [word for value in small for word in ("-p", value)]
    return [str(word) for word in (*fixed, "--output-dir", place / output, *given, *more)]


def test_a_net_is_trained_then_loaded_and_predicts_a_split(data, capsys):
    output = data.parent / "net"
    assert main(arguments(data, "net")) == 0
    assert "trained in" in capsys.readouterr().out
    identity = checkpoint_metadata(output / RESULT)["identity"]
    assert identity["masks.settings.threshold"] == 0.3 and identity["steps"] == 6
    assert main(arguments(data, "net", "--predict", "val")) == 0
    printed = capsys.readouterr().out
    assert "was there" in printed and "3 masks in" in printed
    masks = sorted((output / "val" / "plain").glob("*.png"))
    assert [path.stem for path in masks] == ["b02", "b03", "b04"]
    assert read_mask(masks[0], 3).shape == (24, 24)
    (data / "ImageSets" / "Segmentation" / "more.txt").write_text("b02\nb99\n")
    assert main(arguments(data, "net", "--predict", "more")) == 1
    assert "failed: b99: image b99 is missing" in capsys.readouterr().out


def test_the_start_is_the_classifiers_and_the_heads_of_the_seed(data):
    still = ["steps=1", "learning_rate=0.0", "crop_size=24"]
    main(arguments(data, "a", small=still, masks="truth"))
    main(arguments(data, "b", small=still))
    main(arguments(data, "c", small=[*still, "seed=1"]))
    one, again, other = (DeepLabV2.load(data.parent / name / RESULT) for name in "abc")
    assert same(one, again)
    identity = checkpoint_metadata(data.parent / "a" / RESULT)["identity"]
    assert identity["masks made by"] == "the truth"  # full supervision is asked for by name
    backbone = load_file(data.parent / "classifier.safetensors")
    for net in (one, other):
        assert torch.equal(net.backbone.conv1.weight, backbone["backbone.conv1.weight"])
    assert not torch.equal(one.branches[0].weight, other.branches[0].weight)


def test_arguments_that_make_no_sense_end_with_2(data, capsys):
    for more, named in (
        (["-p", "step=3"], "has no parameter 'step'; did you mean 'steps'"),
        (["--weights", "imagenet"], "ImageNet has no weights of the net scenes"),
        (["--crf"], "name a split"),
    ):
        assert main(arguments(data, "net", *more)) == 2
        assert named in capsys.readouterr().err
        assert not (data.parent / "net" / RESULT).exists()


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more}


def kill_both_when_there(path: Path, words: list[str]) -> None:
    """Start two processes as torchrun does, and kill them once a file is there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "ribnb", "segment", *words]
    both = [
        subprocess.Popen(
            command,
            env=environment(**common, RANK=str(rank), LOCAL_RANK=str(rank)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for rank in range(2)
    ]
    deadline = time.monotonic() + 200
    while not path.exists() and not any(one.poll() for one in both) and deadline > time.monotonic():
        time.sleep(0.005)
    for one in both:
        one.kill()
    assert path.exists(), b"".join(one.communicate()[0] for one in both).decode()


def test_two_processes_killed_and_resumed_train_the_net_of_one(data):
    small = ["steps=60", "learning_rate=1e-2", "head_factor=1.0", "batch_size=3", "crop_size=24"]
    here, there = data.parent / "one", data.parent / "two"
    assert main(arguments(data, "one", small=small)) == 0
    words = arguments(data, "two", "--predict", "val", small=small)
    kill_both_when_there(there / "training.pt", words)
    assert not (there / RESULT).exists()
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc_per_node", "2", "-m", "ribnb", "segment", *words],
        env=environment(), capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained in") == 1  # the first process speaks, for all
    one, two = (load_file(folder / RESULT) for folder in (here, there))
    start = load_file(data.parent / "classifier.safetensors")["backbone.layer4.0.conv2.weight"]
    assert (one["backbone.layer4.0.conv2.weight"] - start).abs().max() > 1e-4
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-6
    histories = [checkpoint_metadata(folder / RESULT)["history"] for folder in (here, there)]
    np.testing.assert_allclose(*histories, rtol=1e-4)
    assert len(list((there / "val" / "plain").glob("*.png"))) == 3
