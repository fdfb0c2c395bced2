"""BiSeNet: face parsing into 19 labels (Yu et al. 2018; zllrunning/face-parsing.PyTorch, trained on CelebAMask-HQ).

The field's usual parsing network: MobileFaceSwap takes the background of L_mask from it, SimSwap its paste-back mask. As in
that repository, and unlike the paper, the spatial path is replaced by the trunk's own features at an eighth of the size. CBR
is a convolution without bias, batch normalisation and ReLU.

| part         | layers                                                            | output at 512      |
|--------------|-------------------------------------------------------------------|--------------------|
| input        | RGB in [0,1], ImageNet-normalised                                 | 3 x 512            |
| cp.resnet    | the trunk of `resnet`, depth 18: f8, f16, f32                     | 128, 256, 512 ch   |
| cp.conv_avg  | mean of f32, CBR 1x1 512-128                                      | 128 x 1            |
| cp.arm32     | CBR 3x3 512-128, times sigmoid(BN(1x1(mean)))                     | 128 x 16           |
| conv_head32  | arm32 + conv_avg, nearest to f16's size, CBR 3x3: **c16**         | 128 x 32           |
| cp.arm16     | on f16, 256-128, as arm32                                         | 128 x 32           |
| conv_head16  | arm16 + c16, nearest to f8's size, CBR 3x3: **c8**                | 128 x 64           |
| ffm          | cat(f8, c8), CBR 1x1 256-256; y + y · sigmoid(1x1(ReLU(1x1(mean)))) | 256 x 64         |
| conv_out     | on ffm: CBR 3x3 256-256, 1x1 to 19, bilinear, corners aligned     | 19 x 512           |
| conv_out16   | on c8: CBR 3x3 128-64, 1x1 to 19, bilinear; training only         | 19 x 512           |
| conv_out32   | on c16: the same; training only                                   | 19 x 512           |

13,300,416 parameters and 191 state dict entries (the repository's names). Multiply-accumulates at 512: 13.77 G with the
two auxiliary heads, which the repository always computes; `forward` leaves them out.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.networks.resnet import ResNet, normalise_imagenet

LABELS = (
    "background", "skin", "left brow", "right brow", "left eye", "right eye", "eye glasses", "left ear", "right ear",
    "earring", "nose", "mouth", "upper lip", "lower lip", "neck", "necklace", "cloth", "hair", "hat",
)  # fmt: skip
"""The 19 labels by their number."""

BACKGROUND_LABELS = frozenset({0, 7, 8, 9, 14, 15, 16, 17, 18})
"""Labels that are not the face, as HFFS has them: background, ears, earrings, neck, necklace, cloth, hair and hat.

MobileFaceSwap doesn't say which labels are its background. The labels left are those that SimSwap's paste-back counts as
face when it includes the inside of the mouth.
"""


class ParsingLogits(NamedTuple):
    """Scores (B,19,H,W) of the three heads: the answer and the two that only help training."""

    main: Tensor
    auxiliary16: Tensor
    auxiliary32: Tensor


def face_mask(logits: Tensor, *, background: frozenset[int] = BACKGROUND_LABELS) -> Tensor:
    """Scores (B,19,H,W) -> mask (B,1,H,W) of the logits' type: 1 where the likeliest label is not in `background`.

    Raises InputError for another shape or a label that there is not.
    """
    if logits.ndim != 4 or logits.shape[1] != len(LABELS):
        raise InputError(f"parsing scores are (B,{len(LABELS)},H,W), got {tuple(logits.shape)}; give BiSeNet's output")
    if not background <= set(range(len(LABELS))):
        raise InputError(f"labels are numbers from 0 to {len(LABELS) - 1}, got {sorted(background)}; see LABELS")
    is_face = torch.tensor([label not in background for label in range(len(LABELS))], device=logits.device)
    return is_face[logits.argmax(dim=1, keepdim=True)].to(logits.dtype)


class ConvBnRelu(nn.Module):
    """CBR: convolution that keeps the size, batch normalisation, ReLU."""

    def __init__(self, *, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,H,W)."""
        return functional.relu(self.bn(self.conv(x)))


class AttentionRefinement(nn.Module):
    """CBR whose channels are scaled by a number in (0,1) computed from all channels' means."""

    def __init__(self, *, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvBnRelu(inputs=inputs, outputs=outputs, kernel=3)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,H,W)."""
        y = cast(Tensor, self.conv(x))
        return y * torch.sigmoid(self.bn_atten(self.conv_atten(y.mean(dim=(2, 3), keepdim=True))))


class ContextPath(nn.Module):
    """The trunk, and its deep features brought up to an eighth of the input's size."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet(depth=18)
        self.arm16 = AttentionRefinement(inputs=256, outputs=128)
        self.arm32 = AttentionRefinement(inputs=512, outputs=128)
        self.conv_head32 = ConvBnRelu(inputs=128, outputs=128, kernel=3)
        self.conv_head16 = ConvBnRelu(inputs=128, outputs=128, kernel=3)
        self.conv_avg = ConvBnRelu(inputs=512, outputs=128, kernel=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised (B,3,H,W) -> f8 (B,128,H/8,W/8), c8 (B,128,H/8,W/8), c16 (B,128,H/16,W/16)."""
        _, f8, f16, f32 = self.resnet.levels(x)
        top = self.arm32(f32) + self.conv_avg(f32.mean(dim=(2, 3), keepdim=True))
        c16 = self.conv_head32(functional.interpolate(top, size=f16.shape[2:], mode="nearest"))
        middle = self.arm16(f16) + c16
        return f8, self.conv_head16(functional.interpolate(middle, size=f8.shape[2:], mode="nearest")), c16


class FeatureFusion(nn.Module):
    """Joins spatial and context features, then adds them to themselves scaled per channel."""

    def __init__(self, *, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convblk = ConvBnRelu(inputs=inputs, outputs=outputs, kernel=1)
        self.conv1 = nn.Conv2d(outputs, outputs // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs // 4, outputs, 1, bias=False)

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        """Two maps of (B,inputs/2,H,W) -> (B,outputs,H,W)."""
        y = cast(Tensor, self.convblk(torch.cat((spatial, context), dim=1)))
        scale = functional.relu(self.conv1(y.mean(dim=(2, 3), keepdim=True)))
        return y + y * torch.sigmoid(self.conv2(scale))


class ParsingHead(nn.Module):
    """CBR 3x3 and a 1x1 convolution to the labels."""

    def __init__(self, *, inputs: int, middle: int, labels: int) -> None:
        super().__init__()
        self.conv = ConvBnRelu(inputs=inputs, outputs=middle, kernel=3)
        self.conv_out = nn.Conv2d(middle, labels, 1, bias=False)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B,inputs,h,w) -> (B,labels,*size), bilinear with aligned corners."""
        y = self.conv_out(self.conv(x))
        return functional.interpolate(y, size=size, mode="bilinear", align_corners=True)


class BiSeNet(nn.Module):
    """Which part of a face each pixel shows."""

    input_size = 512

    def __init__(self) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = FeatureFusion(inputs=256, outputs=256)
        self.conv_out = ParsingHead(inputs=256, middle=256, labels=len(LABELS))
        self.conv_out16 = ParsingHead(inputs=128, middle=64, labels=len(LABELS))
        self.conv_out32 = ParsingHead(inputs=128, middle=64, labels=len(LABELS))

    def _features(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, tuple[int, int]]:
        good = image.ndim == 4 and image.shape[1] == 3 and min(image.shape) > 0
        if not good or image.shape[2] % 32 or image.shape[3] % 32:
            raise InputError(
                f"BiSeNet reads (B,3,H,W) with H and W multiples of 32 (trained at 512), got {tuple(image.shape)}; resize it"
            )
        return *self.cp(normalise_imagenet(image)), (image.shape[2], image.shape[3])

    def forward(self, image: Tensor) -> Tensor:
        """`image` (B,3,H,W), RGB in [0,1], 512 x 512 as trained -> unbounded scores of the labels (B,19,H,W).

        Raises InputError for sides that are not multiples of 32.
        """
        f8, c8, _, size = self._features(image)
        return cast(Tensor, self.conv_out(self.ffm(f8, c8), size))

    def heads(self, image: Tensor) -> ParsingLogits:
        """The same with the two auxiliary heads; the main scores equal those of `forward`."""
        f8, c8, c16, size = self._features(image)
        main = self.conv_out(self.ffm(f8, c8), size)
        return ParsingLogits(main, self.conv_out16(c8, size), self.conv_out32(c16, size))
