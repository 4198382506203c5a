"""The self-check of the CRF's kernels: the right answer is accepted, each usual mistake named."""

import pytest
import torch
from checking import assert_accepts, assert_names_the_mistake, name_of

from ribnb.exercises import crf_checks
from ribnb.exercises.crf_checks import check_crf_kernels


def off_diagonal(strength):
    return strength - torch.diag(torch.diag(strength))


def pull(
    weigh=lambda smooth, place, colour, a, b: a * smooth + b * place * colour,
    bell=lambda d, w: torch.exp(-(d**2) / (2 * w**2)),
):
    """A reader's function, right but for what is said."""

    def fn(positions, colours, smooth_width, near_width, colour_width, smooth_weight, near_weight):
        apart = torch.cdist(positions, positions)
        unlike = torch.cdist(colours, colours)
        kernels = bell(apart, smooth_width), bell(apart, near_width), bell(unlike, colour_width)
        return off_diagonal(weigh(*kernels, smooth_weight, near_weight))

    return fn


right = pull()


def by_loops(
    positions, colours, smooth_width, near_width, colour_width, smooth_weight, near_weight
):
    strength = torch.zeros(len(positions), len(positions))
    for i, (p, c) in enumerate(zip(positions, colours, strict=True)):
        for j, (q, d) in enumerate(zip(positions, colours, strict=True)):
            if i != j:
                apart, unlike = ((p - q) ** 2).sum(), ((c - d) ** 2).sum()
                smooth = torch.exp(-apart / (2 * smooth_width**2))
                near = torch.exp(-apart / (2 * near_width**2) - unlike / (2 * colour_width**2))
                strength[i, j] = smooth_weight * smooth + near_weight * near
    return strength


def in_numpy(positions, colours, *numbers, **named):
    return right(positions, colours, *numbers, **named).numpy()


def with_self(
    positions, colours, smooth_width, near_width, colour_width, smooth_weight, near_weight
):
    named = {"smooth_width": smooth_width, "near_width": near_width, "colour_width": colour_width}
    strength = right(
        positions, colours, **named, smooth_weight=smooth_weight, near_weight=near_weight
    )
    return strength + (smooth_weight + near_weight) * torch.eye(len(positions))


def swapped_widths(positions, colours, smooth_width, near_width, **others):
    return right(positions, colours, smooth_width=near_width, near_width=smooth_width, **others)


def after(change):
    return lambda *arguments, **named: change(right(*arguments, **named))


WRONG = [
    ("a pixel does not pull itself", with_self),
    ("the 2 is missing", pull(bell=lambda d, w: torch.exp(-(d**2) / w**2))),
    ("the distance is not squared", pull(bell=lambda d, w: torch.exp(-d / (2 * w**2)))),
    ("the width is not squared", pull(bell=lambda d, w: torch.exp(-(d**2) / (2 * w)))),
    ("neither distance nor width is squared", pull(bell=lambda d, w: torch.exp(-d / (2 * w)))),
    ("the minus in the exponent is missing", pull(bell=lambda d, w: torch.exp(d**2 / 2 / w**2))),
    ("the weights are swapped", pull(lambda s, p, c, a, b: b * s + a * p * c)),
    ("the widths are swapped", swapped_widths),
    ("the colours are in the smoothness kernel", pull(lambda s, p, c, a, b: a * s * c + b * p * c)),
    ("no kernel knows the colours", pull(lambda s, p, c, a, b: a * s + b * p)),
    ("knows the colours alone", pull(lambda s, p, c, a, b: a * s + b * c)),
    ("two exponentials are added", pull(lambda s, p, c, a, b: a * s + b * (p + c))),
    ("this is the product of the two kernels", pull(lambda s, p, c, a, b: a * s * b * p * c)),
    ("the weights are missing", pull(lambda s, p, c, a, b: s + p * c)),
    ("the smoothness kernel is missing", pull(lambda s, p, c, a, b: b * p * c)),
    ("the appearance kernel is missing", pull(lambda s, p, c, a, b: a * s)),
    ("the sign is turned", after(lambda strength: -strength)),
    ("each row is divided by its sum", after(lambda strength: strength / strength.sum(1, True))),
    ("the shape is (12,); expected a strength for each two", after(lambda strength: strength[0])),
    ("off by up to", after(lambda strength: 2 * strength)),
    ("returns a str", after(lambda strength: "kernels")),
    ("returns nothing yet", after(lambda strength: None)),
    ("it raised ZeroDivisionError", after(lambda strength: 1 / 0)),
]


@pytest.mark.parametrize("fn", [right, by_loops, in_numpy], ids=name_of)
def test_accepts_what_is_right(fn, capsys):
    assert_accepts(check_crf_kernels, fn, capsys)


@pytest.mark.parametrize(("words", "fn"), WRONG, ids=name_of)
def test_names_the_mistake(words, fn, capsys):
    assert_names_the_mistake(check_crf_kernels, words, fn, capsys)


def test_every_mistake_that_the_check_knows_is_covered_and_differs(monkeypatch, capsys):
    """From the others and from the right answer, so that none is called by another's name."""
    known = {}

    def note(found, right, mistakes, example):
        known.update({"": right, **mistakes})
        return ""

    monkeypatch.setattr(crf_checks, "difference", note)
    check_crf_kernels(right)
    for mistake in known:
        assert not mistake or any(words in mistake for words, _ in WRONG), mistake
    answers = list(known.items())
    for place, (name, answer) in enumerate(answers):
        for other, value in answers[:place]:
            alike = torch.allclose(answer, value, rtol=1e-3, atol=1e-4)
            assert not alike, f"{name} is {other or 'right'}"


def test_says_that_it_is_not_written_yet(capsys):
    def unwritten(*_, **__):
        raise NotImplementedError

    assert check_crf_kernels(unwritten) is False
    assert "it is not written yet" in capsys.readouterr().out


def test_a_function_that_spoils_its_arguments_spoils_no_verdict(capsys):
    def spoiling(positions, colours, **numbers):
        answer = right(positions.clone(), colours.clone(), **numbers)
        positions.zero_(), colours.zero_()
        return answer

    assert check_crf_kernels(spoiling) is True
    assert check_crf_kernels(spoiling) is True


def test_does_not_move_the_global_random_state(capsys):
    before = torch.random.get_rng_state()
    check_crf_kernels(right)
    assert torch.equal(torch.random.get_rng_state(), before)
