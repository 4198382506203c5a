"""Self-checks: the right answer is accepted, and each usual mistake is named in words."""

import pytest
import torch
from reader_answers import RIGHT, WRONG

from ribnb import exercises
from ribnb.exercises import tools

CHECKS = [getattr(exercises, name) for name in exercises.__all__]


def test_every_check_is_covered_here():
    assert {*RIGHT} == {*WRONG} == {*CHECKS}


def names(value) -> str | None:
    return getattr(value, "__name__", None) if callable(value) else None


@pytest.mark.parametrize(("check", "fn"), [(c, f) for c in RIGHT for f in RIGHT[c]], ids=names)
def test_accepts_what_is_right(check, fn, capsys):
    assert check(fn) is True
    assert capsys.readouterr().out == f"{check.__name__.removeprefix('check_')}: right.\n"


@pytest.mark.parametrize(
    ("check", "words", "fn"), [(c, *row) for c in WRONG for row in WRONG[c]], ids=names
)
def test_names_the_mistake(check, words, fn, capsys):
    assert check(fn) is False
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert words in said


@pytest.mark.parametrize("check", CHECKS)
def test_every_mistake_that_a_check_knows_is_covered_and_differs(check, monkeypatch, capsys):
    """From the others and from the right answer, so that none is called by another's name."""
    known = {}

    def note(given, right, mistakes, *_):
        known.update({"": right, **mistakes} if not known else {})
        return "noted"

    monkeypatch.setattr(tools, "difference", note)
    check(RIGHT[check][0])
    for mistake in known:
        assert not mistake or any(w.rstrip(".") in mistake for w, _ in WRONG[check]), mistake
    answers = list(known.items())
    for place, (name, answer) in enumerate(answers):
        for other, value in answers[:place]:
            alike = torch.allclose(answer.float(), value.float(), rtol=1e-3, atol=1e-4)
            assert not alike, f"{name} is {other or 'right'}"


def raising(error):
    def fn(*_, **__):
        raise error

    return fn


@pytest.mark.parametrize("check", CHECKS)
def test_says_what_a_function_raised_and_that_a_return_is_missing(check, capsys):
    for fn, words in (
        (raising(NotImplementedError), "it is not written yet"),
        (raising(KeyError("margin")), "it raised KeyError: 'margin'"),
        (lambda: 1, "it raised TypeError"),
        (lambda *_, **__: None, "returns nothing yet: end it with a return"),
    ):
        if check is not exercises.check_rib_step or "return" not in words:  # it returns nothing
            assert check(fn) is False
            assert words in capsys.readouterr().out


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_moves_no_random_state_and_a_function_may_write_into_what_it_gets(check, capsys):
    """A reader who tries an exercise gets the same numbers in the cells that follow."""

    def spoiling(*given, **numbers):
        answer = RIGHT[check][0](*given, **numbers)
        for one in given:
            if isinstance(one, torch.Tensor) and not one.requires_grad:
                one.zero_()
        return answer

    before = torch.random.get_rng_state()
    assert check(spoiling) is True
    assert check(spoiling) is True
    assert torch.equal(torch.random.get_rng_state(), before)
