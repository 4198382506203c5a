"""Devices: what is absent or misspelt is refused in words."""

import pytest
import torch

from ribnb.devices import device_name, resolve_device


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that the machine has this many CUDA GPUs, and no Apple GPU."""

    def pretend(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "best"),
    [(2, False, "cuda"), (1, True, "cuda"), (0, True, "mps"), (0, False, "cpu")],
)
def test_auto_takes_the_best_there_is(gpus, cuda, mps, best):
    gpus(cuda, mps)
    assert resolve_device("auto") == resolve_device() == torch.device(best)


def test_a_device_that_is_there_may_be_named(gpus):
    gpus(cuda=2, mps=True)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1", "mps"):
        assert resolve_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["tpu", "", "CPU", "cuda:", "cuda:-1", "cuda:1,2", "cpu\n"])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match="must be 'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'"):
        resolve_device(name)


@pytest.mark.parametrize(("name", "cuda"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_gpu_that_is_not_there_is_refused(gpus, name, cuda):
    gpus(cuda=cuda)
    with pytest.raises(ValueError, match=f"'{name}', but PyTorch sees {cuda} CUDA GPUs"):
        resolve_device(name)


def test_an_apple_gpu_that_is_not_there_is_refused(gpus):
    gpus()
    with pytest.raises(ValueError, match="no Apple GPU; use 'auto'"):
        resolve_device("mps")


def test_the_record_names_the_processor_and_its_threads():
    assert device_name(torch.device("cpu")).startswith("CPU (")
    assert f"{torch.get_num_threads()} threads" in device_name(torch.device("cpu"))
