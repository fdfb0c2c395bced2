"""CosFace's checkpoint: names, shapes and values of the recogniser that scores retrieval."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from mfs_lib.errors import AssetError
from mfs_lib.networks.sphereface import SphereFace
from mfs_lib.weights.convert.cosface import convert_cosface


@torch.no_grad()
def test_a_checkpoint_of_the_original_layout_gives_its_numbers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    # The original's names: a strided convolution with its PReLU, and pairs of plain ones in each block.
    original = {name: torch.randn(value.shape) * 0.05 for name, value in SphereFace().state_dict().items()}
    assert {"layer1.0.weight", "layer1.1.weight", "layer2.2.conv1.weight", "fc.weight"} <= original.keys()
    torch.save(original, tmp_path / "ACC99.28.pth")
    network = SphereFace().eval()
    network.load_state_dict(convert_cosface(tmp_path / "ACC99.28.pth"))
    face = torch.rand(2, 3, 112, 96)
    first = F.conv2d((face - 0.5) / 0.5, original["layer1.0.weight"], original["layer1.0.bias"], stride=2, padding=1)
    hooked = []
    network.layer1[0].register_forward_hook(lambda _, __, output: hooked.append(output))
    assert (network(face)[0] - network(face)[1]).abs().max() > 1e-4
    torch.testing.assert_close(hooked[0], first, rtol=1e-4, atol=1e-5)


def test_another_networks_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(512, 3)}, tmp_path / "x.pth")
    with pytest.raises(AssetError, match=r"CosFace.*missing: layer1"):
        convert_cosface(tmp_path / "x.pth")
