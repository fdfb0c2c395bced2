"""Pose error: by how many degrees the head of a result is turned otherwise than the target's.

Two backends, never mixed under one name:

* ``mesh468-pnp`` (`pose_…`): a perspective-n-point fit of the 468-point mesh, see ``evaluation.pose``.
* ``hopenet`` (`hopenet_…`), the network of the paper's pose column, where the user has its weights. It was trained on
  looser crops than ours; both pictures of a pair get the same crop, so a bias cancels, but the value isn't the paper's.

Papers don't say which angles they compare and how. Here, in degrees, for yaw, pitch and roll each the mean absolute
difference; `_error` is the mean of the three, `_l2` the mean length of the vector of the three differences. Differences
are taken around the circle. The exact angles of sampled faces can stand in for the target's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import AssetError, InputError
from mfs_lib.evaluation.metrics.meshes import Meshes, in_unit
from mfs_lib.evaluation.metrics.samples import FloatArray, SampleMean
from mfs_lib.evaluation.pose import head_pose
from mfs_lib.networks.hopenet import Hopenet
from mfs_lib.weights.convert.cached import converted_state
from mfs_lib.weights.convert.hopenet import convert_hopenet

ANGLES = ("yaw", "pitch", "roll")
MESH_BACKEND = "mesh468-pnp"
HOPENET_BACKEND = "hopenet"


def mesh_angles(meshes: Meshes, size: int, canonical: Tensor) -> FloatArray:
    """Yaw, pitch, roll (N, 3) in degrees of meshes in crops of side `size`; `canonical` as for ``head_pose``."""
    return np.stack([head_pose(mesh.astype(np.float32), size, canonical) for mesh in meshes])


def load_hopenet(*, device: torch.device | str = "cpu", offline: bool = False) -> Hopenet:
    """Hopenet, frozen. Raises AssetError, with what to do, where its weights are not there."""
    network = Hopenet()
    network.load_state_dict(converted_state("hopenet", convert_hopenet, offline=offline))
    network.eval().requires_grad_(False)
    return network.to(device)


def find_hopenet(*, device: torch.device | str = "cpu") -> Hopenet | None:
    """Hopenet if its weights are in the cache or the mirror, else None; nothing is downloaded."""
    try:
        return load_hopenet(device=device, offline=True)
    except AssetError:
        return None


@torch.no_grad()
def hopenet_angles(crops: Tensor, network: Hopenet, batch: int = 16) -> FloatArray:
    """Yaw, pitch, roll (N, 3) in degrees of crops (N, 3, S, S), resized to 224 pixels."""
    device = next(network.parameters()).device
    side = network.input_size
    parts = [
        network(
            functional.interpolate(
                in_unit(part.to(device)), size=(side, side), mode="bilinear", align_corners=False, antialias=True
            ).clamp(0, 1)
        ).cpu()
        for part in crops.split(batch)  # type: ignore[no-untyped-call]
    ]
    return torch.cat(parts).double().numpy()


def angle_differences(result: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """Absolute differences (N, 3) of angles (N, 3) in degrees, around the circle: in [0, 180]."""
    first, second = np.asarray(result, np.float64), np.asarray(target, np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] != 3 or not len(first):
        raise InputError(f"Yaw, pitch and roll (N, 3) are needed twice, got {first.shape} and {second.shape}.")
    return np.asarray(np.abs((first - second + 180) % 360 - 180))


def pose_metrics(result: npt.ArrayLike, target: npt.ArrayLike, *, backend: str = MESH_BACKEND) -> list[SampleMean]:
    """The five pose metrics of angles (N, 3) in degrees; named after Hopenet where that is the backend."""
    differences = angle_differences(result, target)
    prefix = "hopenet" if backend == HOPENET_BACKEND else "pose"

    def degrees(name: str, samples: FloatArray, protocol: str) -> SampleMean:
        return SampleMean(
            name=f"{prefix}_{name}", samples=samples, unit="degree", backend=backend,
            protocol=f"{protocol} between result and target, aligned crop",
        )  # fmt: skip

    each = [degrees(angle, differences[:, k], "mean absolute angle") for k, angle in enumerate(ANGLES)]
    return [
        degrees("error", differences.mean(1), "mean of the absolute yaw, pitch and roll"),
        degrees("l2", np.linalg.norm(differences, axis=1), "L2 norm of the differences of yaw, pitch and roll"),
        *each,
    ]
