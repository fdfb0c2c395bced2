"""Foreign PyTorch state dicts, read safely and compared name by name with the network that they must fill.

What may differ from ours and is put right: the prefix that data-parallel training leaves on every name, names that a
given table translates, a half-precision or double type, and the counters `num_batches_tracked`, which files from before
PyTorch 0.4.1 don't hold (they serve training only). Entries that our network has no use for are dropped if they are
named with their shapes. Anything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from mfs_lib.errors import AssetError
from mfs_lib.weights.convert.fitting import fit_state
from mfs_lib.weights.safe_io import load_foreign_pickle

PARALLEL_PREFIX = "module."


def read_plain_state(
    path: Path,
    module: nn.Module,
    *,
    name: str,
    rename: Callable[[str], str] | None = None,
    strip_prefix: str = PARALLEL_PREFIX,
    unused: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Tensor]:
    """State of `module` from somebody else's checkpoint, old or new form of ``torch.save``.

    Args:
        path: the file.
        module: the network that the state must fit exactly; it isn't changed and may be on the meta device.
        name: what the file should be, for messages.
        rename: the file's names (without the prefix) to those of `module`; by default they are the same.
        strip_prefix: taken off if every name has it; empty for never.
        unused: names (as in `module`) and shapes of entries that the file must hold and `module` doesn't have.

    Returns:
        Named tensors on the CPU in the order and types of ``module.state_dict()``.

    Raises:
        AssetError: the file is unreadable, asks for more than tensors, or does not fit; the message names what is
            wrong.
    """
    state = load_foreign_pickle(path)
    if strip_prefix and all(key.startswith(strip_prefix) for key in state):
        state = {key.removeprefix(strip_prefix): value for key, value in state.items()}
    translated = {rename(key): value for key, value in state.items()} if rename else state
    if len(translated) != len(state):
        raise AssetError(f"{path} is not {name}: two of its entries have the same place. Give the original file.")
    rest = {key: translated.pop(key) for key in unused or {} if key in translated}
    fitted = fit_state(translated, module, path=path, name=name)
    # Another network's file must not pass because it begins like the one that is wanted.
    wrong = [key for key, shape in (unused or {}).items() if key not in rest or tuple(rest[key].shape) != shape]
    if wrong:
        raise AssetError(
            f"{path} is not {name} (missing or of another shape: {', '.join(wrong)}). Give the original file; fetch it "
            "again if it may be damaged."
        )
    return fitted
