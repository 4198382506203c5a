"""The method's inputs as data sets over files: scenes and real images, any number of workers."""

import warnings

import numpy as np
import pytest
import torch
from plain_adaptation import one_thread  # noqa: F401
from small_split import few_steps
from small_voc import SAMPLE, SAMPLE_IDS
from torch.utils.data import DataLoader

from ribnb.data.scenes.layout import write_scenes
from ribnb.data.views import multi_scale_views
from ribnb.data.voc import VOCImages
from ribnb.method import method_inputs
from ribnb.method.feed import AdaptationInputs, Feed
from ribnb.method.method_inputs import MultiScaleViews, RandomBatches, class_disjoint

KEYS = [(target, step) for target in (2, 0, 5) for step in range(3)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder of 14 scenes 80 x 64, of which 12 are train_aug."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 14, (64, 80), seed=2)
    return folder


@pytest.fixture
def scenes(drawn):
    return VOCImages(drawn, "train_aug")


@pytest.fixture
def damaged(drawn, tmp_path):
    """The same, with one image cut short and one that is not there."""
    for path in drawn.iterdir():
        if path.name != "JPEGImages":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "JPEGImages").mkdir()
    images = VOCImages(drawn, "train_aug")
    for index, name in enumerate(images.ids):
        content = images.image_path(index).read_bytes()
        if index != 7:
            kept = content[: len(content) // 3] if index == 3 else content
            (tmp_path / "JPEGImages" / f"{name}.jpg").write_bytes(kept)
    return VOCImages(tmp_path, "train_aug")


def loaded(dataset, keys, workers):
    """Items in order, by a loader as anyone would make it."""
    return list(DataLoader(dataset, sampler=keys, batch_size=None, num_workers=workers))


def same(one, other) -> bool:
    """Lists or tuples of tensors, bit by bit."""
    return len(one) == len(other) and all(map(torch.equal, one, other))


# Any number of workers --------------------------------------------------------------------


def test_views_are_the_same_with_any_workers(scenes):
    views = MultiScaleViews(scenes, (1, 0.5, 1.5))
    assert len(views) == len(scenes) == 12
    with_two, with_none = (loaded(views, range(12), workers) for workers in (2, 0))
    for index in range(12):
        expected = multi_scale_views(scenes.image(index), (1, 0.5, 1.5))
        assert same(with_two[index], expected) and same(with_none[index], expected)
    assert [tuple(view.shape) for view in views[0]] == [
        (2, 3, 64, 80),
        (2, 3, 32, 40),
        (2, 3, 96, 120),
    ]


def test_views_without_flip_are_the_first_of_each_pair(scenes):
    pairs, singles = (MultiScaleViews(scenes, (1, 2), flip)[4] for flip in (True, False))
    assert same(singles, [pair[:1] for pair in pairs])


@pytest.mark.parametrize("choice", ["random", "disjoint"])
def test_batches_are_the_same_with_any_workers_and_in_any_order(scenes, choice):
    settings = few_steps(batch_choice=choice, batch_size=3)
    first = dict(zip(KEYS, loaded(RandomBatches(scenes, settings), KEYS, 0), strict=True))
    again = RandomBatches(VOCImages(scenes.root, "train_aug"), settings)
    keys = KEYS[::-1]
    for key, batch in zip(keys, loaded(again, keys, 2), strict=True):
        assert same(batch, first[key])
    shown = {batch[0].numpy().tobytes() for batch in first.values()}
    assert len(shown) == len(KEYS)  # and each is another


def test_batches_leave_the_global_generators_alone(scenes):
    torch.manual_seed(1)
    drawn = torch.rand(2)
    torch.manual_seed(1)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert RandomBatches(scenes, few_steps())[0, 0] and MultiScaleViews(scenes, (1,))[0]
    assert torch.equal(torch.rand(2), drawn)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_feed_gives_what_the_data_sets_give(scenes):
    settings = few_steps()
    views, batches = MultiScaleViews(scenes, settings.scales), RandomBatches(scenes, settings)
    feed = Feed(AdaptationInputs(scenes, settings), [4, 1], 2)
    for target in (4, 1):
        assert same(feed.views(target), views[target])
        for step, batch in enumerate(feed.batches(target)):
            assert same(batch, batches[target, step])
    feed.close()


def test_workers_do_not_read_the_labels_anew(scenes, monkeypatch):
    batches = RandomBatches(scenes, few_steps(batch_choice="random"))
    monkeypatch.setattr(VOCImages, "labels", property(lambda _: pytest.fail("read again")))
    assert len(batches[0, 0][1]) == 3


# Damaged and missing images ---------------------------------------------------------------


def test_a_view_of_a_damaged_image_names_it(damaged):
    views = MultiScaleViews(damaged, (1,))
    with pytest.raises(OSError, match=rf"image {damaged.ids[3]} cannot be read: .*\.jpg"):
        views[3]
    with pytest.raises(FileNotFoundError, match=rf"image {damaged.ids[7]} is missing"):
        views[7]


def test_a_batch_warns_of_what_it_leaves_out(damaged):
    settings = few_steps(batch_choice="random", batch_size=11)
    batches = RandomBatches(damaged, settings)
    with pytest.warns(UserWarning) as caught:
        images, labels = batches[0, 1]
    assert len(images) == len(labels) == 9
    words = sorted(str(warning.message) for warning in caught)
    assert len(words) == 2
    assert words[0].startswith(f"left out of batch (0, 1): {damaged.ids[3]}: image")
    assert "is missing" in words[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch, unreadable = batches.batch(0, 1)
    assert same(batch, (images, labels))
    assert set(unreadable) == {damaged.ids[3], damaged.ids[7]}


def test_the_feed_names_them_and_goes_on(damaged):
    settings = few_steps(batch_choice="random", batch_size=11)
    feed = Feed(AdaptationInputs(damaged, settings), range(12), 2)
    for target in range(12):
        if target in (3, 7):
            with pytest.raises(OSError, match=damaged.ids[target]):
                feed.views(target)
        else:
            feed.views(target)
            assert [len(images) for images, _ in feed.batches(target)] == [9, 9]
    feed.close()
    assert set(feed.unreadable) == {damaged.ids[3], damaged.ids[7]}


@pytest.mark.parametrize("choice", ["random", "disjoint"])
def test_a_split_of_one_image_has_empty_batches(drawn, tmp_path, choice):
    path = tmp_path / "one.txt"
    path.write_text(VOCImages(drawn, "train_aug").ids[5])
    images = VOCImages(drawn, path)
    assert len(MultiScaleViews(images, (1, 2))[0]) == 2
    batch = RandomBatches(images, few_steps(batch_choice=choice))[0, 0]
    assert [tuple(part.shape) for part in batch] == [(0, 3, 1, 1), (0, 6)]


# Real images ------------------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no ../shared/data/voc_sample beside this")
def test_real_images_feed_the_method():
    images = VOCImages(SAMPLE, "val", labels_from="masks")
    settings = few_steps(batch_size=1)
    batches = RandomBatches(images, settings)
    # bottle and person; chair, person and sofa; bus and car
    assert [batches.candidates(target).tolist() for target in range(3)] == [[2], [2], [0, 1]]
    keys = [(0, 0), (2, 1)]
    for one, other in zip(loaded(batches, keys, 0), loaded(batches, keys, 2), strict=True):
        assert same(one, other)
        assert one[0].shape == (1, 3, 24, 24)
    views = MultiScaleViews(images, (1, 0.5))[0]
    width, height = images.image(0).size
    assert views[0].shape == (2, 3, height, width)
    assert images.ids == SAMPLE_IDS


# All pairs of VOC -------------------------------------------------------------------------


def test_pairs_beyond_one_block_of_rows(monkeypatch):
    labels = (torch.rand(50, 4, generator=torch.Generator().manual_seed(0)) < 0.3).to(torch.uint8)
    expected = labels.float() @ labels.float().T == 0
    for rows in (1, 7, 50, 1024):
        monkeypatch.setattr(method_inputs, "_ROWS", rows)
        assert torch.equal(class_disjoint(labels), expected)


def test_no_block_is_as_large_as_all_pairs(monkeypatch):
    """All of VOC's pairs as numbers would be 450 MB."""
    sizes, compare = [], torch.eq

    def counted(block, *rest, **out):
        sizes.append(len(block))
        return compare(block, *rest, **out)

    monkeypatch.setattr(torch, "eq", counted)
    assert class_disjoint(torch.zeros(3000, 2)).all()
    assert sum(sizes) == 3000 and max(sizes) <= 1024


def test_voc_gives_both_by_name():
    from ribnb.data import voc

    assert voc.MultiScaleViews is MultiScaleViews and voc.RandomBatches is RandomBatches
    with pytest.raises(AttributeError, match="no attribute 'RandomBatch'"):
        voc.RandomBatch  # noqa: B018
