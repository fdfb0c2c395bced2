"""SFace: the identity network of this project's own students (Zhong et al., IEEE TIP 2021; OpenCV Zoo, 2021dec).

A MobileNetV1 without its pooling: every row but the first is a depthwise 3x3 and a pointwise 1x1 convolution, each
followed by PReLU. Batch normalisation is folded into the convolutions, so that the network is for inference (and for
gradients to its input) only.

    ===========  =========  ======  ==========
    layer        channels   stride  output
    ===========  =========  ======  ==========
    conv 3x3     3 → 32     1       112 × 112
    block 2      32 → 64    1       112 × 112
    block 3      64 → 128   2       56 × 56
    block 4      128 → 128  1       56 × 56
    block 5      128 → 256  2       28 × 28
    block 6      256 → 256  1       28 × 28
    block 7      256 → 512  2       14 × 14
    blocks 8-12  512 → 512  1       14 × 14
    block 13     512 → 1024 2       7 × 7
    block 14     1024→ 1024 1       7 × 7
    normalise    1024       –       7 × 7
    linear       50176→128  –       128
    ===========  =========  ======  ==========
"""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor, nn

from mfs_lib.errors import InputError
from mfs_lib.networks.frozen import ChannelAffine, FrozenPReLU
from mfs_lib.networks.identity import IdentityFeatures

BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""(output channels, stride) of blocks 2 to 14."""


class SFace(nn.Module):
    """SFace recogniser, 112 x 112 RGB to a 128-dimensional identity.

    Parameters are created with PyTorch's default initialisation; ``weights.models.load_sface`` fills and freezes them.
    """

    embedding_size = 128
    feature_channels = 1024
    input_size = 112

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), FrozenPReLU(32))
        blocks: list[nn.Module] = []
        channels = 32
        for out, stride in BLOCKS:
            blocks.append(_block(channels, out, stride=stride))
            channels = out
        self.blocks = nn.Sequential(*blocks)
        # The normalisation after the last activation ("bn1"), as the per-channel scale and shift that it is.
        self.normalise = ChannelAffine(channels=channels)
        self.linear = nn.Linear(channels * 7 * 7, self.embedding_size)

    def forward(self, x: Tensor) -> IdentityFeatures:
        """Identity of aligned faces.

        Args:
            x: (B, 3, 112, 112) RGB in [0, 1], aligned by ArcFace's template.

        Returns:
            embedding (B, 128), L2-normalised; feature_map (B, 1024, 7, 7): the output of the batch normalisation after
            the last convolution block (ONNX node ``bn1``), i.e. what the linear layer reads.

        Raises:
            InputError: another shape.
        """
        embedding, feature_map = self.raw(x)
        return IdentityFeatures(functional.normalize(embedding, dim=1), feature_map)

    def raw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As ``forward``, but the embedding (B, 128) as the network gives it, before normalisation."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, 112, 112):
            raise InputError(f"SFace takes aligned faces (B, 3, 112, 112), got {tuple(x.shape)}.")
        hidden = self.blocks(self.stem(x * (255 / 128) - 127.5 / 128))
        feature_map = self.normalise(hidden)  # [B, 1024, 7, 7]
        return self.linear(feature_map.flatten(1)), feature_map


def _block(channels: int, out: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels),
        FrozenPReLU(channels),
        nn.Conv2d(channels, out, 1),
        FrozenPReLU(out),
    )
