"""What the method looks at: views at several scales, random batches; fed one after the other."""

import contextlib
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image
from small_split import LABELS, Noise, few_steps
from torch.utils.data._utils import signal_handling

from ribnb.data.views import multi_scale_views, to_tensor
from ribnb.method.inputs import AdaptationInputs, Feed

WORKERS = pytest.mark.parametrize("workers", [0, 2])
CHOICES = pytest.mark.parametrize("choice", ["random", "disjoint"])


class Plain(Noise):
    """Image i is of one colour, which tells i, however it is cropped and resized."""

    def image(self, index):
        super().image(index)
        return Image.new("RGB", (32, 24), (10 + 10 * index, 0, 0))


SHADES = [to_tensor(Plain().image(index))[0, 0, 0].item() for index in range(len(LABELS))]


def shown_in(images) -> list[int]:
    """Which of the plain images the views (b, 3, H, W) are of."""
    return [
        index
        for view in images
        for index, shade in enumerate(SHADES)
        if (view[0] - shade).abs().min() < 1e-3
    ]


def plain_batch(target, step, labels=LABELS, broken=(), **settings):
    inputs = AdaptationInputs(Plain(labels, broken=broken), few_steps(**settings))
    return inputs.batch(target, step)[0]


# The other images of a batch --------------------------------------------------------------


@CHOICES
def test_a_batch_holds_other_images_each_once(choice):
    for target in range(len(LABELS)):
        for step in range(5):
            images, labels = plain_batch(target, step, batch_choice=choice)
            shown = shown_in(images)
            assert len(shown) == len(images) == len(set(shown))
            assert target not in shown
            assert labels.tolist() == [LABELS[index] for index in shown]
            if choice == "disjoint":
                assert not (labels & torch.tensor(LABELS[target])).any()


@CHOICES
def test_a_batch_is_as_large_as_asked_for_or_as_can_be(choice):
    """Image 0 has 5 disjoint ones, image 6 only one; who is alone has an empty batch."""
    for batch_size in (1, 4, 50):
        for target, disjoint in ((0, 5), (6, 1)):
            most = disjoint if choice == "disjoint" else len(LABELS) - 1
            images, labels = plain_batch(target, 0, batch_size=batch_size, batch_choice=choice)
            assert len(images) == len(labels) == min(batch_size, most)
    images, labels = plain_batch(0, 0, labels=[[1, 0, 0]], batch_choice=choice)
    assert (len(images), labels.shape) == (0, (0, 3))


def test_a_batch_depends_on_seed_target_and_step_alone():
    def batch(target=0, step=0, seed=0):
        return AdaptationInputs(Noise(), few_steps(seed=seed)).batch(target, step)[0]

    first = batch()
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert equal(first, batch())
    # image 8 has the labels of image 0, and so the same candidates
    for other in (batch(seed=1), batch(target=8), batch(step=1)):
        assert not torch.equal(other[0], first[0])
    chosen = {tuple(shown_in(plain_batch(0, step)[0])) for step in range(20)}
    assert len(chosen) > 10


def test_without_a_crop_and_a_long_side_the_others_are_whole():
    settings = few_steps(crop_size=0, long_side_min=0, long_side_max=0)
    images = Noise(LABELS[:2])
    (views, _), _ = AdaptationInputs(images, settings).batch(0, 0)
    whole = to_tensor(images.image(1))
    assert any(torch.equal(views[0], view) for view in (whole, whole.flip(-1)))


# Images that cannot be read ---------------------------------------------------------------


def test_an_unreadable_image_is_left_out_of_a_batch_and_named():
    inputs = AdaptationInputs(Plain(broken=(2,)), few_steps(batch_size=5))
    (images, labels), unreadable = inputs.batch(0, 0)
    assert unreadable == {"n002": "image n002 cannot be read"}
    assert sorted(shown_in(images)) == [1, 4, 5, 7]
    assert labels.tolist() == [LABELS[index] for index in shown_in(images)]


# The feed ---------------------------------------------------------------------------------


def equal(these, those) -> bool:
    return all(torch.equal(one, other) for one, other in zip(these, those, strict=True))


@WORKERS
def test_a_target_that_stops_early_does_not_disturb_the_next(workers):
    """Whether it took its views only, or some of its batches, or all; all in order."""
    inputs = AdaptationInputs(Noise(), few_steps(iterations=6))
    feed = Feed(inputs, range(9), workers)
    for target in range(9):
        assert equal(feed.views(target), multi_scale_views(Noise().image(target), (1, 0.5)))
        batches = feed.batches()
        for step in range(target % 6):
            assert equal(next(batches), inputs.batch(target, step)[0])
    feed.close()


@pytest.mark.parametrize("broken", [(), (0, 3, 4)])
def test_nothing_is_read_of_what_has_stopped_or_failed(broken):
    """Without workers nothing is read ahead at all."""
    images = Noise(broken=broken)
    feed = Feed(AdaptationInputs(images, few_steps()), range(9))
    for target in range(9):
        with pytest.raises(OSError) if target in broken else contextlib.nullcontext():
            feed.views(target)
        assert images.shown == list(range(target + 1))


def start_and_die(monkeypatch, alive) -> None:
    """Start a feed's workers, and be killed before they have begun; `alive` stays open in them."""
    here = os.getpid()

    def wait_for_the_kill():
        while os.getppid() == here:
            time.sleep(0.01)

    # what a worker does first of all
    monkeypatch.setattr(signal_handling, "_set_worker_signal_handlers", wait_for_the_kill)
    feed = Feed(AdaptationInputs(Noise(), few_steps()), range(9), 2)
    alive.send([worker.pid for worker in multiprocessing.active_children()])
    os.kill(here, signal.SIGKILL)
    feed.close()


def test_no_worker_outlives_a_process_that_was_killed_while_they_started(monkeypatch):
    """A worker that waits for work from nobody would hold files and a terminal's pipe for ever."""
    fork = multiprocessing.get_context("fork")
    here, alive = fork.Pipe(duplex=False)
    killed = fork.Process(target=start_and_die, args=(monkeypatch, alive))
    killed.start()
    alive.close()
    workers = here.recv()
    assert len(workers) == 2
    ended = here.poll(20)  # the pipe's end, once nobody holds its other one
    for pid in workers if not ended else ():
        os.kill(pid, signal.SIGKILL)
    killed.join()
    assert ended, "workers were still there after 20 s"
