"""What every self-check of the exercises must do."""


def name_of(value) -> str | None:
    return getattr(value, "__name__", None) if callable(value) else None


def assert_accepts(check, fn, capsys) -> None:
    assert check(fn) is True
    assert capsys.readouterr().out == f"{check.__name__.removeprefix('check_')}: right.\n"


def assert_names_the_mistake(check, words, fn, capsys) -> None:
    assert check(fn) is False
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert words in said
