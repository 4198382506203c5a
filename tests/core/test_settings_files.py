"""Files of parameters, with a section for what one chapter alone gets."""

import pytest

from ribnb.core.settings import SettingsError
from ribnb.core.settings_files import for_chapter, read_settings_file

CHAPTERS = ("one", "two")


def read(tmp_path, text):
    (tmp_path / "some.yml").write_text(text)
    return read_settings_file(tmp_path / "some.yml")


def test_a_section_goes_to_its_chapter_and_over_what_all_get(tmp_path):
    values = read(tmp_path, "seed: 1\nscales: [1, 2]\none:\n  seed: 2\n  word: x\n")
    assert for_chapter(values, "one", CHAPTERS) == {"seed": 2, "scales": [1, 2], "word": "x"}
    assert for_chapter(values, "two", CHAPTERS) == {"seed": 1, "scales": [1, 2]}


def test_a_section_for_no_chapter_is_refused_with_the_nearest(tmp_path):
    values = read(tmp_path, "oen:\n  seed: 2\n")
    with pytest.raises(SettingsError, match=r"'oen'; did you mean 'one'"):
        for_chapter(values, "two", CHAPTERS)


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "", "7", "1: 2\n"])
def test_what_is_no_mapping_of_names_is_refused(tmp_path, text):
    with pytest.raises(
        ValueError, match=r"some\.yml(:1: the name '1' is not text| must be a mapping)"
    ):
        read(tmp_path, text)


def test_what_is_not_yaml_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"some\.yml:\d+: not"):
        read(tmp_path, "a: [1\nb: 2")
