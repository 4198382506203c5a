"""Maps of several runs in one folder."""

import os

import pytest

from ribnb.method.map_gathering import gather_maps


def run(folder, name, record="{}", cam=None):
    for place in ("", "cam"):
        maps = folder / place / "maps"
        maps.mkdir(parents=True)
        (maps / f"{name}.npz").write_text(f"{place} {name}")
        (maps / f".{name}.npz.123").write_text("half")  # of a process that was killed
        (folder / place / "maps.json").write_text(record if not place else cam or record)
    (folder / "steps").mkdir()
    (folder / "steps" / f"{name}.json").write_text(name)
    return folder


def files(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("links", [True, False])
def test_all_maps_lie_together_and_take_no_more_room(tmp_path, monkeypatch, links):
    folders = [run(tmp_path / "A", "a"), run(tmp_path / "B", "b")]
    if not links:

        def refuse(source, target):
            raise OSError("another file system")

        monkeypatch.setattr(os, "link", refuse)
    assert gather_maps(folders, tmp_path / "C") == 6
    expected = {"maps/a.npz": " a", "maps/b.npz": " b", "steps/a.json": "a", "steps/b.json": "b"}
    expected |= {"cam/maps/a.npz": "cam a", "cam/maps/b.npz": "cam b"}
    expected |= {"maps.json": "{}", "cam/maps.json": "{}"}
    assert files(tmp_path / "C") == expected
    same = os.path.samefile(tmp_path / "A/maps/a.npz", tmp_path / "C/maps/a.npz")
    assert same == links
    assert gather_maps(folders, tmp_path / "C") == 0  # again: nothing to do


@pytest.mark.parametrize("differs", [{"record": "{1}"}, {"cam": "{1}"}])
def test_maps_that_were_made_in_other_ways_do_not_go_together(tmp_path, differs):
    folders = [run(tmp_path / "A", "a"), run(tmp_path / "B", "b", **differs)]
    with pytest.raises(ValueError, match=r"maps\.json differ: their maps do not belong together"):
        gather_maps(folders, tmp_path / "C")


def test_runs_without_maps_add_nothing(tmp_path):
    (tmp_path / "A").mkdir()
    assert gather_maps([tmp_path / "A"], tmp_path / "C") == 0
