"""The students that come with the package: one safetensors file each, with what is needed to rebuild the network.

The file's header holds, as text: ``config`` (JSON of `MobileFaceSwapConfig`), ``crop_size`` (side of the aligned
crop in pixels that it was trained on) and whatever the trainer adds to tell where it comes from (command, seed,
data digests). Convolution kernels may be stored as float16; they are float32 in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.errors import AssetError, ConfigError
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.weights.safe_io import load_weights, save_weights

SHIPPED_FOLDER = Path(__file__).with_name("shipped")
SHIPPED_STUDENTS = {"default": "student_128.safetensors", "student_128": "student_128.safetensors"}
"""Files by name. What ``default`` means may change; an experiment whose numbers depend on one names that one."""

_DEFAULT_CROP_SIZE = 128


@dataclass(frozen=True)
class Student:
    """A trained network that swaps faces.

    Attributes:
        network: in eval mode, float32, on the CPU.
        crop_size: side of the aligned crop that it takes, in pixels.
        name: that it was asked for by, or the file's stem.
        metadata: the whole header of its file.
    """

    network: MobileFaceSwap
    crop_size: int
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)


def student_path(name: str | os.PathLike[str] = "default") -> Path:
    """File of a shipped student by name, or of any student by its path (what ends in ``.safetensors``).

    Raises:
        AssetError: no student of that name, or its file is not there.
    """
    text = os.fspath(name)
    if text in SHIPPED_STUDENTS:
        path = SHIPPED_FOLDER / SHIPPED_STUDENTS[text]
        advice = "it is part of the package: install the package again, or train one and pass its file"
    elif text.endswith(".safetensors"):
        path, advice = Path(text), "check the name"
    else:
        known = ", ".join(SHIPPED_STUDENTS)
        raise AssetError(f"no student is called {text!r}: use {known} or the path of a .safetensors file")
    if not path.is_file():
        raise AssetError(f"the student's weights {path.name} are missing in {path.parent}: {advice}")
    return path


def load_student(name: str | os.PathLike[str] = "default") -> Student:
    """Rebuild a student from its file.

    Args:
        name: see `student_path`.

    Raises:
        AssetError: the file is missing or damaged, or its tensors don't fit its own configuration.
    """
    path = student_path(name)
    state, metadata = load_weights(path)
    try:
        config = json.loads(metadata["config"])
        network = MobileFaceSwap(MobileFaceSwapConfig.from_dict(config))
        crop_size = int(metadata.get("crop_size", _DEFAULT_CROP_SIZE))
        network.load_state_dict({key: _float32(value) for key, value in state.items()})
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AssetError(f"{path} does not hold a student of this version ({reason})") from error
    if crop_size < 32 or crop_size % 32:
        raise AssetError(f"{path} states a crop of {crop_size} pixels; the network needs a multiple of 32")
    text = os.fspath(name)
    return Student(network.eval(), crop_size, text if text in SHIPPED_STUDENTS else path.stem, metadata)


def save_student(
    path: Path,
    network: MobileFaceSwap,
    *,
    crop_size: int,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a student so that `load_student` finds everything in the one file.

    Args:
        path: file to write (atomically).
        network: the trained network.
        crop_size: side of its aligned crop in pixels.
        metadata: further text for the header (command, seed, data digests).
        dtype: of the kernels on disk, float32 or float16. Vectors (biases, normalisation statistics) stay float32:
            they are small, and variances may leave float16's range.

    Raises:
        OutputError: it can't be written.
    """
    state = {
        key: value.to(dtype) if value.is_floating_point() and value.ndim > 1 else value
        for key, value in network.state_dict().items()
    }
    header = {"config": json.dumps(network.config.to_dict()), "crop_size": str(crop_size)}
    save_weights(path, state, {**(metadata or {}), **header})


def _float32(value: Tensor) -> Tensor:
    """Floating-point tensors as float32; counters as they are."""
    return value.float() if value.is_floating_point() else value
