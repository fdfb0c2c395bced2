"""Background preservation: how much a swap changes where there is no face.

The face is, unless masks are given, the outline of the 468-point mesh of the target together with that of the result,
widened by `WIDEN` of the crop's side (the blend of a paste lies about the outline). Grey levels are those of 8-bit
pictures: a value of 1 is 1/255.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.meshes import Meshes, check_meshes, in_unit
from mfs_lib.evaluation.metrics.samples import SampleMean
from mfs_lib.faces.mesh import FACE_OVAL

WIDEN = 0.04
"""Reach beyond the outline, in crop sides."""

Regions = npt.NDArray[np.bool_]


def face_regions(result: Meshes, target: Meshes, size: int, *, widen: float = WIDEN) -> Regions:
    """Where a face is in the result or in the target: (N, S, S) for meshes (N, 468, 3) in crops of side `size`."""
    check_meshes(result, target)
    reach = max(0, round(widen * size))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    out = np.zeros((len(result), size, size), dtype=np.uint8)
    for canvas, pair in zip(out, zip(result, target, strict=True), strict=True):
        for mesh in pair:
            cv2.fillPoly(canvas, [np.rint(mesh[list(FACE_OVAL), :2]).astype(np.int32)], (1,))
        canvas[:] = cv2.dilate(canvas, disc)
    return out.astype(np.bool_)


def background_metric(result: Tensor, target: Tensor, face: Regions | Tensor, *, backend: str) -> SampleMean:
    """Mean absolute change outside the face, in grey levels of 255; of pairs whose crop isn't all face.

    Args:
        result, target: (N, 3, S, S) in [0, 1] or uint8.
        face: (N, S, S) or (N, 1, S, S), bool, or a soft mask in [0, 1] whose face is what exceeds 0.02.
        backend: where the face regions are from, for the record.

    Raises:
        InputError: shapes differ, or no pair has a background.
    """
    mask = torch.as_tensor(face)
    mask = mask[:, 0] if mask.ndim == 4 else mask
    if result.shape != target.shape or mask.shape != (len(result), *result.shape[-2:]):
        raise InputError(f"Crops {tuple(result.shape)}, {tuple(target.shape)} and faces {tuple(mask.shape)} don't fit.")
    outside = (mask if mask.dtype == torch.bool else mask > 0.02).logical_not()
    seen = outside.flatten(1).any(1)
    if not bool(seen.any()):
        raise InputError("The face masks cover every crop wholly: there is no background to compare.")
    triples = zip(result, target, outside, strict=True)
    rows = [
        float((in_unit(a) - in_unit(b)).abs().mean(0)[free].sum() / free.sum().clamp(min=1)) for a, b, free in triples
    ]
    return SampleMean(
        name="background", samples=255 * np.array(rows), over=seen, unit="grey levels", backend=backend,
        protocol="mean absolute change outside the face (of result and target, widened), grey levels of 255",
    )  # fmt: skip
