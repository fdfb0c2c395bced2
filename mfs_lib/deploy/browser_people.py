"""The people of the page: four whose faces are offered, three pictures to put them on. None of them exists.

They are sampled from the face world with fixed seeds, chosen by looking at many for few visible flaws and for being
unlike one another.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from mfs_lib.faces.morphable import MorphableWorld, WorldSample

PORTRAIT_SIDE = 256
PICTURE_SIDE = 384
_BACKDROP = (0.62, 0.66, 0.70)


@dataclass(frozen=True)
class Sampled:
    """One sampled person or picture.

    Attributes:
        name: of its files.
        label: what the page calls it.
        seed: of everything about it.
    """

    name: str
    label: str
    seed: int


PEOPLE = (
    Sampled("brown", "a woman with brown hair, tied back", 1039),
    Sampled("dark", "a man with short black hair and dark skin", 3105),
    Sampled("fair", "a woman with fair hair and blue eyes", 1020),
    Sampled("bearded", "a man with long dark hair and a beard", 1016),
)
PICTURES = (
    Sampled("freckled", "a woman with freckles, her head slightly turned", 2016),
    Sampled("facing", "a man who faces the camera", 2009),
    Sampled("tilted", "a woman with black hair, her head tilted", 2017),
)
"""The first of each are the page's first choice."""


def portraits(world: MorphableWorld, person: Sampled, *, crop_size: int) -> tuple[Tensor, Tensor]:
    """One person before a plain backdrop, in even light, hardly turned.

    Returns:
        The aligned crop (1, 3, `crop_size`, `crop_size`) and the portrait (1, 3, `PORTRAIT_SIDE`, `PORTRAIT_SIDE`), in
        [0, 1].
    """
    generator = torch.Generator().manual_seed(person.seed)
    who = world.sample_identities(1, generator)
    how = world.sample_attributes(1, generator, wearers=who, occluded=0)
    backdrop = torch.tensor(_BACKDROP)[None, :, None, None].expand_as(how.background)
    calm = dataclasses.replace(
        how,
        angles=how.angles * 0.15,
        framing=torch.zeros_like(how.framing),
        light=torch.tensor([[0.0, -0.05, 0.2, 1.0, 1.0, 1.0]]),
        colour=torch.zeros_like(how.colour),
        degrade=_SHARP,
        background=backdrop,
    )
    crop = world.render(who, calm, size=crop_size).image
    return crop, world.render(who, calm, size=PORTRAIT_SIDE, aligned=False).image


def picture(world: MorphableWorld, target: Sampled) -> WorldSample:
    """A picture (1, 3, `PICTURE_SIDE`, `PICTURE_SIDE`) in [0, 1] to swap on, the head as it was held, a quiet background."""
    generator = torch.Generator().manual_seed(target.seed)
    who = world.sample_identities(1, generator)
    how = world.sample_attributes(1, generator, wearers=who, occluded=0)
    quiet = how.background.mean((2, 3), keepdim=True) * 0.8 + how.background * 0.2
    quiet_how = dataclasses.replace(how, degrade=_SHARP, background=quiet, colour=how.colour * 0.3)
    return world.render(who, quiet_how, size=PICTURE_SIDE, aligned=False)


_SHARP = torch.tensor([[0.0, 100.0, 0.0]])  # no blur, no JPEG
