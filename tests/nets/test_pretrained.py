"""Published weights: from the cache without a network, and in words where they cannot be had."""

import hashlib
import io

import pytest
import torch
import torchvision
from broken_server import serving
from torchvision.models import Weights, WeightsEnum

from ribnb.book.classifier import VOCClassifierSettings
from ribnb.book.splits import IMAGENET
from ribnb.nets.weights import pretrained_state

STATE = {"conv1.weight": torch.arange(6.0).reshape(2, 3)}


def file_of(state) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


CONTENT = file_of(STATE)
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder where torchvision looks for its files."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setenv("RIBNB_PROGRESS", "off")
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def weights_at(address: str) -> WeightsEnum:
    class Net_Weights(WeightsEnum):
        IMAGENET1K_V1 = Weights(url=address, transforms=None, meta={})

    return Net_Weights.IMAGENET1K_V1


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_file_in_the_cache_needs_no_server(cache):
    (cache / NAME).write_bytes(CONTENT)
    assert same(pretrained_state(weights_at(f"http://127.0.0.1:9/{NAME}")), STATE)


def test_the_chapter_takes_torchvisions_weights_from_the_cache(cache, monkeypatch):
    """A file that was fetched by hand, before the machine went offline."""
    monkeypatch.setattr("torch.hub.download_url_to_file", pytest.fail)
    source = torchvision.models.resnet18()
    address = torchvision.models.ResNet18_Weights[IMAGENET].url
    torch.save(source.state_dict(), cache / address.rsplit("/", 1)[-1])
    settings = VOCClassifierSettings(dataset="voc", data_root="data", net={"arch": "resnet18"})
    net = settings.first_net(20)
    assert settings.net.weights == IMAGENET
    assert torch.equal(net.backbone.layer4[1].conv2.weight, source.layer4[1].conv2.weight)


def test_a_download_is_kept(cache):
    with serving() as server:
        server.content = CONTENT
        weights = weights_at(f"http://127.0.0.1:{server.server_port}/{NAME}")
        for _ in range(2):
            assert same(pretrained_state(weights), STATE)
        assert len(server.ranges) == 1
    assert (cache / NAME).read_bytes() == CONTENT


def refused(weights, cache) -> str:
    """The complaint, after making sure that it names the address and where the file must lie."""
    with pytest.raises(OSError, match=r"Net_Weights\.IMAGENET1K_V1 could not be read") as caught:
        pretrained_state(weights)
    said = str(caught.value)
    assert f"Fetch that file by hand to {cache / NAME}" in said
    assert weights.url in said
    return said


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "404"), (b"<html>an error page</html>", "hash"), (CONTENT[:-9], "hash")],
)
def test_what_cannot_be_downloaded_is_said_and_not_kept(cache, content, why):
    with serving() as server:
        server.content = content
        weights = weights_at(f"http://127.0.0.1:{server.server_port}/{NAME}")
        assert why in refused(weights, cache)
        assert list(cache.iterdir()) == []
        # afterwards a good one is taken
        server.content = CONTENT
        assert same(pretrained_state(weights), STATE)


def test_without_a_network_it_is_said(cache):
    with serving() as server:
        address = f"http://127.0.0.1:{server.server_port}/{NAME}"
    assert "refused" in refused(weights_at(address), cache)


@pytest.mark.parametrize(
    "content", [b"", b"<html>an error page</html>", b"hello", CONTENT[: len(CONTENT) // 2]]
)
def test_a_damaged_file_in_the_cache_is_named(cache, content):
    (cache / NAME).write_bytes(content)
    refused(weights_at(f"http://127.0.0.1:9/{NAME}"), cache)
