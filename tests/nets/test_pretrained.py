"""Published weights: from the cache without a network, and in words where they cannot be had."""

import hashlib
import io

import pytest
import torch
from broken_server import serving
from torchvision.models import Weights, WeightsEnum

from ribnb.nets.published import starting_weights

STATE = {"conv1.weight": torch.arange(6.0).reshape(2, 3)}


FILE = io.BytesIO()
torch.save(STATE, FILE)
CONTENT = FILE.getvalue()
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder where torchvision looks for its files."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def weights_at(port: int) -> WeightsEnum:
    class Net_Weights(WeightsEnum):
        IMAGENET1K_V1 = Weights(f"http://127.0.0.1:{port}/{NAME}", transforms=None, meta={})

    return Net_Weights.IMAGENET1K_V1


def is_state(found) -> bool:
    return found.keys() == STATE.keys() and torch.equal(*found.values(), *STATE.values())


def refused(weights, cache) -> str:
    """The complaint, after making sure that it names the address and where the file must lie."""
    with pytest.raises(OSError, match=r"Net_Weights\.IMAGENET1K_V1 could not be read") as caught:
        starting_weights("net", weights)
    said = str(caught.value)
    assert f"Fetch that file by hand to {cache / NAME}" in said
    assert weights.url in said
    return said


@pytest.mark.parametrize(("content", "why"), [(None, "404"), (CONTENT[:-9], "hash")])
def test_what_cannot_be_downloaded_is_said_and_the_cache_needs_no_network(cache, content, why):
    with serving(content=content) as server:
        weights = weights_at(server.server_port)
        assert why in refused(weights, cache)
        assert list(cache.iterdir()) == []
        server.content = CONTENT  # afterwards a good one is taken, and kept
        assert is_state(starting_weights("net", weights))
    assert is_state(starting_weights("net", weights))  # without a network
    (cache / NAME).unlink()
    assert "refused" in refused(weights, cache)


@pytest.mark.parametrize("content", [b"<html>an error page</html>", CONTENT[:300]])
def test_a_damaged_file_in_the_cache_is_named(cache, content):
    (cache / NAME).write_bytes(content)
    assert str(cache / NAME) in refused(weights_at(9), cache)
