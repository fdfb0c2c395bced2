"""BiSeNet: the face-parsing checkpoint of zllrunning/face-parsing.PyTorch (79999_iter.pth, MIT) to our module's state.

Names agree: 191 entries, 13,300,416 parameters.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.networks.bisenet import BiSeNet
from mfs_lib.weights.convert.plain_state import read_plain_state


def convert_bisenet(path: Path) -> dict[str, Tensor]:
    """State of ``networks.bisenet.BiSeNet`` from the checkpoint.

    Raises:
        AssetError: unreadable, or not that network's state.
    """
    with torch.device("meta"):
        network = BiSeNet()
    return read_plain_state(path, network, name="BiSeNet's checkpoint (79999_iter.pth)")
