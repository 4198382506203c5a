"""Settings of the chapter ``paper_and_code``: what it refuses, and what its hash knows."""

import pytest

from ribnb.book.paper_and_code_settings import PaperAndCodeSettings
from ribnb.core.settings import SettingsError
from ribnb.nets.scene_nets import CHECKPOINTS, TRAINED


@pytest.mark.parametrize("seed", TRAINED)
def test_every_seed_it_takes_has_a_net_in_the_package(seed):
    assert PaperAndCodeSettings(seed=seed).seed == seed
    assert (CHECKPOINTS / f"scenes_{seed}.safetensors").is_file()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": 6}, "seed = 6 is not allowed"),
        ({"resamples": 0}, "resamples = 0 is not allowed; it must be at least 1"),
        ({"resamples": 1e3}, "resamples = 1000.0 is of type float"),
        ({"results": None}, "results = None"),
        ({"results": "nowhere"}, "results = 'nowhere' is no folder"),
        ({"result": "runs"}, "did you mean 'results'"),
    ],
)
def test_refuses_in_words(values, message):
    with pytest.raises(SettingsError, match=message):
        PaperAndCodeSettings.from_mapping(values)


def test_the_hash_knows_what_is_computed_and_not_where_results_lie(tmp_path):
    hashes = [
        PaperAndCodeSettings(**values).hash()
        for values in ({}, {"results": str(tmp_path)}, {"seed": 4}, {"resamples": 50})
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
