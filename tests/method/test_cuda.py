"""The adaptation on a GPU: the CPU's maps, and what a small GPU's memory holds."""

import pytest
import torch
from plain_adaptation import small_net, some_views

from ribnb.core.devices import PRECISIONS
from ribnb.method import RIBSettings, adapt
from ribnb.nets.cam_net import CAMNet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
GIB = 2**30


@pytest.mark.parametrize("precision", PRECISIONS)
def test_maps_are_the_cpu_s(precision):
    """In float32 the numbers, else the labels."""
    settings = RIBSettings.paper(iterations=5, learning_rate=1e-4, batch_size=1)
    labels, nobody = torch.eye(5)[1], [(torch.zeros(0, 3, 1, 1), torch.zeros(0, 5))] * 5
    cpu = adapt(small_net(), some_views(settings), labels, nobody, settings)
    settings = settings.replace(precision=precision)
    cuda = adapt(small_net().cuda(), some_views(settings), labels, nobody, settings)
    assert ((cuda.high_res > 0.3) == (cpu.high_res > 0.3)).float().mean() > 0.98
    if precision == "float32":
        torch.testing.assert_close(cuda.high_res, cpu.high_res, rtol=0, atol=1e-3)
        assert cuda.losses == pytest.approx(cpu.losses, rel=1e-3)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_default_settings_at_voc_size_fit_on_a_small_gpu(precision):
    """Colab's T4 has 15 GB."""
    unstopped = {"flood_share": None, "margin": 1e9}
    settings = RIBSettings.released(iterations=2, precision=precision, **unstopped)
    net = CAMNet("resnet50", 20).cuda()
    views = [torch.randn(2, 3, round(375 * s), round(500 * s)) for s in settings.scales]
    batch = torch.randn(20, 3, 512, 512), torch.eye(20)
    torch.cuda.reset_peak_memory_stats()
    adapt(net, views, torch.eye(20)[3], [batch] * 2, settings)
    assert torch.cuda.max_memory_allocated() < 14 * GIB
