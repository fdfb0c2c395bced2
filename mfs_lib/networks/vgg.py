"""VGG-19 (Simonyan and Zisserman 2015, Table 1, E; torchvision's ImageNet weights): features for the perceptual loss.

MobileFaceSwap's equation 3 compares features of "VGG" and names neither the depth nor the layers. The five maps here
are those of pix2pixHD (Wang et al. 2018): the first convolution at each resolution, after its ReLU. What lies deeper
isn't built.

| part           | layers                              | map     | output at 224   |
|----------------|-------------------------------------|---------|-----------------|
| input          | RGB in [0,1], ImageNet-normalised   |         | 3 x 224 x 224   |
| features.0     | conv 3x3 to 64, ReLU                | relu1_1 | 64 x 224 x 224  |
| features.2     | conv 3x3 to 64, ReLU; max-pool 2x2  |         | 64 x 112 x 112  |
| features.5     | conv 3x3 to 128, ReLU               | relu2_1 | 128 x 112 x 112 |
| features.7     | conv 3x3 to 128, ReLU; max-pool 2x2 |         | 128 x 56 x 56   |
| features.10    | conv 3x3 to 256, ReLU               | relu3_1 | 256 x 56 x 56   |
| features.12-16 | three of them to 256; max-pool 2x2  |         | 256 x 28 x 28   |
| features.19    | conv 3x3 to 512, ReLU               | relu4_1 | 512 x 28 x 28   |
| features.21-25 | three of them to 512; max-pool 2x2  |         | 512 x 14 x 14   |
| features.28    | conv 3x3 to 512, ReLU               | relu5_1 | 512 x 14 x 14   |

Submodules carry torchvision's names. 12,944,960 parameters, 26 state dict entries, 18.121 G multiply-accumulates at
224. pix2pixHD shows the network pictures in [-1,1] without ImageNet's mean and deviation, and weighs the maps by 1/32,
1/16, 1/8, 1/4 and 1; here they are normalised as the weights were trained, and equation 3 weighs all maps alike.
"""

from __future__ import annotations

from torch import Tensor, nn

from mfs_lib.errors import InputError
from mfs_lib.networks.resnet import normalise_imagenet

STAGES = ((1, 2), (2, 2), (4, 4), (8, 4), (8, 1))
"""(channels over those of the first stage, convolutions); a max-pool parts two stages."""

TAPS = (1, 6, 11, 20, 29)
"""Indices in `features` of the layers whose outputs are the feature maps: relu1_1 to relu5_1."""

_SMALLEST = 16


class VGG19Features(nn.Module):
    """VGG-19 as far as relu5_1; `width` narrows it for small experiments (64 in the checkpoint).

    ``weights.models.load_vgg19`` fills and freezes the parameters.
    """

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        self.channels = tuple(width * factor for factor, _ in STAGES)
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, (_, convolutions) in zip(self.channels, STAGES, strict=True):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for _ in range(convolutions):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = outputs
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor, *, taps: int = len(TAPS)) -> list[Tensor]:
        """Feature maps at 1, 1/2, 1/4, 1/8 and 1/16 of the input's side.

        Args:
            x: (B, 3, H, W) RGB in [0, 1], sides at least 16 (made for 224).
            taps: how many of them, finest first; what lies deeper isn't computed.

        Returns:
            `taps` tensors (B, C, H / 2^k, W / 2^k) with C of ``channels``, none negative; sizes are rounded down.

        Raises:
            InputError: another shape, or another number of maps than 1 to 5.
        """
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < _SMALLEST:
            raise InputError(f"VGG-19 takes (B, 3, H, W) with sides of at least {_SMALLEST}, got {tuple(x.shape)}.")
        if not 1 <= taps <= len(TAPS):
            raise InputError(f"VGG-19 has 1 to {len(TAPS)} maps to give, not {taps}.")
        hidden = normalise_imagenet(x)
        maps: list[Tensor] = []
        for index, layer in enumerate(list(self.features)[: TAPS[taps - 1] + 1]):
            hidden = layer(hidden)
            if index in TAPS:
                maps.append(hidden)
        return maps
