"""The check at the end of every converter: the state must fill our network exactly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mfs_lib.errors import AssetError

_COUNTER = "num_batches_tracked"


def fit_state(state: Mapping[str, Tensor], module: nn.Module, *, path: Path, name: str) -> dict[str, Tensor]:
    """`state` in the order and types of ``module.state_dict()``, every entry used and every place filled.

    Counters of batches may be missing, as they are in files from before PyTorch 0.4.1 and in Paddle's: they serve
    training only and become 0.

    Args:
        state: named tensors under our names.
        module: the network; it isn't changed and may be on the meta device.
        path: where the state comes from, for messages.
        name: what it should be, for messages.

    Raises:
        AssetError: entries are missing, left over, or of another shape or kind; the message names them.
    """
    expected = module.state_dict()
    shared = [(key, state[key], wanted) for key, wanted in expected.items() if key in state]
    problems = {
        "missing": [key for key in expected if key not in state and key.rpartition(".")[2] != _COUNTER],
        "left over": [key for key in state if key not in expected],
        "of another shape": [
            f"{key} {tuple(found.shape)} instead of {tuple(wanted.shape)}"
            for key, found, wanted in shared
            if found.shape != wanted.shape
        ],
        "of another type": [
            f"{key} {found.dtype}"
            for key, found, wanted in shared
            if found.is_floating_point() != wanted.is_floating_point()
        ],
    }
    if any(problems.values()):
        said = "; ".join(f"{what}: {_some(found)}" for what, found in problems.items() if found)
        raise AssetError(f"{path} is not {name} ({said}). Give the original file; fetch it again if it may be damaged.")
    return {
        key: state[key].detach().to(wanted.dtype).contiguous() if key in state else torch.zeros((), dtype=wanted.dtype)
        for key, wanted in expected.items()
    }


def _some(names: list[str]) -> str:
    """The first few, and how many more there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
