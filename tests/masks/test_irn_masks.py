"""Masks of IRN: what the walk makes of maps, and a split of them, resumed and refused."""

import json
import threading

import numpy as np
import pytest
import torch
from irn_split import made_up_maps, write_maps_of
from small_split import Noise
from small_split import net as classifier

from ribnb.core.files import Maps, write_maps
from ribnb.core.mask_files import read_mask_file
from ribnb.masks import irn
from ribnb.masks.irn import IRN, IRNSettings, boundary_map, irn_masks, walked_mask, walked_scores

SETTINGS = IRNSettings(walk_exponent=3, walk_radius=3, walk_background=0.4)


@pytest.fixture(scope="module")
def net():
    return IRN(classifier()).eval()


@pytest.fixture
def split(tmp_path):
    images = Noise(sizes=((32, 24), (21, 27)))
    return images, write_maps_of(images, tmp_path / "run")


def maps_of(high_res, class_ids=None, strided=None) -> Maps:
    high_res = np.asarray(high_res, np.float32)
    n, height, width = high_res.shape
    if strided is None:
        strided = np.zeros((n, -(-height // 4), -(-width // 4)), np.float32)
    return Maps(np.arange(n) if class_ids is None else np.array(class_ids), high_res, strided)


# One image ----------------------------------------------------------------------------------


def test_a_seed_fills_its_room_and_stops_at_the_wall():
    """A wall down the middle of 16 x 16 positions; a spot of class 3 on its left."""
    boundary = torch.zeros(16, 16)
    boundary[:, 8] = 1
    high_res = np.zeros((1, 32, 32), np.float32)
    high_res[0, 14:18, 4:8] = 1
    how = IRNSettings(walk_exponent=10, walk_radius=3, walk_background=0.5)
    mask = walked_mask(maps_of(high_res, [3]), boundary, how)
    assert mask.shape == (32, 32) and mask.dtype == np.uint8
    assert (mask[:, :15] == 4).all()
    assert (mask[:, 17:] == 0).all()


def test_positions_stay_where_they_are_if_the_last_reach_beyond_the_image():
    """15 x 13 pixels have the 4 x 4 positions of 16 x 16 pixels, and the same scores."""
    strided = np.zeros((2, 4, 4), np.float32)
    strided[0, 0, 1], strided[1, 2, 2] = 1, 0.7
    boundary = torch.linspace(0, 0.6, 16).reshape(4, 4)
    whole, part = (
        walked_scores(maps_of(np.ones((2, *size)), strided=strided), boundary, SETTINGS)
        for size in ((16, 16), (15, 13))
    )
    assert part.shape == (2, 15, 13)
    assert whole.max() == whole[:, :15, :13].max()
    np.testing.assert_allclose(part, whole[:, :15, :13], rtol=1e-6)


def test_scores_are_divided_by_the_largest_of_all_classes():
    high_res = np.zeros((2, 16, 16), np.float32)
    high_res[0, :, :8], high_res[1, :, 8:] = 1, 0.5
    scores = walked_scores(maps_of(high_res), torch.zeros(8, 8), SETTINGS)
    assert scores.max() == scores[0].max() == 1
    assert scores[1].max() < 0.55


def test_a_class_wins_where_it_is_strongest_and_beats_the_background():
    high_res = np.zeros((2, 8, 24), np.float32)
    high_res[0, :, :8], high_res[1, :, 8:16], high_res[1, :, 16:] = 1, 0.8, 0.3
    still = IRNSettings(walk_exponent=0, walk_radius=1.1, beta=50, walk_background=0.4)
    walls = torch.zeros(4, 12)
    walls[:, [4, 8]] = 1
    mask = walked_mask(maps_of(high_res, [0, 6]), walls, still)
    assert (mask[:, :7] == 1).all()
    assert (mask[:, 11:15] == 7).all()
    assert (mask[:, 19:] == 0).all()


def test_the_power_comes_before_the_walk():
    high_res = np.random.default_rng(0).random((1, 8, 8), np.float32)
    by_power, plain = (
        walked_scores(maps_of(high_res, strided=strided), torch.full((2, 2), 0.3), how)
        for strided, how in (
            ([[[0.5, 1.0], [0.2, 0.1]]], IRNSettings(power=2, walk_radius=3, walk_exponent=1)),
            ([[[0.25, 1.0], [0.04, 0.01]]], IRNSettings(walk_radius=3, walk_exponent=1)),
        )
        for strided in [np.array(strided, np.float32)]
    )
    assert by_power == pytest.approx(plain, abs=1e-6)


def test_stored_maps_are_taken_where_their_size_fits_and_others_resized():
    high_res = np.zeros((1, 16, 16), np.float32)
    high_res[0, :, :8] = 1
    strided = np.ones((1, 4, 4), np.float32)
    maps = maps_of(high_res, strided=strided)
    assert irn._at_positions(maps, (4, 4)).tolist() == strided.tolist()
    half = irn._at_positions(maps, (8, 8))
    assert half.shape == (1, 8, 8)
    assert (half[0, :, :3] == 1).all() and (half[0, :, 5:] == 0).all()
    assert half.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("n", [0, 1])
def test_without_maps_or_with_empty_ones_all_is_background(n):
    mask = walked_mask(maps_of(np.zeros((n, 9, 7))), torch.zeros(5, 4), SETTINGS)
    assert mask.shape == (9, 7) and mask.dtype == np.uint8 and not mask.any()


def test_maps_that_walls_swallow_are_background():
    maps = maps_of(np.ones((1, 8, 8)))
    assert not walked_mask(maps, torch.ones(4, 4), SETTINGS).any()


# A split ------------------------------------------------------------------------------------


def test_every_image_gets_its_mask(split, net, tmp_path):
    images, maps_dir = split
    report = irn_masks(net, images, maps_dir, tmp_path / "masks", SETTINGS)
    assert report.written == images.ids and not report.failed
    seen = set()
    for index, name in enumerate(images.ids):
        image = images.image(index)
        mask = read_mask_file(tmp_path / "masks" / f"{name}.png", 3)
        expected = walked_mask(made_up_maps(images, index), boundary_map(net, image), SETTINGS)
        assert (mask == expected).all()
        assert mask.shape == (image.height, image.width)
        present = {0, *(1 + images.labels[index].nonzero()[:, 0]).tolist()}
        assert set(np.unique(mask).tolist()) <= present
        seen |= set(np.unique(mask).tolist())
    assert seen == {0, 1, 2, 3}


def test_several_threads_make_the_same(split, net, tmp_path, monkeypatch):
    images, maps_dir = split
    alone = irn_masks(net, images, maps_dir, tmp_path / "one", SETTINGS)
    names, make = set(), boundary_map

    def boundary(*arguments):
        names.add(threading.current_thread().name)
        return make(*arguments)

    monkeypatch.setattr(irn, "boundary_map", boundary)
    helped = irn_masks(net, images, maps_dir, tmp_path / "three", SETTINGS, workers=3)
    assert helped.written == alone.written
    assert threading.current_thread().name not in names
    for name in images.ids:
        one, three = (
            (tmp_path / folder / f"{name}.png").read_bytes() for folder in ("one", "three")
        )
        assert one == three


@pytest.mark.parametrize("workers", [1, 3])
def test_what_fails_is_named_and_a_second_call_goes_on(split, net, tmp_path, workers):
    images, maps_dir = split
    good = (maps_dir / "n002.npz").read_bytes()
    (maps_dir / "n001.npz").unlink()
    (maps_dir / "n002.npz").write_bytes(good[:50])
    write_maps(maps_dir / "n003.npz", maps_of(np.ones((2, 8, 8))))
    images.broken = (5,)
    report = irn_masks(net, images, maps_dir, tmp_path / "masks", SETTINGS, workers=workers)
    assert report.failed.keys() == {"n001", "n002", "n003", "n005"}
    assert "there are no maps at" in report.failed["n001"]
    assert "is not a whole map file" in report.failed["n002"]
    assert "are 8 x 8 pixels, the image is 27 x 21" in report.failed["n003"]
    assert report.failed["n005"] == "image n005 cannot be read"
    (maps_dir / "n002.npz").write_bytes(good)
    images.broken = ()
    report = irn_masks(net, images, maps_dir, tmp_path / "masks", SETTINGS, workers=workers)
    assert (report.written, report.kept) == (["n002", "n005"], 5)


def test_a_stopped_call_goes_on(split, net, tmp_path, monkeypatch):
    images, maps_dir = split
    walk, done = irn.walked_mask, []

    def stopped(*arguments):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(1)
        return walk(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(irn, "walked_mask", stopped)
        with pytest.raises(KeyboardInterrupt):
            irn_masks(net, images, maps_dir, tmp_path / "masks", SETTINGS)
    assert irn_masks(net, images, maps_dir, tmp_path / "masks", SETTINGS).kept == 4


def test_the_record_says_what_decides_the_masks(split, net, tmp_path):
    images, maps_dir = split
    irn_masks(net, images, maps_dir, tmp_path / "masks", SETTINGS)
    record = json.loads((tmp_path / "masks" / "masks.json").read_text())
    assert record["stage"] == "IRN"
    assert record["settings"]["walk_background"] == 0.4
    assert record["net"]["trunk"] == net.trunk_digest
    same = IRNSettings(**{**SETTINGS.as_dict(), "epochs": 9, "foreground_threshold": 0.9})
    assert irn_masks(net, images, maps_dir, tmp_path / "masks", same).kept == 9
    with pytest.raises(ValueError, match=r"beta.* 10\.0 there, 3\.0 here"):
        other = IRNSettings(**{**SETTINGS.as_dict(), "beta": 3})
        irn_masks(net, images, maps_dir, tmp_path / "masks", other)
    with pytest.raises(ValueError, match="holds masks that were made otherwise"):
        irn_masks(IRN(classifier(), seed=1), images, maps_dir, tmp_path / "masks", SETTINGS)


def test_maps_of_another_split_are_refused(split, net, tmp_path):
    others = Noise(labels=[[1, 1, 1]] * 9)
    with pytest.raises(ValueError, match="maps of other images than the 9 here"):
        irn_masks(net, others, split[1], tmp_path / "masks", SETTINGS)
    with pytest.raises(ValueError, match="workers must be at least 1; got 0"):
        irn_masks(net, *split, tmp_path / "masks", SETTINGS, workers=0)


def test_the_net_s_mode_is_left_as_it_was(split, tmp_path):
    net = IRN(classifier()).train()
    irn_masks(net, *split, tmp_path / "masks", SETTINGS)
    assert net.branches.training and not any(one.training for one in net.trunk.modules())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_gpu_makes_the_cpu_s_masks(split, net, tmp_path):
    images, maps_dir = split
    for device in ("cpu", "cuda"):
        model = IRN(classifier()).eval()
        irn_masks(model, images, maps_dir, tmp_path / device, SETTINGS, device, workers=2)
    same = [
        (
            read_mask_file(tmp_path / "cpu" / f"{n}.png")
            == read_mask_file(tmp_path / "cuda" / f"{n}.png")
        )
        for n in images.ids
    ]
    assert np.concatenate([one.ravel() for one in same]).mean() > 0.99
