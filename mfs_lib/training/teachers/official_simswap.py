"""SimSwap's own weights as a teacher (the paper's), for users who have them: ``simswap-224`` and ``simswap-arcface``.

Facts from neuralchen/SimSwap (test_one_image.py, insightface_func/utils/face_align_ffhqandnewarc.py): crops of 224 pixels
by the template nearest to the head's turn out of five; the identity network reads the source's crop at half size,
nearest neighbour, and its embedding is made of unit length. Our crops are aligned to another template already, so that one
fixed similarity leads from them to SimSwap's **frontal** template; its four templates for turned heads are not used. The
swapped crop comes back by the inverse map, blended in over its border, and what SimSwap never saw stays the target's.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import AssetError
from mfs_lib.faces.alignment import TEMPLATE, FloatArray, fit_similarity, invert
from mfs_lib.networks.identity import IdentityNetwork
from mfs_lib.networks.simswap import SimSwapGenerator
from mfs_lib.training.teachers.interface import Need, finished, required_source
from mfs_lib.weights.convert.arcface import convert_arcface_simswap
from mfs_lib.weights.convert.cached import converted_state
from mfs_lib.weights.convert.simswap import convert_simswap

NAME = "simswap-224"
_IDENTITY = "simswap-arcface"
_SIZE = 224
_BORDER = 0.06
"""Part of the crop's side over which the result is blended in."""

FRONTAL: FloatArray = (
    np.array([[39.730, 51.138], [72.270, 51.138], [56.000, 68.493], [42.463, 87.010], [69.537, 87.010]]) / 112
)
"""SimSwap's five points of a head that faces the camera, as fractions of its crop."""


@lru_cache(maxsize=1)
def _matrices() -> tuple[FloatArray, FloatArray]:
    """Maps (2,3) between fractions of crops: from our crop to SimSwap's, and back."""
    there = fit_similarity(TEMPLATE, FRONTAL)
    return there, invert(there)


def _resample(image: Tensor, size: int, matrix: FloatArray, *, outside: str) -> Tensor:
    """Pixels (B,C,size,size) whose place p in the new crop shows `image` at matrix · p (fractions of both sides)."""
    line = (torch.arange(size, device=image.device, dtype=torch.float64) + 0.5) / size
    place = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    linear, shift = (torch.from_numpy(np.ascontiguousarray(x)).to(place) for x in (matrix[:, :2], matrix[:, 2]))
    grid = ((place @ linear.T + shift) * 2 - 1).to(image.dtype).expand(len(image), -1, -1, -1)
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode=outside, align_corners=False)


def to_simswap(crop: Tensor) -> Tensor:
    """Our aligned crops (B,3,S,S) -> SimSwap's (B,3,224,224)."""
    return _resample(crop, _SIZE, _matrices()[1], outside="border")


def from_simswap(swapped: Tensor, target: Tensor) -> Tensor:
    """SimSwap's crops (B,3,224,224) put into the targets (B,3,S,S) that they were cut out of."""
    there, size = _matrices()[0], target.shape[-1]
    line = (torch.arange(_SIZE, device=target.device, dtype=target.dtype) + 0.5) / _SIZE
    ramp = (torch.minimum(line, 1 - line) / _BORDER).clamp(0, 1)
    mask = (ramp[:, None] * ramp[None]).expand(len(target), 1, -1, -1)
    factor = max(1, round(_SIZE / (size * float(np.linalg.norm(there[:, 0])))))
    layers = torch.cat([swapped, mask], 1)  # rendered at `factor` times the size and averaged: no aliasing
    back = functional.avg_pool2d(_resample(layers, size * factor, there, outside="border"), factor)
    inside = functional.avg_pool2d(_resample(torch.ones_like(mask), size * factor, there, outside="zeros"), factor)
    weight = back[:, 3:] * inside
    return back[:, :3] * weight + target * (1 - weight)


class OfficialSimSwap:
    """SimSwap's released 224 generator with its own identity network."""

    name = NAME
    need: Need = "source_face"

    def __init__(self, generator: SimSwapGenerator, identity: IdentityNetwork) -> None:
        self.generator = generator.eval().requires_grad_(False)
        self.identity = identity.eval().requires_grad_(False)

    @classmethod
    def load(cls, *, device: torch.device | str = "cpu", offline: bool = False) -> OfficialSimSwap:
        """Fetch or find both files and convert them.

        Raises:
            AssetError: a file isn't there, its terms are not agreed to, or it is another file; says how to get them.
        """
        try:
            states = [
                converted_state(NAME, convert_simswap, offline=offline),
                converted_state(_IDENTITY, convert_arcface_simswap, offline=offline),
            ]
        except AssetError as error:
            raise AssetError(
                f"{error} (The teacher {NAME} needs two files: 'mfs fetch {NAME} {_IDENTITY} --agree', or both in the "
                "folder that MFS_MIRROR names. Without them use oracle, warp or a teacher that you trained.)"
            ) from error
        generator, identity = SimSwapGenerator(), IdentityNetwork()
        generator.load_state_dict(states[0])
        identity.load_state_dict(states[1])
        return cls(generator.to(device), identity.to(device))

    @torch.no_grad()
    def swap(
        self,
        source_face: Tensor | None,
        target: Tensor,
        *,
        truth: Tensor | None = None,
        embedding: Tensor | None = None,
        meshes: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """See `Teacher.swap`; SFace's embedding is another network's and isn't read."""
        del truth, embedding, meshes
        source_face = required_source(source_face, target, name=self.name)
        z = self.identity(functional.interpolate(to_simswap(source_face), scale_factor=0.5)).embedding
        return finished(from_simswap(self.generator(to_simswap(target), z), target), target)
