"""The 468-point meshes of stacks of crops, made once and read by the pose, expression and background metrics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from mfs_lib.errors import InputError
from mfs_lib.faces.mesh import crop_landmarks
from mfs_lib.networks.face_mesh import POINTS, FaceMesh

Meshes = npt.NDArray[np.float64]
"""(N, 468, 3): x right, y down in crop pixels, z in the same scale, smaller is nearer."""


def in_unit(pictures: Tensor) -> Tensor:
    """Pictures as float32 in [0, 1]; uint8 ones are divided by 255, others must be in [0, 1] already."""
    return pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures.float()


def crop_meshes(crops: Tensor, mesh: FaceMesh, *, progress: bool = False, label: str = "meshes") -> Meshes:
    """Meshes of crops (N, 3, S, S) in [0, 1] or uint8; the face is where alignment put it."""
    rows = []
    for crop in tqdm(crops, desc=label, disable=not progress):
        pixels = crop if crop.dtype == torch.uint8 else (crop.clamp(0, 1) * 255).round().byte()
        rows.append(crop_landmarks(np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy()), mesh))
    return np.stack(rows).astype(np.float64) if rows else np.zeros((0, POINTS, 3))


def check_meshes(result: Meshes, target: Meshes) -> None:
    """Raises InputError unless both are (N, 468, 3) with the same N, one at least."""
    if result.shape != target.shape or result.shape[1:] != (POINTS, 3) or not len(result):
        raise InputError(f"Two equal stacks of meshes (N, 468, 3) are needed, got {result.shape} and {target.shape}.")
