"""Other images from a pool: the same steps as with fresh ones, other draws, fewer files read."""

import numpy as np
import pytest
import torch
from small_split import LABELS, Noise, few_steps, maps_in, net

from ribnb.core.files import read_maps
from ribnb.method.adaptation import adapt
from ribnb.method.inputs import VIEWS, AdaptationInputs, Feed, Pool
from ribnb.method.localization import localization_maps

POOL = {"others": "pool", "pool_size": 20}  # of 9 images: each twice, two of them three times


def pool_of(folder, images=None, model=None, **settings):
    inputs = AdaptationInputs(images or Noise(), few_steps(**POOL | settings))
    return Pool(inputs, model or net(), folder)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_maps_are_those_of_the_same_crops_as_images(tmp_path, variant):
    images, model, settings = Noise(), net(), few_steps(variant, **POOL)
    report = localization_maps(model, images, settings, tmp_path)
    assert not report.failed
    pool = pool_of(tmp_path, model=model, variant=variant)
    inputs = AdaptationInputs(images, settings)
    rows = np.resize(np.random.default_rng(settings.seed).permutation(9), 20)
    crops = [pool._crops((0, rows[:16].tolist())), pool._crops((1, rows[16:].tolist()))]
    crops = torch.cat([views for (views, _), _ in crops])
    target, batches = 3, []
    for step, (_, labels) in enumerate(pool.batches(3)):
        candidates = np.isin(rows, inputs.candidates(target)).nonzero()[0]
        batches.append((crops[inputs.draw(target, step, candidates)[1]], labels))
    expected = adapt(model, inputs.views(target), images.labels[target], batches, settings)
    found = torch.from_numpy(read_maps(tmp_path / "maps" / "n003.npz").high_res)
    torch.testing.assert_close(found, expected.high_res, rtol=0, atol=1e-5)


def test_a_batch_holds_crops_of_other_images_and_is_drawn_from_seed_target_and_step(tmp_path):
    labels = torch.tensor(LABELS)
    pool = pool_of(tmp_path, batch_choice="disjoint")
    assert sorted(np.bincount(pool.indices)) == [2] * 7 + [3] * 2
    for target in range(len(LABELS)):
        for features, theirs in pool.batches(target):
            assert len(features) == len(theirs)
            assert not (theirs & labels[target]).any()
    first, again, other = (list(pool.batches(target)) for target in (0, 0, 8))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(first, other, strict=True))
    assert not torch.equal(first[0][0], first[1][0])


def test_neither_workers_nor_shards_change_a_map_and_each_crop_is_read_once(tmp_path):
    settings, images = few_steps(**POOL), Noise()
    localization_maps(net(), images, settings, tmp_path / "one")
    assert len(images.shown) <= 20 + len(LABELS) + 1
    feed = Feed(AdaptationInputs(images, settings), [0, 1])
    assert [*feed] == [(0, VIEWS), (1, VIEWS)], "no batches are read ahead"
    for number in range(2):
        shard = {"shard": (number, 2), "workers": 2}
        localization_maps(net(), Noise(), settings, tmp_path / "two", **shard)
    assert maps_in(tmp_path / "one") == maps_in(tmp_path / "two")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "maps",
        "maps.json",
        "steps",
    ]


def test_what_cannot_be_read_is_left_out_and_named(tmp_path):
    images = Noise(broken=(2,))
    report = localization_maps(net(), images, few_steps(**POOL), tmp_path)
    assert list(report.unreadable) == list(report.failed) == ["n002"]
    none = pool_of(tmp_path, Noise(broken=range(9)))
    assert [len(features) for features, _ in none.batches(0)] == [0, 0]


def test_crops_of_several_sizes_are_refused(tmp_path):
    images = Noise(sizes=((32, 24), (24, 32)))
    with pytest.raises(ValueError, match="crop_size"):
        pool_of(tmp_path, images, crop_size=0, long_side_min=0, long_side_max=0)
