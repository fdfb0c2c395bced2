"""SimSwap's generator: the released `latest_net_G.pth` to our module's state.

The file is a plain state dict whose names our module has on purpose, so that converting is checking.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.networks.simswap import SimSwapGenerator
from mfs_lib.weights.convert.fitting import fit_state
from mfs_lib.weights.safe_io import load_foreign_pickle


def convert_simswap(path: Path) -> dict[str, Tensor]:
    """State of ``networks.simswap.SimSwapGenerator`` from the file, every tensor float32.

    A file of the 512 model is known by its outer level: its state fits ``SimSwapGenerator(deep=True)`` and has the
    entry "down0.0.weight".

    Raises:
        AssetError: no plain file of tensors, or not this generator's: the message names the first wrong entry.
    """
    state = load_foreign_pickle(path)
    with torch.device("meta"):
        module = SimSwapGenerator(deep="down0.0.weight" in state)
    return fit_state(state, module, path=path, name="SimSwap's generator (latest_net_G.pth)")
