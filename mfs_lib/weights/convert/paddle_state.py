"""State dicts of Paddle, turned into PyTorch's.

| Paddle                                   | PyTorch                                 |
|------------------------------------------|-----------------------------------------|
| ``_mean``, ``_variance`` of a normalisation | ``running_mean``, ``running_var``      |
| ``_weight`` of a PReLU                   | ``weight``                              |
| linear weight (in, out), the only 2-D arrays | (out, in): transposed                  |
| no counter                               | ``num_batches_tracked``, here 0         |

A square linear weight has the right shape before and after, so no check of shapes notices a forgotten transposition:
the rule must not depend on shapes, and does not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from mfs_lib.errors import AssetError
from mfs_lib.weights.convert.fitting import fit_state
from mfs_lib.weights.restricted_pickle import Array, load_arrays

_ENDINGS = {"_mean": "running_mean", "_variance": "running_var", "_weight": "weight"}


def read_paddle_state(
    path: Path, module: nn.Module, *, name: str, rename: Callable[[str], str] | None = None
) -> dict[str, Tensor]:
    """State of `module` from a ``.pdparams`` file.

    Args:
        path: the file.
        module: the network that it must fill exactly; may be on the meta device.
        name: what the file should be, for messages.
        rename: from the file's names, with the endings of the table above already put right, to those of `module`.

    Raises:
        AssetError: unreadable, or not that network's state; the message names what is missing and what is left over.
    """
    state: dict[str, Tensor] = {}
    for key, array in load_arrays(path).items():
        stem, _, ending = key.rpartition(".")
        plain = f"{stem}.{_ENDINGS.get(ending, ending)}" if stem else key
        ours = rename(plain) if rename else plain
        if ours in state:
            raise AssetError(f"{path} is not {name}: two of its entries have the place {ours!r}.")
        state[ours] = _tensor(array)
    return fit_state(state, module, path=path, name=name)


def _tensor(array: Array) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.t() if tensor.ndim == 2 else tensor
