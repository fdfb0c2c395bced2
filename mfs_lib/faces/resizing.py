"""Square crops at another size."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def resized(image: Tensor, size: int) -> Tensor:
    """(B,C,S,S) at another size: averaged where it shrinks, bilinear where it grows."""
    if image.shape[-1] == size:
        return image
    if image.shape[-1] > size:
        return functional.interpolate(image, size=(size, size), mode="area")
    return functional.interpolate(image, size=(size, size), mode="bilinear", align_corners=False)
