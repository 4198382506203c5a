"""Published weights: from the cache without a network, and in words where they cannot be had."""

import io

import pytest
import torch
from torchvision.models import Weights, WeightsEnum

from ribnb.nets.published import starting_weights

STATE = {"conv1.weight": torch.arange(6.0).reshape(2, 3)}
FILE = io.BytesIO()
torch.save(STATE, FILE)
CONTENT = FILE.getvalue()


class Net_Weights(WeightsEnum):
    IMAGENET1K_V1 = Weights("http://127.0.0.1:9/net.pth", transforms=None, meta={})


WEIGHTS = Net_Weights.IMAGENET1K_V1


@pytest.mark.parametrize("content", [None, b"<html>an error page</html>", CONTENT[:300]])
def test_what_cannot_be_had_is_said_and_the_cache_needs_no_network(tmp_path, monkeypatch, content):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    path = tmp_path / "checkpoints" / "net.pth"
    path.parent.mkdir()
    if content:
        path.write_bytes(content)
    with pytest.raises(OSError, match=r"Net_Weights\.IMAGENET1K_V1 could not be read") as caught:
        starting_weights("net", WEIGHTS)
    assert f"Fetch that file by hand to {path}" in str(caught.value)
    assert WEIGHTS.url in str(caught.value)
    path.write_bytes(CONTENT)
    found = starting_weights("net", WEIGHTS)
    assert found.keys() == STATE.keys() and torch.equal(*found.values(), *STATE.values())


def test_a_download_is_compared_with_its_checksum(monkeypatch):
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda _, **how: how)
    assert starting_weights("net", WEIGHTS)["check_hash"]
