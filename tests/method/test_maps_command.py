"""`ribnb maps`: a split of a folder in VOC's layout, from the command line."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from small_split import CLASSES, Noise, few_steps, maps_in, net, write_voc

from ribnb.__main__ import main
from ribnb.data.labels import write_labels
from ribnb.data.voc import VOCImages
from ribnb.method.localization import localization_maps
from ribnb.method.settings import RIBSettings

SMALL = [f"{name}={value}" for name, value in few_steps().as_dict().items() if name != "variant"]


@pytest.fixture
def voc(tmp_path):
    """A folder in VOC's layout with a split of all images and one of three; beside it a net."""
    images, root = Noise(), tmp_path / "voc"
    write_voc(root, images, train=images.ids, few=images.ids[:3])
    write_labels(root / "labels.npz", images.ids, images.labels, CLASSES)
    net().save(tmp_path / "net.safetensors", {"class_names": CLASSES})
    return root


def words(voc, output="out", settings=SMALL, **options) -> list[str]:
    """Arguments of the command; an option that is given replaces the usual one."""
    usual = {"weights": voc.parent / "net.safetensors", "output-dir": voc.parent / output}
    arguments = ["maps", str(voc), "--device", "cpu"]
    for name, value in {**usual, **options}.items():
        arguments += [f"--{name}", str(value)]
    for pair in settings:
        arguments += ["-p", pair]
    return arguments


# A run ------------------------------------------------------------------------------------


def test_makes_the_maps_of_a_split(voc, capsys):
    assert main(words(voc, workers=1)) == 0
    said = capsys.readouterr()
    assert re.fullmatch(
        r"9 images in \d+ s, 0 were there; stopped by margin 0, by flood 0; failed 0\n", said.out
    )
    assert said.err == ""
    localization_maps(net(), VOCImages(voc, "train"), few_steps(), voc.parent / "direct")
    assert maps_in(voc.parent / "out") == maps_in(voc.parent / "direct")
    assert len(maps_in(voc.parent / "out")) == 9


@pytest.mark.parametrize("variant", ["paper", None])
def test_the_settings_are_those_of_the_variant_with_what_is_given(voc, variant):
    """Without a variant they are the authors'."""
    options = {"variant": variant} if variant else {}
    given = ["iterations=0", "scales=(1, 0.5)", "loss_scales=[0.5]", "flood_share=None"]
    assert main(words(voc, split="few", settings=given, **options)) == 0
    record = json.loads((voc.parent / "out" / "maps.json").read_text())
    changes = {"iterations": 0, "scales": (1, 0.5), "loss_scales": (0.5,), "flood_share": None}
    settings = getattr(RIBSettings, variant or "released")(**changes)
    assert record["settings"] == settings.identity()


# Images that fail -------------------------------------------------------------------------


def test_a_broken_image_is_named_and_the_status_is_1(voc, capsys):
    broken = voc / "JPEGImages" / "n002.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:400])
    assert main(words(voc)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("8 images in") and lines[0].endswith("failed 1")
    assert f"failed: n002: image n002 cannot be read: {broken}" in lines[1]
    assert lines[2].startswith("left out of batches: n002: ")
    broken.write_bytes(whole)
    assert main(words(voc)) == 0
    assert capsys.readouterr().out.startswith("1 images in")


# Refusals ---------------------------------------------------------------------------------


def test_what_makes_no_sense_is_said_in_one_line(voc, capsys):
    for options, reason in (
        ({"settings": ["iteratons=3"]}, "did you mean 'iterations'"),
        ({"shard": "2/2"}, "it must be i/n with 0 <= i < n"),
        ({"weights": "none.safetensors"}, "no classifier at none.safetensors"),
        ({"settings": [*SMALL, "variant=paper"]}, "use --variant paper"),
    ):
        assert main(words(voc, **options)) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert reason in said.err
        assert not (voc.parent / "out").exists()


# Stopped ----------------------------------------------------------------------------------


def stopped(arguments, maps, count) -> tuple[int, str, str]:
    """The command in a group of its own, sent Ctrl-C once there are so many map files."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ribnb", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # who was started in the background ignores Ctrl-C, and would hand that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while len(list(maps.glob("*.npz"))) < count and process.poll() is None:
        time.sleep(0.003)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    said = process.communicate()
    return process.returncode, *said


def test_stopped_by_ctrl_c_it_goes_on_as_if_nothing_had_been(tmp_path, voc):
    slow = [*SMALL, "iterations=12"]  # slower than signals are
    assert main(words(voc, "whole", slow)) == 0
    maps = tmp_path / "stopped" / "maps"
    code, out, error = stopped(words(voc, "stopped", slow, workers=2), maps, 3)
    assert code == 130, error
    # a worker that is handing over an item when it is ended may add lines of its own
    assert "stopped; the same command goes on from here" in error
    assert "KeyboardInterrupt" not in error
    assert out == ""
    assert 3 <= len(maps_in(tmp_path / "stopped")) < 9
    assert main(words(voc, "stopped", slow)) == 0
    assert maps_in(tmp_path / "stopped") == maps_in(tmp_path / "whole")
