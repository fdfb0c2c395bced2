"""CosFace's recogniser: the released `ACC99.28.pth` of MuggleWang/CosFace_pytorch (MIT) to our module's state.

Names agree: 46 entries for 20 layers, 22,666,944 parameters.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.networks.sphereface import SphereFace
from mfs_lib.weights.convert.plain_state import read_plain_state


def convert_cosface(path: Path) -> dict[str, Tensor]:
    """State of ``networks.sphereface.SphereFace`` with 20 layers from the checkpoint.

    Raises:
        AssetError: unreadable, or not that network's state.
    """
    with torch.device("meta"):
        network = SphereFace()
    return read_plain_state(path, network, name="CosFace's 20-layer network (ACC99.28.pth)")
