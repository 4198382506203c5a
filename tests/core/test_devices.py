"""Devices: what is absent or misspelt is refused in words; float32 is what was asked for."""

import pytest
import torch
from torch import nn

from ribnb.core.devices import autocast, float32_mode, resolve_device


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that the machine has this many CUDA GPUs, and no Apple GPU."""

    def pretend(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(2, True, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_takes_the_best_there_is(gpus, cuda, mps, best):
    gpus(cuda, mps)
    assert resolve_device("auto") == resolve_device() == torch.device(best)
    for name in (f"cuda:{cuda - 1}" if cuda else "cpu", "cpu"):
        assert resolve_device(name) == torch.device(name)


def test_an_unknown_name_or_a_device_that_is_not_there_is_refused(gpus):
    with pytest.raises(ValueError, match=r"one of float32, .*; got 'high'"), float32_mode("high"):
        pass
    for name in ("tpu", "cuda:-1"):
        with pytest.raises(ValueError, match="must be 'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'"):
            resolve_device(name)
    for name, cuda in (("cuda", 0), ("cuda:2", 2), ("mps", 1)):
        gpus(cuda=cuda)
        with pytest.raises(ValueError, match=f"'{name}', but PyTorch sees .*device = 'auto' takes"):
            resolve_device(name)


# Precision --------------------------------------------------------------------------------

CPU = torch.device("cpu")


PLACES = torch.backends.cudnn.conv, torch.backends.cuda.matmul


def switches() -> list[str]:
    """What CUDA's convolutions and matrix products make of float32."""
    return [place.fp32_precision for place in PLACES]


@pytest.fixture
def untouched():
    """Both switches afterwards as they were."""
    before = switches()
    yield
    for place, value in zip(PLACES, before, strict=True):
        place.fp32_precision = value


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "tf32"])
@pytest.mark.parametrize("before", [("ieee", "tf32"), ("tf32", "ieee")])
def test_only_tf32_rounds_and_after_it_all_is_as_before(untouched, precision, before):
    """Also after an error, and whichever switches a notebook has set."""
    for place, value in zip(PLACES, before, strict=True):
        place.fp32_precision = value
    with pytest.raises(KeyError), float32_mode(precision):
        assert switches() == ["tf32" if precision == "tf32" else "ieee"] * 2
        raise KeyError
    assert switches() == [*before]


@pytest.mark.parametrize("outer", [False, True])
def test_autocast_runs_convolutions_in_the_asked_precision_also_within_another(outer):
    layer, images = nn.Conv2d(3, 2, 1), torch.ones(1, 3, 4, 4)
    dtypes = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=outer):
        for precision, dtype in dtypes.items():
            with autocast(precision, CPU):
                assert layer(images).dtype == dtype
        assert layer(images).dtype == (torch.bfloat16 if outer else torch.float32)
    assert layer.weight.dtype == torch.float32


def test_weights_changed_between_two_autocasts_are_seen():
    """PyTorch keeps the rounded weights until the outermost autocast ends."""
    layer, images = nn.Conv2d(3, 2, 1, bias=False), torch.ones(1, 3, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with autocast("bfloat16", CPU):
            before = layer(images)
        with torch.no_grad():
            layer.weight.add_(1)
        with autocast("bfloat16", CPU):
            assert (layer(images) - before).min() > 2
