"""Settings files: what is read as what, sections and groups, and what is refused with its line."""

import pytest

from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.core.settings_files import for_chapter, read_settings_file


class Method(Settings):
    """A group."""

    rate: float = setting(1.0, "of a step")
    steps: int = setting(1, "how many")


class Rib(Settings):
    """A chapter with the group."""

    seed: int = setting(3, "of all")
    rib: Method = setting({}, "how")


class Toy(Settings):
    """A chapter without it."""

    seed: int = setting(3, "of all")


CHAPTERS = {"rib": Rib, "toy": Toy}


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "s.yml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_settings_file(path)

    return read


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[("8e-6", 8e-6), ("1e3", 1000.0), (".5", 0.5), ("-3", -3), ("0", 0), ("true", True)],
        *[("null", None), ("~", None), ("[1, 2.5, a]", [1, 2.5, "a"])],
        *[("no", "no"), ("2007_000032", "2007_000032"), ("010", "010"), ("1:30", "1:30")],
        *[("2012-05-01", "2012-05-01"), ("0x1F", "0x1F"), ('"5"', "5"), ("'true'", "true")],
    ],
)
def test_what_a_value_is_read_as(read, written, value):
    found = read(f"name: {written}")["name"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"s.yml:3: not YAML: found duplicate key \"a\""),
        ("a:\n  b: 1\n  b: 1\n", "s.yml:3: not YAML: found duplicate key"),
        ("a: [1,\n", "s.yml:2: not YAML"),
        ("a: !!python/name:os.system\n", "not YAML: could not determine a constructor"),
        ("- a\n", "must be a mapping"),
        ("", "must be a mapping"),
        ("3: a\n", "the name 3 is not text; put it in quotes"),
        ("a: [{true: 1}]\n", "the name True is not text"),
        (b"a: \xff\n", "not YAML"),
    ],
)
def test_what_is_no_settings_file_is_refused(read, text, message):
    with pytest.raises(SettingsError, match=message):
        read(text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file of parameters"):
        read_settings_file(tmp_path / "none.yml")


def test_a_chapter_gets_what_is_for_all_its_groups_and_over_them_its_section(read):
    values = read(
        """
        seed: 4
        rib: {rate: 0.5, steps: 2}
        chapters:
          rib: {rib.steps: 3}
          toy: {seed: 5}
        batch: {shards: 2}
        """
    )
    given = for_chapter(values, "rib", CHAPTERS)
    assert given == {"seed": 4, "rib": {"rate": 0.5, "steps": 3}}
    assert Rib(**given).rib == Method(rate=0.5, steps=3)
    assert for_chapter(values, "toy", CHAPTERS) == {"seed": 5}


def test_a_dotted_name_is_a_group_at_the_top_too(read):
    values = read("rib.steps: 2\nrib.rate: 0.5\n")
    assert for_chapter(values, "rib", CHAPTERS) == {"rib": {"rate": 0.5, "steps": 2}}
    assert for_chapter(values, "toy", CHAPTERS) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chapters: {toi: {seed: 3}}", "'toi'; did you mean 'toy'"),
        ("chapters: 3", "chapters must be a mapping"),
        ("rbi: {steps: 3}", "'rbi'; did you mean 'rib'"),
    ],
)
def test_a_section_or_a_group_that_nothing_has_is_refused(read, text, message):
    with pytest.raises(SettingsError, match=message):
        for_chapter(read(text), "rib", CHAPTERS)
