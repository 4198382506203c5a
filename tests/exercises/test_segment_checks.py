"""The self-check on the loss of a mask: the right answer is accepted, each usual mistake named."""

import pytest
import torch
import torch.nn.functional as F
from checking import assert_accepts, assert_names_the_mistake, name_of

from ribnb.exercises import segment_checks
from ribnb.exercises.segment_checks import check_mask_loss

IGNORED = 255


def as_the_chapter_does(logits, mask):
    return F.cross_entropy(logits[None], mask[None].long(), ignore_index=IGNORED)


def by_selection(logits, mask):
    """Labelled pixels alone, as a batch of vectors."""
    labelled = mask != IGNORED
    return F.cross_entropy(logits[:, labelled].T, mask[labelled].long())


def by_loops(logits, mask):
    losses = [
        torch.logsumexp(logits[:, row, column], 0) - logits[label, row, column]
        for row, labels in enumerate(mask.tolist())
        for column, label in enumerate(labels)
        if label != IGNORED
    ]
    return sum(losses) / len(losses)


def each(logits, mask):
    """The loss of each pixel, that of background where it is ignored."""
    return F.cross_entropy(logits[None], cleared(mask)[None], reduction="none")[0]


def cleared(mask):
    return torch.where(mask == IGNORED, 0, mask.long())


def share(logits, mask):
    """The probability of its own label, at each labelled pixel."""
    found = logits.softmax(0).gather(0, cleared(mask)[None])[0]
    return found[mask != IGNORED]


def without_a_gradient(logits, mask):
    return as_the_chapter_does(logits, mask).item()


RIGHT = [
    as_the_chapter_does,
    by_selection,
    by_loops,
    lambda logits, mask: as_the_chapter_does(logits, mask)[None],  # one number all the same
]
WRONG = [
    ("pixels of 255 count as background", lambda z, m: each(z, m).mean()),
    ("take the mean", lambda z, m: each(z, m)[m != IGNORED].sum()),
    ("divided by all pixels", lambda z, m: (each(z, m) * (m != IGNORED)).mean()),
    ("the sign is turned", lambda z, m: -as_the_chapter_does(z, m)),
    ("the background is left out", lambda z, m: each(z, m)[(m != IGNORED) & (m > 0)].mean()),
    ("the softmax is taken twice", lambda z, m: as_the_chapter_does(z.softmax(0), m)),
    ("the logarithm is missing.", lambda z, m: -share(z, m).mean()),
    ("the logarithm is missing and so is the sign", lambda z, m: share(z, m).mean()),
    ("it has no gradient", without_a_gradient),
    ("returns the shape (5, 6); expected ()", each),
    ("it gives", lambda z, m: 2 * as_the_chapter_does(z, m)),
    ("it raised IndexError", lambda z, m: F.cross_entropy(z[None], m[None].long())),
    ("it raised RuntimeError", lambda z, m: F.cross_entropy(z[None], m[None])),
    ("returns a str", lambda z, m: "a loss"),
    ("returns nothing yet: end it with a return", lambda z, m: None),
]


@pytest.mark.parametrize("fn", RIGHT, ids=name_of)
def test_accepts_what_is_right(fn, capsys):
    assert_accepts(check_mask_loss, fn, capsys)


@pytest.mark.parametrize(("words", "fn"), WRONG)
def test_names_the_mistake(words, fn, capsys):
    assert_names_the_mistake(check_mask_loss, words, fn, capsys)


def test_every_check_is_covered_here():
    assert [n for n in vars(segment_checks) if n.startswith("check_")] == ["check_mask_loss"]


def test_every_mistake_that_the_check_knows_is_covered_and_differs(monkeypatch, capsys):
    """From the others and from the right answer, so that none is called by another's name."""
    known = {}

    def note(found, right, mistakes, example):
        known.update({"": right, **mistakes})
        return ""

    monkeypatch.setattr(segment_checks, "difference", note)
    check_mask_loss(lambda logits, mask: logits.sum())
    for mistake in known:
        assert not mistake or any(words.rstrip(".") in mistake for words, _ in WRONG), mistake
    values = torch.stack([value.float() for value in known.values()])
    gaps = (values[:, None] - values).abs() + torch.eye(len(values))
    assert gaps.min() > 1e-3


def test_says_what_a_function_raised(capsys):
    def unwritten(*_):
        raise NotImplementedError

    assert check_mask_loss(unwritten) is False
    assert "it is not written yet" in capsys.readouterr().out
    assert check_mask_loss(lambda: 1) is False
    assert "it raised TypeError" in capsys.readouterr().out


def test_a_function_that_spoils_its_arguments_spoils_no_verdict(capsys):
    def spoiling(logits, mask):
        answer = as_the_chapter_does(logits, mask)
        mask.zero_()
        with torch.no_grad():
            logits.zero_()
        return answer

    assert check_mask_loss(spoiling) is True
    capsys.readouterr()


def test_does_not_move_the_global_random_state(capsys):
    """A reader who tries the exercise gets the same numbers in the cells that follow."""
    before = torch.random.get_rng_state()
    check_mask_loss(as_the_chapter_does)
    assert torch.equal(torch.random.get_rng_state(), before)
