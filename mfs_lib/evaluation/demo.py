"""Frames of the demonstration that needs no kernel: source, target and swap, drawn beforehand as HTML."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mfs_lib.evaluation.sheets import to_pixels
from mfs_lib.evaluation.training_drawing import swap_crops
from mfs_lib.evaluation.world_drawing import repeat, turned
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap

_QUALITY = 85


def picture_html(images: Sequence[Tensor], alt: str, *, width: int = 480) -> str:
    """Pictures (3, S, S) side by side in one `img` element, `width` browser pixels wide, described by `alt`."""
    row = np.concatenate([to_pixels(image) for image in images], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(row).save(buffer, "jpeg", quality=_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(alt)}" style="width:{width}px;max-width:100%">'


@torch.no_grad()
def scene(
    world: MorphableWorld, student: MobileFaceSwap, recogniser: nn.Module, yaws: Sequence[float], people: int,
    generator: torch.Generator, *, size: int = 128,
) -> list[list[str]]:  # fmt: skip
    """Frames [person][yaw] of one sampled target who turns the head, and of `people` sampled sources.

    Each frame shows source, target and swap; its alternative text says who and at which yaw (degrees).
    """
    sources = world.sample_identities(people, generator)
    how = world.sample_attributes(people, generator, occluded=0.0, wearers=sources)
    portraits = world.render(sources, how, size=size).image
    target = world.sample_identities(1, generator)
    circumstances = world.sample_attributes(1, generator, occluded=0.0, wearers=target)
    targets = world.render(repeat(target, len(yaws)), turned(circumstances, yaws), size=size).image
    frames = []
    for number, portrait in enumerate(portraits, 1):
        swapped = swap_crops(student, recogniser, portrait.expand_as(targets), targets).result
        frames.append([
            picture_html(
                [portrait, before, after],
                f"Source person {number}, the target with the head turned by {yaw:g} degrees, and the swap of both.",
            )
            for yaw, before, after in zip(yaws, targets, swapped, strict=True)
        ])  # fmt: skip
    return frames
