"""Hopenet: the authors' checkpoint (hopenet_robust_alpha1.pkl, Apache-2.0) to our module's state.

Despite its name the file is a ``torch.save`` of a state dict, in the form before the zip archive (it starts with a pickled
number); the repository's code is for Python 2. Names agree: 326 entries with the 53 counters `num_batches_tracked`, which a
file written before PyTorch 0.4.1 lacks.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.networks.hopenet import Hopenet
from mfs_lib.weights.convert.plain_state import read_plain_state


def convert_hopenet(path: Path) -> dict[str, Tensor]:
    """State of ``networks.hopenet.Hopenet`` from the checkpoint.

    Raises:
        AssetError: unreadable, or not that network's state.
    """
    with torch.device("meta"):
        network = Hopenet()
    return read_plain_state(path, network, name="Hopenet's checkpoint (hopenet_robust_alpha1.pkl)")
