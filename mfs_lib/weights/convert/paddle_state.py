"""State dicts of Paddle, turned into PyTorch's; and the check that a state fills a network exactly.

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

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mfs_lib.errors import AssetError
from mfs_lib.weights.restricted_pickle import Array, load_arrays

_ENDINGS = {"_mean": "running_mean", "_variance": "running_var", "_weight": "weight"}
_COUNTER = "num_batches_tracked"


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
    return fitted_state(state, module, path=path, name=name)


def _tensor(array: Array) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.t() if tensor.ndim == 2 else tensor


def fitted_state(state: Mapping[str, Tensor], module: nn.Module, *, path: Path, name: str) -> dict[str, Tensor]:
    """`state` in the order and types of ``module.state_dict()``, every entry used and every place filled.

    Counters of batches may be missing: they serve training only and become 0.

    Raises:
        AssetError: entries are missing, left over, or of another shape or kind.
    """
    expected = module.state_dict()
    missing = [key for key in expected if key not in state and not key.endswith(f".{_COUNTER}")]
    surplus = [key for key in state if key not in expected]
    wrong = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(wanted.shape)}"
        for key, wanted in expected.items()
        if key in state and state[key].shape != wanted.shape
    ]
    kinds = [
        f"{key} {state[key].dtype}"
        for key, wanted in expected.items()
        if key in state and state[key].is_floating_point() != wanted.is_floating_point()
    ]
    problems = (("missing", missing), ("left over", surplus), ("of another shape", wrong), ("of another type", kinds))
    if any(found for _, found in problems):
        said = "; ".join(f"{what}: {_some(found)}" for what, found in problems if found)
        raise AssetError(f"{path} is not {name} ({said}). Give the original file; fetch it again if it may be damaged.")
    return {
        key: state[key].detach().to(wanted.dtype).contiguous() if key in state else torch.zeros((), dtype=wanted.dtype)
        for key, wanted in expected.items()
    }


def _some(names: list[str]) -> str:
    """The first few, and how many there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
