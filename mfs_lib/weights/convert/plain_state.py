"""Foreign PyTorch state dicts, read safely and compared name by name with the network that they must fill.

What may differ from ours and is put right: the prefix that data-parallel training leaves on every name, names that a
given table translates, a half-precision or double type, and the counters `num_batches_tracked`, which files from before
PyTorch 0.4.1 don't hold (they serve training only). Anything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mfs_lib.errors import AssetError
from mfs_lib.weights.safe_io import load_foreign_pickle

PARALLEL_PREFIX = "module."
_COUNTER = "num_batches_tracked"


def read_plain_state(
    path: Path,
    module: nn.Module,
    *,
    name: str,
    rename: Callable[[str], str] | None = None,
    strip_prefix: str = PARALLEL_PREFIX,
) -> dict[str, Tensor]:
    """State of `module` from somebody else's checkpoint, old or new form of ``torch.save``.

    Args:
        path: the file.
        module: the network that the state must fit exactly; it isn't changed and may be on the meta device.
        name: what the file should be, for messages.
        rename: the file's names (without the prefix) to those of `module`; by default they are the same.
        strip_prefix: taken off if every name has it; empty for never.

    Returns:
        Named tensors on the CPU in the order and types of ``module.state_dict()``.

    Raises:
        AssetError: the file is unreadable, asks for more than tensors, or does not fit; the message names the first
            wrong entry.
    """
    return fit_state(load_foreign_pickle(path), module, path=path, name=name, rename=rename, strip_prefix=strip_prefix)


def fit_state(
    state: Mapping[str, Tensor],
    module: nn.Module,
    *,
    path: Path,
    name: str,
    rename: Callable[[str], str] | None = None,
    strip_prefix: str = PARALLEL_PREFIX,
) -> dict[str, Tensor]:
    """The same for tensors that have been read already; `path` is only for messages."""
    if strip_prefix and all(key.startswith(strip_prefix) for key in state):
        state = {key.removeprefix(strip_prefix): value for key, value in state.items()}
    translated = {rename(key): value for key, value in state.items()} if rename else state
    if len(translated) != len(state):
        raise _refused(path, name, "two of its entries have the same place")
    return _checked(translated, module.state_dict(), path, name)


def _refused(path: Path, name: str, reason: str) -> AssetError:
    return AssetError(
        f"{path} is not {name}: {reason}. Give the original file, or fetch it again if it may be damaged."
    )


def _checked(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path, name: str) -> dict[str, Tensor]:
    result = {}
    for key, wanted in expected.items():
        if key not in state:
            if key.rpartition(".")[2] != _COUNTER:
                raise _refused(path, name, f"it has no entry {key!r}")
            result[key] = torch.zeros(wanted.shape, dtype=wanted.dtype)
            continue
        found = state[key].detach()
        if found.shape != wanted.shape:
            raise _refused(path, name, f"{key!r} has the shape {tuple(found.shape)}, not {tuple(wanted.shape)}")
        if found.is_floating_point() != wanted.is_floating_point():
            raise _refused(path, name, f"{key!r} holds values of the type {found.dtype}, not {wanted.dtype}")
        result[key] = found.to(wanted.dtype).contiguous()
    surplus = next((key for key in state if key not in expected), None)
    if surplus is not None:
        raise _refused(path, name, f"its entry {surplus!r} has no place in the network")
    return result
