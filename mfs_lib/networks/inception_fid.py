"""The Inception-v3 that defines FID (Heusel et al. 2017): TensorFlow's of 5 December 2015, as pytorch-fid carries it.

Not the Inception-v3 of torchvision: other weights, and other pooling. Averages in the blocks leave the padding out, and
the last block takes maxima where the paper (Szegedy et al. 2016) and the block before it average. Both are part of what
a published FID is, and so is the resizing without antialiasing, which lets larger pictures alias.

| part                    | layers (see `inception_blocks`)    | output         |
|-------------------------|------------------------------------|----------------|
| input                   | RGB in [0,1], resized, to [-1,1]   | 3 x 299 x 299  |
| Conv2d_1a_3x3           | 3x3 stride 2, no padding           | 32 x 149 x 149 |
| Conv2d_2a_3x3           | 3x3, no padding                    | 32 x 147 x 147 |
| Conv2d_2b_3x3           | 3x3                                | 64 x 147 x 147 |
| max-pool                | 3x3 stride 2, no padding           | 64 x 73 x 73   |
| Conv2d_3b_1x1           | 1x1                                | 80 x 73 x 73   |
| Conv2d_4a_3x3           | 3x3, no padding                    | 192 x 71 x 71  |
| max-pool                | 3x3 stride 2, no padding           | 192 x 35 x 35  |
| Mixed_5b, 5c, 5d        | A, pooled 32, 64, 64               | 288 x 35 x 35  |
| Mixed_6a                | B                                  | 768 x 17 x 17  |
| Mixed_6b, 6c, 6d, 6e    | C, narrow 128, 160, 160, 192       | 768 x 17 x 17  |
| Mixed_7a                | D                                  | 1280 x 8 x 8   |
| Mixed_7b                | E, average                         | 2048 x 8 x 8   |
| Mixed_7c                | E, **max**                         | 2048 x 8 x 8   |
| mean over the 8 x 8     |                                    | 2048           |

21,785,568 parameters, 564 state dict entries (torchvision's names; the checkpoint's classifier of 1008 is left out),
5.711 G multiply-accumulates. The first FIDs were computed by TensorFlow, whose resizing puts pixels elsewhere: they
differ slightly from those of this port.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.networks.inception_blocks import (
    ONE,
    THREE,
    ConvNorm,
    block_a,
    block_b,
    block_c,
    block_d,
    block_e,
)

FEATURES = 2048


class InceptionFID(nn.Module):
    """Inception-v3 of FID, without its classifier.

    ``evaluation.metrics.features.load_inception`` fills and freezes the parameters.
    """

    input_size = 299

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(inputs=3, outputs=32, kernel=THREE, stride=2, padded=False)
        self.Conv2d_2a_3x3 = ConvNorm(inputs=32, outputs=32, kernel=THREE, padded=False)
        self.Conv2d_2b_3x3 = ConvNorm(inputs=32, outputs=64, kernel=THREE)
        self.Conv2d_3b_1x1 = ConvNorm(inputs=64, outputs=80, kernel=ONE)
        self.Conv2d_4a_3x3 = ConvNorm(inputs=80, outputs=192, kernel=THREE, padded=False)
        self.Mixed_5b = block_a(inputs=192, pooled=32)
        self.Mixed_5c = block_a(inputs=256, pooled=64)
        self.Mixed_5d = block_a(inputs=288, pooled=64)
        self.Mixed_6a = block_b(inputs=288)
        self.Mixed_6b = block_c(inputs=768, narrow=128)
        self.Mixed_6c = block_c(inputs=768, narrow=160)
        self.Mixed_6d = block_c(inputs=768, narrow=160)
        self.Mixed_6e = block_c(inputs=768, narrow=192)
        self.Mixed_7a = block_d(inputs=768)
        self.Mixed_7b = block_e(inputs=1280, pool="average")
        self.Mixed_7c = block_e(inputs=2048, pool="max")

    def forward(self, x: Tensor) -> Tensor:
        """`x` (B,3,H,W) RGB in [0,1], of any size -> pooled features (B,2048), none negative.

        Raises InputError for another shape.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise InputError(f"Inception takes pictures (B,3,H,W), got {tuple(x.shape)}.")
        side = (self.input_size, self.input_size)
        hidden = 2 * functional.interpolate(x, size=side, mode="bilinear", align_corners=False) - 1
        hidden = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(hidden)))
        hidden = functional.max_pool2d(hidden, 3, stride=2)
        hidden = functional.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(hidden)), 3, stride=2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                hidden = block(hidden)
        return hidden.mean(dim=(2, 3))
