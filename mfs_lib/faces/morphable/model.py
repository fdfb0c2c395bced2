"""The morphable model as numbers: means, bases, codes of the training people, masks and landmarks.

A linear model after Blanz and Vetter (1999), in two segments: the *face* (identity: shape and texture, divided into
regions that can come from different people) and the *surround* (hair, ears, neck, with coverage). Expression moves
shape and texture together. Stored as one compressed ``.npz`` of integers; every basis picture is quantised with the
same step after being scaled by its component's standard deviation, so that codes have unit variance.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfs_lib.errors import AssetError

REGIONS: tuple[str, ...] = ("skin", "eyes", "nose", "mouth")
"""Segments of the face whose codes are independent; they sum to one everywhere."""

MODEL_FILE = Path(__file__).with_name("london_morphable.npz")


@dataclass(frozen=True)
class MorphableModel:
    """Tensors of the model. P training people, K components, G control grid, frame coordinates in [0, 1]."""

    depth: Tensor  # (G, G) mean height towards the camera
    shape_mean: Tensor  # (3, G, G) mean displacement of the neutral face
    shape_basis: Tensor  # (Ks, 3, G, G)
    shape_codes: Tensor  # (P, Ks)
    texture_mean: Tensor  # (3, h, w) inside `face_box`
    texture_basis: Tensor  # (Kt, 3, h, w)
    texture_codes: Tensor  # (P, Kt)
    expression_shape: Tensor  # (Ke, 3, G, G)
    expression_texture: Tensor  # (Ke, 3, h, w)
    expression_mean: Tensor  # (Ke,) code of the mean smile
    expression_codes: Tensor  # (P, Ke)
    surround_mean: Tensor  # (4, v, v) premultiplied RGB and coverage
    surround_basis: Tensor  # (Kv, 4, v, v)
    surround_codes: Tensor  # (P, Kv)
    regions: Tensor  # (4, h, w) weights of REGIONS
    regions_grid: Tensor  # (4, G, G) the same over the control grid
    face_mask: Tensor  # (h, w) where the face covers the surround
    face_box: Tensor  # (4,) left, top, right, bottom of the texture in the frame
    landmarks: Tensor  # (468, 2) mesh points in the frame
    five: Tensor  # (5, 2) alignment points in the frame
    group: Tensor  # (P,) self-reported gender, 0 or 1: keeps mixtures of people plausible

    def to(self, device: torch.device | str) -> MorphableModel:
        """The same model on another device."""
        return MorphableModel(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def principal_components(data: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], ...]:
    """Mean (...), basis (K, ...) scaled by standard deviations, and unit-variance codes (N, K) of data (N, ...)."""
    flat = data.reshape(len(data), -1).astype(np.float64)
    mean = flat.mean(0)
    left, singular, right = np.linalg.svd(flat - mean, full_matrices=False)
    count = min(count, len(data) - 1)
    deviation = singular[:count] / np.sqrt(len(data) - 1)
    codes = left[:, :count] * np.sqrt(len(data) - 1)
    basis = right[:count] * deviation[:, None]
    shape = data.shape[1:]
    return (
        mean.reshape(shape).astype(np.float32),
        basis.reshape(count, *shape).astype(np.float32),
        codes.astype(np.float32),
    )


_STEPS = {
    "texture_basis": 0.7 / 255, "expression_texture": 0.7 / 255, "surround_basis": 1.0 / 255,
    "shape_basis": 2e-5, "expression_shape": 2e-5,
}  # fmt: skip


def save_model(model: MorphableModel, path: Path) -> None:
    """Write the model as integers and half floats; the name appears only when the file is complete."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for field in fields(model):
        value = getattr(model, field.name).cpu().numpy()
        step = _STEPS.get(field.name)
        if step is None:
            arrays[field.name] = value if value.dtype.kind == "i" else value.astype(np.float16)
        else:
            arrays[field.name] = np.clip(np.round(value / step), -32767, 32767).astype(np.int16)
            arrays[field.name + "_step"] = np.asarray(step, np.float32)
    for name in ("face_box", "landmarks", "five", "depth"):
        arrays[name] = getattr(model, name).cpu().numpy().astype(np.float32)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def load_model(path: Path = MODEL_FILE) -> MorphableModel:
    """Read a model.

    Raises:
        AssetError: the file is missing or lacks a part.
    """
    if not path.is_file():
        raise AssetError(f"{path.name} is missing; `make world` rebuilds the face world from the London set")
    with np.load(path, allow_pickle=False) as stored:
        missing = [f.name for f in fields(MorphableModel) if f.name not in stored]
        if missing:
            raise AssetError(f"{path.name} lacks {', '.join(missing)}; rebuild it with `make world`")
        values = {}
        for field in fields(MorphableModel):
            array = stored[field.name]
            if field.name + "_step" in stored:
                array = array.astype(np.float32) * stored[field.name + "_step"]
            values[field.name] = torch.from_numpy(array.astype(np.int64 if array.dtype.kind == "i" else np.float32))
    return MorphableModel(**values)
