"""Face mesh: 468 landmarks with depth from a 192 x 192 face (Kartynnik et al. 2019; MediaPipe's face_landmark).

Residual blocks (depthwise 3x3, pointwise 1x1, skip, PReLU); where the side is halved the skip is a 2x2 maximum, padded
with zero channels where there are more of them. The last stage exists twice: for the landmarks and for the score.

    ==========================  =========  ========
    stage                       channels   output
    ==========================  =========  ========
    conv 3x3, stride 2          3 → 16     96 × 96
    2 blocks                    16         96 × 96
    halve, 2 blocks             32         48 × 48
    halve, 2 blocks             64         24 × 24
    halve, 2 blocks             128        12 × 12
    halve, 2 blocks             128        6 × 6
    landmarks: halve, 2 blocks  128        3 × 3
    conv 1x1, block             32         3 × 3
    conv 3x3                    1404       1 × 1
    score: halve                128        3 × 3
    conv 1x1, block             32         3 × 3
    conv 3x3                    1          1 × 1
    ==========================  =========  ========
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from mfs_lib.errors import InputError
from mfs_lib.networks.frozen import FrozenPReLU
from mfs_lib.networks.mobilefacenet import SamePadConv2d

POINTS = 468
INPUT_SIZE = 192


class MeshOutput(NamedTuple):
    """`landmarks` (B, 468, 3): x, y in pixels of the 192 x 192 input, z in the same scale (smaller is nearer);
    `score` (B,): the logit of there being a face."""

    landmarks: Tensor
    score: Tensor


class MeshBlock(nn.Module):
    """Depthwise 3x3, pointwise 1x1, skip connection, PReLU; halves the side when `stride` is 2."""

    def __init__(self, *, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.extra = out - channels
        self.depthwise = SamePadConv2d(channels=channels, out=channels, kernel=3, stride=stride, groups=channels)
        self.pointwise = nn.Conv2d(channels, out, 1)
        self.prelu = FrozenPReLU(out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H / stride, W / stride)."""
        skip = functional.max_pool2d(x, 2) if self.stride == 2 else x
        if self.extra:
            skip = functional.pad(skip, (0, 0, 0, 0, 0, self.extra))
        y: Tensor = self.prelu(skip + self.pointwise(self.depthwise(x)))
        return y


class FaceMesh(nn.Module):
    """The 468-point network.

    ``weights.models.load_mesh`` fills and freezes the parameters, and sets the three buffers that describe the mesh.

    Attributes:
        canonical: (468, 3) metric coordinates of the canonical face: centimetres, y up, z towards the viewer.
        uv: (468, 2) texture coordinates in [0, 1].
        triangles: (898, 3) indices of the corners of the mesh's triangles.
    """

    canonical: Tensor
    uv: Tensor
    triangles: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SamePadConv2d(channels=3, out=16, kernel=3, stride=2), FrozenPReLU(16))
        blocks = [MeshBlock(channels=16, out=16), MeshBlock(channels=16, out=16)]
        channels = 16
        for out in (32, 64, 128, 128):
            blocks += [MeshBlock(channels=channels, out=out, stride=2)]
            blocks += [MeshBlock(channels=out, out=out), MeshBlock(channels=out, out=out)]
            channels = out
        self.shared = nn.Sequential(*blocks)
        halved = [MeshBlock(channels=128, out=128) for _ in range(2)]
        self.landmarks = nn.Sequential(MeshBlock(channels=128, out=128, stride=2), *halved, *_head(3 * POINTS))
        self.score = nn.Sequential(MeshBlock(channels=128, out=128, stride=2), *_head(1))
        self.register_buffer("canonical", torch.zeros(POINTS, 3))
        self.register_buffer("uv", torch.zeros(POINTS, 2))
        self.register_buffer("triangles", torch.zeros(898, 3, dtype=torch.int64))

    def forward(self, x: Tensor) -> MeshOutput:
        """Landmarks of upright, centred faces.

        Args:
            x: (B, 3, 192, 192) RGB in [0, 1]; the face fills about two thirds of the side.

        Raises:
            InputError: another shape.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, INPUT_SIZE, INPUT_SIZE):
            raise InputError(f"The face mesh takes faces (B, 3, 192, 192), got {tuple(x.shape)}.")
        # The network takes [0, 1] as it is.
        shared = self.shared(self.stem(x))
        points = self.landmarks(shared)
        return MeshOutput(points.reshape(-1, POINTS, 3), self.score(shared).reshape(-1))


def _head(out: int) -> list[nn.Module]:
    return [nn.Conv2d(128, 32, 1), FrozenPReLU(32), MeshBlock(channels=32, out=32), nn.Conv2d(32, out, 3)]
