"""FID's Inception-v3: pytorch-fid's checkpoint (pt_inception-2015-12-05-6726825d.pth, Apache-2.0) to our state.

Names agree, those of torchvision's Inception-v3 without the auxiliary classifier. The classifier of 1008 classes, which
FID doesn't use, is left out.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.networks.inception_fid import FEATURES, InceptionFID
from mfs_lib.weights.convert.plain_state import read_plain_state

_CLASSES = 1008


def convert_inception_fid(path: Path) -> dict[str, Tensor]:
    """State of ``networks.inception_fid.InceptionFID`` from the checkpoint.

    Raises:
        AssetError: unreadable, or not that network's state; torchvision's Inception has 1000 classes and is refused.
    """
    with torch.device("meta"):
        network = InceptionFID()
    name = "FID's Inception-v3 (pt_inception-2015-12-05-6726825d.pth)"
    unused = {"fc.weight": (_CLASSES, FEATURES), "fc.bias": (_CLASSES,)}
    return read_plain_state(path, network, name=name, unused=unused)
