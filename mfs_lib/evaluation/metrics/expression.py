"""Expression error: what a swap does to mouth and eyes, by 468-point meshes without rigid pose and scale.

All numbers are percent of the distance between the outer corners of the eyes.

* **Openings** (`expression_mouth_open`, `_mouth_width`, `_eye_open`): distance of the inner lips, of the corners of the
  mouth, and of the lids (mean of both eyes), each divided by the same mesh's distance between the outer eye corners:
  three-dimensional, so a turn, a shift or a change of scale leaves them alone. The absolute differences of result and
  target are averaged.
* **Mesh** (`expression_mesh`): both meshes are brought onto the canonical one by the similarity (rotation, one scale,
  shift) that fits best at points which expressions hardly move; then the mean distance over the 92 points of lips, lids
  and brows.

What is left of identity. The result has the source's lips and the target's expression, so even a perfect swap isn't at
0: people at rest differ too. One picture doesn't say what of a mouth is its owner's and what is the moment's. Where rows
share both source and target person (frames of a video), `people` names them, and a third number,
`expression_mesh_centred`, takes each such group's mean from its results' and from its targets' aligned meshes first:
constant shape cancels, motion stays. Without that compare a value with the truth's or with another system's on the same
pairs, not with 0.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.meshes import Meshes, check_meshes
from mfs_lib.evaluation.metrics.samples import FloatArray, SampleMean
from mfs_lib.evaluation.pose import STIFF_POINTS
from mfs_lib.faces.mesh import EYE_CORNERS

BACKEND = "mesh468"

RIGID = STIFF_POINTS
"""Points that expressions hardly move, those of the pose fit: corners of the eyes, nose, forehead, temples."""

LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95, 78, 191, 80, 81),
    *(82, 13, 312, 311, 310, 415, 185, 40, 39, 37, 0, 267, 269, 270, 409),
)
LIDS = (
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    *(263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
BROWS = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
EXPRESSIVE = (*LIPS, *LIDS, *BROWS)
"""Points that expressions move, 92 of them."""

OPENINGS = {"mouth_open": ((13, 14),), "mouth_width": ((61, 291),), "eye_open": ((159, 145), (386, 374))}
"""Pairs of points whose distances (their mean) are compared."""

_FLIP = np.array(
    [1.0, -1.0, -1.0]
)  # the canonical mesh has y up and z towards the camera, meshes of crops the opposite


def openings(meshes: Meshes) -> dict[str, FloatArray]:
    """Each of `OPENINGS`, (N,), in percent of the distance between the outer corners of the eyes."""
    unit = np.linalg.norm(meshes[:, EYE_CORNERS[0]] - meshes[:, EYE_CORNERS[1]], axis=1)
    if not (unit > 1e-9).all():
        raise InputError("The eyes of a mesh coincide: is there a face in the crop?")
    return {
        name: 100 * np.mean([np.linalg.norm(meshes[:, a] - meshes[:, b], axis=1) for a, b in pairs], axis=0) / unit
        for name, pairs in OPENINGS.items()
    }


def normalised(meshes: Meshes, canonical: Tensor) -> Meshes:
    """Meshes (N, 468, 3) without rigid pose and scale, one unit being the canonical distance of the outer eye corners.

    Each is moved by the similarity that takes its `RIGID` points nearest (least squares; Umeyama 1991) to those of
    `canonical` (468, 3), y up, z towards the camera.
    """
    model = canonical.cpu().numpy().astype(np.float64) * _FLIP
    model = model / np.linalg.norm(model[EYE_CORNERS[0]] - model[EYE_CORNERS[1]])
    onto = model[list(RIGID)] - model[list(RIGID)].mean(0)
    moved = []
    for mesh in meshes:
        centre = mesh[list(RIGID)].mean(0)
        points = mesh[list(RIGID)] - centre
        left, stretch, right = np.linalg.svd(points.T @ onto)
        sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])  # no mirror image
        scale = float((stretch * sign).sum() / max((points**2).sum(), 1e-12))
        moved.append(scale * (mesh - centre) @ (left * sign @ right))
    return np.stack(moved)


def expression_metrics(
    result: Meshes, target: Meshes, canonical: Tensor, *, people: Sequence[Hashable] | None = None
) -> list[SampleMean]:
    """Expression metrics of meshes (N, 468, 3) of results and their targets.

    Args:
        result, target: see `Meshes`.
        canonical: (468, 3) the mesh network's canonical mesh.
        people: (N,) labels of rows that share source and target person, five or more each; adds the centred metric.

    Raises:
        InputError: shapes differ, or a group of people is too small for a mean.
    """
    check_meshes(result, target)
    first, second = openings(result), openings(target)
    of = "percent of the distance between the outer eye corners"
    metrics = [
        SampleMean(
            name=f"expression_{name}", samples=np.abs(first[name] - second[name]), unit="percent", backend=BACKEND,
            protocol=f"mean absolute difference of {name.replace('_', ' ')} between result and target, {of}",
        )
        for name in OPENINGS
    ]  # fmt: skip
    a, b = normalised(result, canonical), normalised(target, canonical)
    what = f"mean distance of {len(EXPRESSIVE)} points of lips, lids and brows after rigid alignment and scaling, {of}"
    metrics.append(_mesh_metric("expression_mesh", a, b, what))
    if people is not None:
        centred = f"{what}; means over the same source and target person taken off"
        metrics.append(_mesh_metric("expression_mesh_centred", _centred(a, people), _centred(b, people), centred))
    return metrics


def _mesh_metric(name: str, first: Meshes, second: Meshes, protocol: str) -> SampleMean:
    points = list(EXPRESSIVE)
    distance = 100 * np.linalg.norm(first[:, points] - second[:, points], axis=2).mean(1)
    return SampleMean(name=name, samples=distance, unit="percent", backend=BACKEND, protocol=protocol)


def _centred(meshes: Meshes, people: Sequence[Hashable]) -> Meshes:
    """Meshes less the mean of their group."""
    groups: dict[Hashable, list[int]] = {}
    for row, label in enumerate(people):
        groups.setdefault(label, []).append(row)
    if len(people) != len(meshes) or min(len(rows) for rows in groups.values()) < 5:
        raise InputError("Centring needs a label for each mesh, and five meshes or more with each label.")
    out = np.empty_like(meshes)
    for rows in groups.values():
        out[rows] = meshes[rows] - meshes[rows].mean(0)
    return out
