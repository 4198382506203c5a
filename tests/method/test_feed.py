"""The feed of a split's adaptation: views, then batches, of one target after the other."""

import multiprocessing
import os
import signal
import time

import pytest
import torch
from plain_adaptation import one_thread  # noqa: F401
from small_split import LABELS, Noise, few_steps
from torch.utils.data._utils import signal_handling

from ribnb.data.views import multi_scale_views
from ribnb.method.inputs import AdaptationInputs, Feed

WORKERS = pytest.mark.parametrize("workers", [0, 2])


# The feed ---------------------------------------------------------------------------------


def equal(batch, inputs, target, step) -> bool:
    expected = inputs.batch(target, step)[0]
    return all(torch.equal(one, other) for one, other in zip(batch, expected, strict=True))


def has_views(views, target) -> bool:
    expected = multi_scale_views(Noise().image(target), (1, 0.5))
    return all(torch.equal(one, other) for one, other in zip(views, expected, strict=True))


@WORKERS
def test_gives_each_target_its_views_and_batches_in_order(workers):
    inputs, targets = AdaptationInputs(Noise(), few_steps()), [2, 0, 7, 3]
    feed = Feed(inputs, targets, workers)
    for target in targets:
        assert has_views(feed.views(target), target)
        batches = list(feed.batches())
        assert len(batches) == 2
        assert all(equal(batch, inputs, target, step) for step, batch in enumerate(batches))
        feed.finish(target)
    feed.close()
    assert feed.unreadable == {}


@WORKERS
def test_a_target_that_stops_early_does_not_disturb_the_next(workers):
    """Whether it took its views only, or some of its batches, or all."""
    inputs = AdaptationInputs(Noise(), few_steps(iterations=6))
    feed = Feed(inputs, range(9), workers)
    for target in range(9):
        assert has_views(feed.views(target), target)
        batches = feed.batches()
        for step in range(target % 6):
            assert equal(next(batches), inputs, target, step)
        feed.finish(target)
    feed.close()


class Counted(Noise):
    """Counts, over all processes, how often an image is read."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.count = multiprocessing.get_context("fork").Value("i", 0)

    def image(self, index):
        with self.count.get_lock():
            self.count.value += 1
        return super().image(index)


@pytest.mark.parametrize("broken", [(), (0, 3, 4)])
def test_nothing_is_read_of_what_has_stopped_or_failed(broken):
    """Without workers nothing is read ahead at all."""
    images = Counted(LABELS, ((32, 24),), broken)
    feed = Feed(AdaptationInputs(images, few_steps()), range(9))
    for target in range(9):
        if target in broken:
            with pytest.raises(OSError):
                feed.views(target)
        else:
            feed.views(target)
            feed.finish(target)
        assert images.count.value == target + 1


def test_workers_read_little_of_what_has_stopped():
    images, steps = Counted([[0, 0, 1], [1, 0, 0]] * 10), 50
    settings = few_steps(iterations=steps + 1, batch_size=1)
    feed = Feed(AdaptationInputs(images, settings), range(20), 2)
    for target in range(20):
        feed.views(target)
        feed.finish(target)
    feed.close()
    assert 20 <= images.count.value <= 20 * 5  # of 20 * 51: each worker is two items ahead


def test_ctrl_c_does_not_reach_the_workers():
    """They would end in the middle of an item, with a traceback of their own."""
    inputs = AdaptationInputs(Noise(), few_steps())
    feed = Feed(inputs, range(9), 2)
    feed.views(0)
    batches = feed.batches()
    found = [next(batches)]  # now both workers have begun
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGINT)
    found += batches
    assert all(equal(batch, inputs, 0, step) for step, batch in enumerate(found))
    for target in range(1, 9):
        assert has_views(feed.views(target), target)
        assert len(list(feed.batches())) == 2
    feed.close()


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
