"""VGG-19: torchvision's ImageNet weights (vgg19-dcbb9e9d.pth, BSD-3-Clause) to our module's state.

Names agree. The file holds 38 entries: 26 that the perceptual loss needs, and those of three more convolutions and of
the classifier, which are left out (half a gigabyte).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.networks.vgg import VGG19Features
from mfs_lib.weights.convert.plain_state import read_plain_state

_LATER = {f"features.{index}": (512, 512, 3, 3) for index in (30, 32, 34)}
_CLASSIFIER = {"classifier.0": (4096, 25088), "classifier.3": (4096, 4096), "classifier.6": (1000, 4096)}


def convert_vgg19(path: Path) -> dict[str, Tensor]:
    """State of ``networks.vgg.VGG19Features`` from the checkpoint.

    Raises:
        AssetError: unreadable, or not all of that network's state.
    """
    unused: dict[str, tuple[int, ...]] = {}
    for name, shape in {**_LATER, **_CLASSIFIER}.items():
        unused |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    with torch.device("meta"):
        network = VGG19Features()
    return read_plain_state(path, network, name="torchvision's VGG-19 (vgg19-dcbb9e9d.pth)", unused=unused)
