"""Maps in IRN's format: read as its scripts read them, scored as its evaluation scores."""

import os
import pickletools
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from plain_adaptation import one_thread  # noqa: F401
from small_split import Noise, few_steps, net

from ribnb.core.files import Maps, read_maps, write_maps
from ribnb.data.scenes.layout import write_scenes
from ribnb.data.voc import VOCImages
from ribnb.masks import irn_format
from ribnb.masks.irn_format import export_irn, main
from ribnb.method.localization import localization_maps
from ribnb.scores.iou import seed_miou

THRESHOLDS = (0.2, 0.35, 0.5)


def some_maps(class_ids, size, seed=0) -> Maps:
    """Smooth enough that regions appear, each divided by its maximum."""
    generator = np.random.default_rng(seed)
    n, quarter = len(class_ids), tuple(-(-side // 4) for side in size)
    high_res, strided = (generator.random((n, *shape), np.float32) for shape in (size, quarter))
    for maps in (high_res, strided):
        maps /= maps.max(axis=(1, 2), keepdims=True)
    return Maps(np.array(class_ids, np.int64), high_res, strided)


@pytest.fixture
def run(tmp_path):
    """The folder of a run with the maps of three images, one of them without labels."""
    folder = tmp_path / "run"
    (folder / "maps").mkdir(parents=True)
    for name, class_ids, size in (("a", [3], (7, 9)), ("b", [0, 19], (8, 5)), ("c", [], (4, 6))):
        write_maps(folder / "maps" / f"{name}.npz", some_maps(class_ids, size))
    return folder


def as_irn_loads(folder, name) -> dict:
    return np.load(os.path.join(folder, name + ".npy"), allow_pickle=True).item()


def irn_miou(folder, ids, truths, threshold, num_classes) -> float:
    """mIoU in % by IRN's rules: background is one more map, of the threshold's value; the largest
    wins, the earliest if several are; pixels without truth are left out; absent classes too."""
    counts = np.zeros((num_classes + 1, num_classes + 1))
    for name, truth in zip(ids, truths, strict=True):
        found = as_irn_loads(folder, name)
        padding = ((1, 0), (0, 0), (0, 0))
        scores = np.pad(found["high_res"], padding, mode="constant", constant_values=threshold)
        keys = np.pad(found["keys"] + 1, (1, 0), mode="constant")
        predicted = keys[np.argmax(scores, axis=0)]
        known = truth != 255
        np.add.at(counts, (truth[known], predicted[known]), 1)
    inside = np.diag(counts)
    with np.errstate(invalid="ignore"):
        return 100 * np.nanmean(inside / (counts.sum(0) + counts.sum(1) - inside))


# What the scripts find --------------------------------------------------------------------


def test_a_file_holds_what_irn_expects(run, tmp_path):
    export_irn(run / "maps", tmp_path / "irn")
    assert sorted(path.name for path in (tmp_path / "irn").iterdir()) == ["a.npy", "b.npy", "c.npy"]
    found, maps = as_irn_loads(tmp_path / "irn", "b"), read_maps(run / "maps" / "b.npz")
    assert set(found) == {"keys", "cam", "high_res"}
    assert isinstance(found["cam"], torch.Tensor) and found["cam"].device.type == "cpu"
    assert (found["cam"].dtype, found["cam"].shape) == (torch.float32, (2, 2, 2))
    assert isinstance(found["high_res"], np.ndarray) and found["high_res"].dtype == np.float32
    assert (found["keys"].dtype, found["keys"].tolist()) == (np.int64, [0, 19])
    assert np.array_equal(found["high_res"], maps.high_res)
    assert np.array_equal(found["cam"].numpy(), maps.strided)
    found["cam"] += 1  # the caller's own, to be changed in place
    found["high_res"] += 1


def test_what_irn_does_with_them_works(run, tmp_path):
    export_irn(run / "maps", tmp_path)
    for name, keys in (("a", [0, 4]), ("b", [0, 1, 20]), ("c", [0])):
        found = as_irn_loads(tmp_path, name)
        padded = np.pad(found["keys"] + 1, (1, 0), mode="constant")
        assert (padded.tolist(), padded.dtype.kind) == (keys, "i")
        assert np.repeat(found["keys"], 3).shape == (3 * len(found["keys"]),)
        height, width = found["cam"].shape[-2:]
        flat = found["cam"].view(-1, height * width)  # the random walk: refuses strange strides
        assert (flat @ torch.eye(height * width)).equal(flat)


def test_arrays_of_another_order_are_laid_out_anew(tmp_path):
    maps = some_maps([1, 2], (8, 12))
    write_maps(tmp_path / "a.npz", maps._replace(strided=np.asfortranarray(maps.strided)))
    export_irn(tmp_path, tmp_path)
    cam = as_irn_loads(tmp_path, "a")["cam"]
    assert cam.view(-1, 6).tolist() == maps.strided.reshape(-1, 6).tolist()


def test_an_image_without_labels_is_background_everywhere(run, tmp_path):
    export_irn(run / "maps", tmp_path)
    assert as_irn_loads(tmp_path, "c")["high_res"].shape == (0, 4, 6)
    assert irn_miou(tmp_path, ["c"], [np.zeros((4, 6), np.uint8)], 0.3, 20) == 100


def test_old_versions_of_numpy_find_the_arrays(run, tmp_path):
    """NumPy 2 pickles arrays as ``numpy._core...``, which NumPy before 1.26 does not have."""
    export_irn(run / "maps", tmp_path)
    with open(tmp_path / "b.npy", "rb") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        assert np.lib.format.read_array_header_1_0(file)[0] == ()
        words = [value for _, value, _ in pickletools.genops(file) if isinstance(value, str)]
    assert "numpy" in words
    assert not [word for word in words if word.startswith(("numpy.", "numpy_", "torch.numpy"))]


def test_export_warns_of_nothing(run, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_irn(run / "maps", tmp_path)


# Scores -----------------------------------------------------------------------------------


def test_irns_evaluation_gives_our_seed_miou(tmp_path):
    write_scenes(tmp_path / "scenes", 30, (64, 80), seed=4)
    images = VOCImages(tmp_path / "scenes", "train_aug")
    (tmp_path / "maps").mkdir()
    truths, maps = [images.mask(index) for index in range(len(images))], []
    for index, truth in enumerate(truths):
        class_ids = images.labels[index].nonzero()[:, 0].numpy()
        noise = some_maps(class_ids, truth.shape, index)
        near = noise.high_res * 0.6 + 0.4 * (truth == class_ids[:, None, None] + 1)
        maps.append(noise._replace(high_res=near / near.max(axis=(1, 2), keepdims=True)))
        write_maps(tmp_path / "maps" / f"{images.ids[index]}.npz", maps[-1])
    export_irn(tmp_path / "maps", tmp_path / "irn")
    ours = seed_miou(maps, truths, THRESHOLDS, len(images.class_names)).miou
    theirs = [
        irn_miou(tmp_path / "irn", images.ids, truths, np.float32(threshold), 6)
        for threshold in THRESHOLDS
    ]
    assert theirs == pytest.approx(ours.tolist(), abs=1e-9)
    assert max(theirs) - min(theirs) > 1  # the thresholds matter


def test_the_maps_of_a_real_run_are_exported(tmp_path):
    images = Noise(sizes=((32, 24), (21, 27)))
    localization_maps(net(), images, few_steps(), tmp_path)
    report = export_irn(tmp_path / "maps", tmp_path / "irn")
    assert sorted(report.written) == images.ids
    for index, name in enumerate(images.ids):
        found, (width, height) = as_irn_loads(tmp_path / "irn", name), images.image(index).size
        assert found["keys"].tolist() == images.labels[index].nonzero()[:, 0].tolist()
        assert found["high_res"].shape == (len(found["keys"]), height, width)
        assert found["cam"].shape[1:] == (-(-height // 4), -(-width // 4))


# Again, stopped, damaged ------------------------------------------------------------------


def test_a_second_export_writes_only_what_is_new(run, tmp_path):
    output = tmp_path / "irn"
    assert export_irn(run / "maps", output).written == ["a", "b", "c"]
    before = {path.name: path.stat().st_ino for path in output.iterdir()}
    report = export_irn(run / "maps", output)
    assert (report.written, report.kept) == ([], 3)
    (output / "a.npy").unlink()
    write_maps(run / "maps" / "b.npz", some_maps([7], (8, 5), seed=1))
    report = export_irn(run / "maps", output)
    assert (report.written, report.kept) == (["a", "b"], 1)
    assert as_irn_loads(output, "b")["keys"].tolist() == [7]
    assert (output / "c.npy").stat().st_ino == before["c.npy"]


def test_maps_of_another_run_replace_those_that_are_there(run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write_maps(other / "a.npz", some_maps([5], (7, 9), seed=1))  # older than the export
    os.utime(other / "a.npz", (1e9, 1e9))
    export_irn(run / "maps", tmp_path / "irn")
    assert export_irn(other, tmp_path / "irn").written == ["a"]
    assert as_irn_loads(tmp_path / "irn", "a")["keys"].tolist() == [5]


def test_a_write_that_fails_leaves_whole_files_only(run, tmp_path, monkeypatch):
    output, save = tmp_path / "irn", irn_format._save

    def full(file, maps):
        if maps.class_ids.tolist() == [0, 19]:
            file.write(b"half")
            raise OSError(28, "No space left on device")
        save(file, maps)

    monkeypatch.setattr(irn_format, "_save", full)
    with pytest.raises(OSError, match=r"cannot write .*b\.npy: No space left on device"):
        export_irn(run / "maps", output)
    assert [path.name for path in output.iterdir()] == ["a.npy"]
    monkeypatch.undo()
    report = export_irn(run / "maps", output)
    assert (report.written, report.kept) == (["b", "c"], 1)


def test_a_damaged_map_file_is_named_and_the_rest_goes_on(run, tmp_path, capsys):
    export_irn(run / "maps", tmp_path / "irn")
    path = run / "maps" / "a.npz"
    path.write_bytes(path.read_bytes()[:100])
    (tmp_path / "irn" / "c.npy").unlink()
    assert main([str(run), str(tmp_path / "irn")]) == 1
    printed = capsys.readouterr().out
    assert "1 images written to" in printed and "1 were there; failed 1" in printed
    assert f"failed: a: {path} is not a whole map file" in printed
    names = sorted(path.name for path in (tmp_path / "irn").iterdir())
    assert names == ["b.npy", "c.npy"]  # the old one of the damaged maps is gone


# The command ------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["", "maps"])
def test_the_command_takes_a_run_or_its_maps(run, tmp_path, inside, capsys):
    assert main([str(run / inside), str(tmp_path / "irn")]) == 0
    assert "3 images written to" in capsys.readouterr().out
    assert len(list((tmp_path / "irn").iterdir())) == 3


def test_a_folder_that_is_none_or_holds_no_maps_is_refused(run, tmp_path, capsys):
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "irn")]) == 2
    assert "nowhere is no folder; give the folder of a run" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), str(tmp_path / "irn")]) == 2
    assert "empty holds no map files" in capsys.readouterr().err
    assert not (tmp_path / "irn").exists()
    (tmp_path / "file").write_text("")
    assert main([str(run), str(tmp_path / "file")]) == 2
    assert "file" in capsys.readouterr().err


def test_the_module_is_a_command(run, tmp_path):
    command = [sys.executable, "-m", "ribnb.masks.irn_format", run, tmp_path / "irn"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 images written to" in done.stdout
    assert "warn" not in done.stderr.lower()


def test_a_merged_result_has_no_maps_to_export(tmp_path, capsys):
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "scores.npz").write_bytes(b"confusion matrices, no maps")
    assert main([str(tmp_path / "merged"), str(tmp_path / "irn")]) == 2
    assert "A merged result has none: export each of its shards" in capsys.readouterr().err
