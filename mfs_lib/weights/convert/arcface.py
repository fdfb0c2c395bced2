"""The identity network's two public checkpoints to our module's state.

| file                                | form                                                                         |
|-------------------------------------|------------------------------------------------------------------------------|
| arcface.pdparams (MobileFaceSwap)   | Paddle state dict, 691 arrays of 52,244,159 values                         |
| arcface_checkpoint.tar (SimSwap)    | ``torch.save`` of the whole module; not a tar archive                          |

Both hold the same network, trained by foamliu/InsightFace-v2, under the names that ``networks.identity`` has, too: 796
entries with the 105 counters of batches. The Paddle file has 67 linear weights, two in each of the 33 blocks and ``fc``;
all are transposed (see ``paddle_state``). SimSwap's first release wrapped the module in a training checkpoint and in
``DataParallel``; that form is read as well.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.networks.identity import IdentityNetwork
from mfs_lib.weights.convert.fitting import fit_state
from mfs_lib.weights.convert.paddle_state import read_paddle_state
from mfs_lib.weights.restricted_pickle import load_module_state

_PREFIX = "module."


def convert_arcface_paddle(path: Path) -> dict[str, Tensor]:
    """State of ``networks.identity.IdentityNetwork`` from MobileFaceSwap's arcface.pdparams.

    Raises:
        AssetError: unreadable, or not that network's state; the message names what is missing and what is left over.
    """
    return read_paddle_state(path, _network(), name="MobileFaceSwap's identity network (arcface.pdparams)")


def convert_arcface_simswap(path: Path) -> dict[str, Tensor]:
    """State of ``networks.identity.IdentityNetwork`` from SimSwap's arcface_checkpoint.tar.

    Raises:
        AssetError: unreadable, or not that network's state; the message names what is missing and what is left over.
    """
    state = load_module_state(path)
    if all(key.startswith(_PREFIX) for key in state):
        state = {key.removeprefix(_PREFIX): value for key, value in state.items()}
    return fit_state(state, _network(), path=path, name="SimSwap's identity network (arcface_checkpoint.tar)")


def _network() -> IdentityNetwork:
    with torch.device("meta"):
        return IdentityNetwork()
