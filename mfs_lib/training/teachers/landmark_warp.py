"""The classical teacher for photographs: warp the source's face by landmarks, take the target's colours, blend.

It learned nothing and needs no training; see ``training.warp_swap`` for how it is done. The pixels are the
source's on the target's mesh: what the source's picture doesn't show is smeared, so that a student shouldn't trust it far.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.faces.mesh import crop_landmarks
from mfs_lib.faces.resizing import resized
from mfs_lib.networks.face_mesh import FaceMesh
from mfs_lib.training.sampled import to_uint8
from mfs_lib.training.teachers.interface import Need, required_source
from mfs_lib.training.warp_swap import face_map, warp_swap
from mfs_lib.weights.models import default_mesh

Image = NDArray[np.uint8]
FloatArray = NDArray[np.float32]


def _pixels(images: Tensor) -> Image:
    """(B,3,S,S) in [0,1] -> (B,S,S,3) uint8."""
    return np.ascontiguousarray(to_uint8(images.detach().cpu()).permute(0, 2, 3, 1).numpy())


class LandmarkWarp:
    """Warps the source's face onto the target's mesh.

    Args:
        locality: 0 gives the face the target's mean tone, 1 its local light and shade as well.
    """

    name = "warp"
    need: Need = "source_face"

    def __init__(self, *, locality: float = 0.5) -> None:
        if not 0 <= locality <= 1:
            raise InputError(f"locality lies between 0 and 1, got {locality}")
        self.locality = locality

    @cached_property
    def _mesh(self) -> FaceMesh:
        """Loaded when the first mesh must be found; the triangles come with it."""
        return default_mesh()

    def _landmarks(self, crops: Image, given: Tensor | None) -> FloatArray:
        """Meshes (B,468,3) of aligned crops: those given, else found; an aligned face needs no detector."""
        if given is not None:
            if given.shape != (len(crops), 468, 3):
                raise InputError(f"{len(crops)} meshes (468,3) were expected, got {tuple(given.shape)}")
            return np.asarray(given.detach().cpu().numpy(), np.float32)
        return np.stack([crop_landmarks(crop, self._mesh) for crop in crops])

    def swap(
        self,
        source_face: Tensor | None,
        target: Tensor,
        *,
        truth: Tensor | None = None,
        embedding: Tensor | None = None,
        meshes: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """See `Teacher.swap`. Sources of another size than the targets' are resized, and their meshes with them."""
        del truth, embedding
        source_face = required_source(source_face, target, name=self.name)
        size = target.shape[-1]
        scale = size / source_face.shape[-1]
        donors, targets = _pixels(resized(source_face, size)), _pixels(target)
        given = (None, None) if meshes is None else (meshes[0] * scale, meshes[1])
        theirs, ours = self._landmarks(donors, given[0]), self._landmarks(targets, given[1])
        triangles = self._mesh.triangles
        assert isinstance(triangles, Tensor)
        faces = triangles.cpu().numpy()
        swapped = [
            warp_swap(picture, face_map(mesh, faces, size), donor, donor_mesh, faces, locality=self.locality)
            for picture, mesh, donor, donor_mesh in zip(targets, ours, donors, theirs, strict=True)
        ]
        result = torch.from_numpy(np.stack(swapped)).permute(0, 3, 1, 2)
        return result.to(device=target.device, dtype=target.dtype) / 255
