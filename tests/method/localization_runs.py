"""Runs of `localization_maps` on a few images of noise, for its tests."""

import pytest
from small_split import Noise, few_steps, maps_in, net

from ribnb.method.localization import MapsReport, localization_maps

WORKERS = pytest.mark.parametrize("workers", [0, 2])


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    monkeypatch.setenv("RIBNB_PROGRESS", "off")


def run(folder, images=None, model=None, settings=None, **options) -> MapsReport:
    """`localization_maps`, with what is not given made up."""
    images, settings = Noise() if images is None else images, settings or few_steps()
    return localization_maps(model or net(), images, settings, folder, **options)


def times(folder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "maps").iterdir()}


def everything_in(folder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(name="undisturbed", scope="module")
def undisturbed_maps(tmp_path_factory):
    """The maps of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder)
    return maps_in(folder)
