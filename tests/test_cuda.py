"""The adaptation on a GPU: the CPU's maps, and what a small GPU's memory holds."""

import pytest
import torch
from plain_adaptation import small_net, some_views

from ribnb.models import CAMNet
from ribnb.rib import RIBSettings, adapt

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
GIB = 2**30


def nobody(count: int, num_classes: int):
    return [(torch.zeros(0, 3, 1, 1), torch.zeros(0, num_classes))] * count


def both(settings: RIBSettings):
    """The same image adapted to on the CPU in float32, and on the GPU as the settings say."""
    found = []
    for device in ("cpu", "cuda"):
        net = small_net().to(device)
        labels = torch.zeros(net.num_classes)
        labels[1] = 1
        precision = "float32" if device == "cpu" else settings.precision
        how = RIBSettings(**{**settings.as_dict(), "precision": precision})
        batches = nobody(how.iterations, net.num_classes)
        found.append(adapt(net, some_views(how), labels, batches, how))
    return found


def test_maps_in_float32_are_the_cpu_s():
    cpu, cuda = both(RIBSettings.paper(iterations=5, learning_rate=1e-4))
    torch.testing.assert_close(cuda.high_res, cpu.high_res, rtol=0, atol=1e-3)
    assert cuda.losses == pytest.approx(cpu.losses, rel=1e-3)


def test_labels_in_bfloat16_are_the_cpu_s():
    cpu, cuda = both(RIBSettings.paper(iterations=5, learning_rate=1e-4, precision="bfloat16"))
    agreement = ((cuda.high_res > 0.3) == (cpu.high_res > 0.3)).float().mean()
    assert agreement > 0.98


def test_the_default_settings_at_voc_size_fit_on_a_small_gpu():
    """Colab's T4 has 15 GB."""
    settings = RIBSettings.released(iterations=2)
    net = CAMNet("resnet50", 20).cuda()
    views = [torch.randn(2, 3, round(375 * s), round(500 * s)) for s in settings.scales]
    batch = torch.randn(20, 3, 512, 512), torch.eye(20)
    torch.cuda.reset_peak_memory_stats()
    adapt(net, views, torch.eye(20)[3], [batch] * 2, settings)
    assert torch.cuda.max_memory_allocated() < 14 * GIB
