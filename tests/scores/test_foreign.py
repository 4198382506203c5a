"""Folders of other programs: scored as IRN's own evaluation does, whatever a file holds."""

import os
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_split import Noise, write_voc

from ribnb.__main__ import main
from ribnb.core.files import Maps, write_maps
from ribnb.core.voc import write_mask
from ribnb.data.voc import VOCImages
from ribnb.masks.export import export_irn
from ribnb.scores import score_folder

CUTS, SIZE, IDS = (0.15, 0.3, 0.5), (24, 32), Noise().ids
KINDS = {
    "npz": "maps of ribnb",
    **dict.fromkeys(("export", "plain", "half", "tensors", "columns", "padded"), "dictionaries"),
    **dict.fromkeys(("array", "named array"), "arrays"),
}


@pytest.fixture(name="images")
def split(tmp_path):
    """Nine images on disk, with masks of boxes and some pixels ignored."""
    write_voc(tmp_path / "voc", Noise(), train=IDS)
    (tmp_path / "voc" / "SegmentationClass").mkdir()
    for index, name in enumerate(IDS):
        write_mask(tmp_path / "voc" / "SegmentationClass" / f"{name}.png", boxes(index))
    return VOCImages(tmp_path / "voc", "train")


def boxes(index, seed=0) -> np.ndarray:
    rng, mask = np.random.default_rng([seed, index]), np.zeros(SIZE, np.uint8)
    for class_id in np.flatnonzero(Noise().labels[index]):
        top, left = rng.integers(0, 14, 2)
        mask[top : top + 10, left : left + 10] = class_id + 1
    mask[seed::7, ::5] = 255
    return mask


def maps_of(index, kind="") -> tuple[np.ndarray, np.ndarray]:
    """Class ids and maps in a file's order, in hundredths: many are equal, or a threshold."""
    keys, rng = np.flatnonzero(Noise().labels[index]), np.random.default_rng(index)
    maps = rng.integers(0, 60, (len(keys), *SIZE)) / 100
    if "array" not in kind:
        return keys, maps.astype("f2" if kind == "half" else "f4")
    whole, order = np.zeros((3, *SIZE)), [2, 0, 1] if kind == "named array" else [0, 1, 2]
    whole[keys] = maps
    return np.array(order), whole[order]


def write(folder, kind="plain"):
    folder.mkdir()
    for index, name in enumerate(IDS):
        keys, maps = maps_of(index, kind)
        if kind in ("npz", "export"):
            write_maps(folder / f"{name}.npz", Maps(keys, maps, maps[:, ::4, ::4]))
            continue
        named = {"keys": keys, "cam": torch.zeros(2, 2), "high_res": maps}
        named |= {
            "padded": {"keys": np.pad(keys + 1, (1, 0))},
            "columns": {"high_res": np.asfortranarray(maps)},
            "tensors": {"keys": torch.from_numpy(keys), "high_res": torch.from_numpy(maps)},
        }.get(kind, {})
        np.save(folder / f"{name}.npy", maps if "array" in kind else named)
    if kind == "named array":
        (folder / "class_names.txt").write_text("blue\nred\ngreen\n")
    return export_irn(folder, folder.parent / "irn").folder if kind == "export" else folder


def as_irn_counts(predictions) -> np.ndarray:
    """IoU by class, in %, and then their mean, from pixels one by one."""
    confusion = np.zeros((4, 4))
    for index, predicted in enumerate(predictions):
        for true, found in zip(boxes(index).ravel(), predicted.ravel(), strict=True):
            confusion[true % 255, found] += true != 255
    right = np.diag(confusion)
    iou = 100 * right / (confusion.sum(0) + confusion.sum(1) - right)
    return np.append(iou, np.nanmean(iou))


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_every_kind_score_as_in_irns_evaluation(images, tmp_path, kind):
    said, result = score_folder(images, write(tmp_path / "maps", kind), CUTS)
    assert said.startswith(KINDS[kind]) and not result.failed
    for cut in CUTS:
        seeds = []
        for keys, maps in (maps_of(index, kind) for index in range(9)):
            padded = np.pad(maps, ((1, 0), (0, 0), (0, 0)), constant_values=cut)
            seeds.append(np.pad(keys + 1, (1, 0))[padded.argmax(axis=0)])
        score = result.seeds().at(cut)
        assert np.allclose([*score.iou.values(), score.miou], as_irn_counts(seeds))


def test_masks_are_greys_or_have_a_palette_and_undecided_is_background(images, tmp_path):
    masks = [boxes(index, seed=1) for index in range(9)]
    for index, mask in enumerate(masks):
        path = tmp_path / f"{IDS[index]}.png"
        write_mask(path, mask) if index % 2 else Image.fromarray(mask).save(path)
    said, result = score_folder(images, tmp_path)
    score = result.score("masks")
    assert said.startswith("masks") and len(result.scored) == 9
    expected = as_irn_counts(mask % 255 for mask in masks)
    assert np.allclose([*score.iou.values(), score.miou], expected)


class Calls(tuple):
    """What a pickle calls, and then sets."""

    def __reduce__(self):
        return tuple(self)


def pointer() -> Calls:
    """A numpy array of one object that lies wherever the file says."""
    kind = Calls((np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)))
    make = np.array([0], object).__reduce__()[:2]
    return Calls((*make, (1, (1,), kind, False, b"\x01" * 8)))


ONE, WHOLE = np.array([0]), np.ones((1, *SIZE), np.float32)
FAULTS = {  # high_res, or all, of a file, and why it is left out
    "a program": (Calls((os.mkdir, ("made",))), ".mkdir, which is neither array nor tensor. Only"),
    "in a tensor": (Calls((torch.storage._load_from_bytes, (b"\x80\x02cos\ngetcwd\n.",))), "n000"),
    "a pointer": (pointer(), "cannot create an OBJECT array"),
    "another size": (np.ones((1, 6, 8)), "predicted (6, 8), the truth (24, 32)"),
    "no numbers": (np.full((1, *SIZE), np.nan), "must lie in [0, 1]"),
    "no high_res": ({"keys": ONE, "cam": WHOLE}, "it does not hold keys and high_res"),
    "the background's map": (
        {"keys": np.array([0, 1]), "high_res": np.concatenate([WHOLE / 3, WHOLE])},
        "leave the background's map out",
    ),
    "other classes": ({"keys": ONE + 3, "high_res": WHOLE}, "0 ... 2; got [3]"),
}


@pytest.mark.parametrize(("content", "why"), FAULTS.values(), ids=FAULTS)
def test_a_file_that_is_no_map_is_left_out_and_no_program_in_it_runs(
    images, tmp_path, monkeypatch, content, why
):
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "maps")
    named = content if isinstance(content, dict) else {"keys": ONE, "high_res": content}
    np.save(folder / "n000.npy", named)
    (folder / "n001.npy").write_bytes((folder / "n001.npy").read_bytes()[:300])
    (folder / "n002.npy").write_bytes(b"")
    (folder / "n003.npy").unlink()
    (images.root / "SegmentationClass" / "n004.png").unlink()
    failed = score_folder(images, folder)[1].failed
    assert [*failed] == IDS[:5] and why in failed["n000"]
    assert "n001.npy cannot be read as one of dictionaries" in failed["n001"]
    assert "there is no map or mask of it" in failed["n003"] and "no mask" in failed["n004"]
    assert not (tmp_path / "made").exists()


def test_the_command_writes_what_it_shows_and_runs_pickles_only_if_told_to(
    images, tmp_path, capsys
):
    folder, output = write(tmp_path / "maps"), tmp_path / "out"
    named = dict(zip(("keys", "high_res"), maps_of(0), strict=True))
    np.save(folder / "n000.npy", {**named, "share": Fraction(1, 3)})
    words = ["score", str(folder), str(images.root), "--threshold", "0.15", "-o", str(output)]
    assert main(words) == 1 and "left out: n000" in capsys.readouterr().err
    assert main([*words, "--allow-pickle"]) == 0
    score = score_folder(images, folder, CUTS, allow_pickle=True)[1].seeds().at(0.15)
    said, counts = capsys.readouterr().out, score.confusion
    assert "oracle" in said and f"9 of 9 images at 0.15: mIoU {score.miou:.2f} %" in said
    assert {path.suffix for path in output.glob("thresholds.*")} == {".csv", ".png"}
    green = pd.read_csv(output / "classes.csv", index_col="class").loc["green"]
    assert green["precision"] == pytest.approx(100 * counts[2, 2] / counts[:, 2].sum())
    assert green["recall"] == pytest.approx(100 * counts[2, 2] / counts[2].sum())


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda maps: maps.rename(maps.with_name("no")), "No such file or directory"),
        (lambda maps: [path.unlink() for path in maps.iterdir()], "n000, but none at all"),
        (lambda maps: [path.rename(f"{path}.npy") for path in maps.iterdir()], "but n000.npy.npy"),
        (lambda maps: np.save(maps / "n000.npy", WHOLE), "give a folder of one kind"),
        (lambda maps: write_mask(maps / "n000.png", boxes(0)), "give a folder of one kind"),
    ],
)
def test_a_folder_with_nothing_to_score_is_refused(images, tmp_path, spoil, why):
    spoil(write(tmp_path / "maps"))
    with pytest.raises((OSError, ValueError), match=why):
        score_folder(images, tmp_path / "maps")


def test_arrays_of_other_classes_are_refused(images, tmp_path):
    folder = write(tmp_path / "maps", "named array")
    np.save(folder / "n000.npy", np.ones((4, *SIZE)))
    failed = score_folder(images, folder)[1].failed
    assert "not (C, H, W) with one map for each of the 3 classes" in failed["n000"]
    (folder / "class_names.txt").write_text("background\nred\n")
    with pytest.raises(ValueError, match="names 'background', but the classes are red, green"):
        score_folder(images, folder)
