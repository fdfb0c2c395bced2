"""DeepFakes "original": the autoencoder pair that must be trained anew for each two people (deepfakes/faceswap).

One encoder shared by both people and one decoder for each; a swap encodes a face of one and decodes it as the other.
Layers from faceswap's `plugins/train/model/original.py` (1024 dimensions, without the low-memory option):

| part    | layers                                                            | output       |
|---------|-------------------------------------------------------------------|--------------|
| input   | [0,1]                                                             | 3 x 64 x 64  |
| encoder | 5x5 stride 2, leaky ReLU: four times, to 128, 256, 512, 1024      | 1024 x 4 x 4 |
|         | flatten; linear to 1024; linear to 16384 (nothing between); shape | 1024 x 4 x 4 |
|         | grow to 512                                                       | 512 x 8 x 8  |
| decoder | grow to 256, 128, 64                                              | 64 x 64 x 64 |
|         | 5x5, sigmoid                                                      | 3 x 64 x 64  |

Grow = 3x3 to four times the channels, leaky ReLU, each four channels become 2 x 2 pixels. Slope 0.1. Convolutions pad
as TensorFlow's "same" does: at stride 2 one row above and left, two rows below and right.

| part                            | parameters |
|---------------------------------|------------|
| encoder                         | 69,662,976 |
| decoder                         | 6,199,747  |
| encoder and one decoder         | 75,862,723 |
| encoder and both decoders       | 82,062,470 |

One path takes 1,900,150,784 multiply-accumulates.

No weights of the original are read. A converter would have to transpose kernels and linear layers, and to reorder
what the channels-last layout orders in another way: the rows of the two linear layers (there height, width, channel)
and the outputs of the 3x3 convolutions before growing (there row, column, channel; here channel, row, column). The
original trains on BGR images; the network itself doesn't know.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast, get_args

from torch import Tensor, nn

from mfs_lib.errors import InputError
from mfs_lib.networks.mobilefacenet import SamePadConv2d

Person = Literal["a", "b"]
"""The two people that a model was trained on."""

_SLOPE = 0.1
_SIDE = 64


def _grow(inputs: int, outputs: int) -> nn.Sequential:
    """(B,inputs,H,W) -> (B,outputs,2H,2W)."""
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 3, padding=1), nn.LeakyReLU(_SLOPE), nn.PixelShuffle(2))


class DeepFakesEncoder(nn.Module):
    """What both people share; `width` is the first layer's number of channels, `code` the bottleneck's size."""

    def __init__(self, *, width: int = 128, code: int = 1024) -> None:
        super().__init__()
        channels = (3, width, 2 * width, 4 * width, 8 * width)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [SamePadConv2d(channels=inputs, out=outputs, kernel=5, stride=2), nn.LeakyReLU(_SLOPE)]
        self.convolutions = nn.Sequential(*layers)
        side = _SIDE // 16
        values = channels[-1] * side * side
        self.code = nn.Linear(values, code)
        self.expand = nn.Sequential(nn.Linear(code, values), nn.Unflatten(1, (channels[-1], side, side)))
        self.grow = _grow(channels[-1], channels[-2])

    def forward(self, face: Tensor) -> Tensor:
        """`face` (B,3,64,64) in [0,1] -> what the decoders read, (B,512,8,8)."""
        code = self.code(self.convolutions(face).flatten(1))
        return cast(Tensor, self.grow(self.expand(code)))


class DeepFakesDecoder(nn.Module):
    """One person's face painter; `channels` are those of its input."""

    def __init__(self, *, channels: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _grow(channels, channels // 2),
            _grow(channels // 2, channels // 4),
            _grow(channels // 4, channels // 8),
            nn.Conv2d(channels // 8, 3, 5, padding=2),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """`features` (B,512,8,8) -> face (B,3,64,64) in [0,1]."""
        return cast(Tensor, self.layers(features))


class DeepFakes(nn.Module):
    """The encoder and the decoders of two people; `width` scales all channels, the original has 128."""

    input_size = _SIDE

    def __init__(self, *, width: int = 128, code: int = 1024) -> None:
        super().__init__()
        self.encoder = DeepFakesEncoder(width=width, code=code)
        self.decoder_a = DeepFakesDecoder(channels=4 * width)
        self.decoder_b = DeepFakesDecoder(channels=4 * width)

    def forward(self, face: Tensor, person: Person) -> Tensor:
        """`face` (B,3,64,64) in [0,1] of either person -> the same expression as `person`, (B,3,64,64) in [0,1].

        Raises InputError for another size or another person.
        """
        if face.ndim != 4 or tuple(face.shape[1:]) != (3, _SIDE, _SIDE):
            raise InputError(f"DeepFakes reads (B,3,{_SIDE},{_SIDE}), got {tuple(face.shape)}; align and resize it")
        if person not in get_args(Person):
            raise InputError(f"DeepFakes knows the people {get_args(Person)}, not {person!r}")
        decoder = self.decoder_a if person == "a" else self.decoder_b
        return cast(Tensor, decoder(self.encoder(face)))
