"""A student that works on larger pictures than it is given.

Of a target, the mobile network keeps three filtered colours at half its size: all that its first depthwise layer passes
on. What it draws is enlarged from there. Of a picture of 64 x 64 it can thus show 32 x 32, and a recogniser hardly knows a
face in that. Enlarged to 128 x 128 before, and reduced after, the picture loses nothing on the way.
"""

from __future__ import annotations

from torch import Tensor

from mfs_lib.faces.resizing import resized
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, SwapOutput, composite


def swap_enlarged(
    student: MobileFaceSwap,
    target: Tensor,
    source: IdentityFeatures,
    size: int,
    *,
    levels: list[Tensor] | None = None,
) -> SwapOutput:
    """Swap onto `target` (B,3,S,S) resized to `size`; picture and mask come back at S, composed with the target there.

    What the mask leaves alone is the target itself, not one that was enlarged and reduced. `levels` receives the decoder's
    features, as in `MobileFaceSwap.apply_weights`.
    """
    out = student.apply_weights(resized(target, size), student.inject(source), levels=levels)
    if target.shape[-1] == size:
        return out
    raw, mask = (resized(x, target.shape[-1]) for x in (out.raw, out.mask))
    return SwapOutput(composite(raw, mask, target), raw, mask)
