"""Codes of the face world and how they are sampled: who somebody is, and how they happen to be pictured."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.faces.morphable.model import REGIONS, MorphableModel

Codes = TypeVar("Codes", bound="_Batch")


@dataclass(frozen=True)
class _Batch:
    """A batch of codes: every field has the batch as its first axis."""

    def __len__(self) -> int:
        return int(getattr(self, fields(self)[0].name).shape[0])

    def __getitem__(self: Codes, index: Tensor | slice | list[int]) -> Codes:
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self: Codes, device: torch.device | str) -> Codes:
        """The same codes on another device."""
        return type(self)(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def vector(self) -> Tensor:
        """All codes of a sample as one vector, (B, D)."""
        return torch.cat(
            [getattr(self, f.name).flatten(1) for f in fields(self) if getattr(self, f.name).dim() > 1], dim=1
        )


@dataclass(frozen=True)
class Identity(_Batch):
    """Who: codes of unit variance for each of the model's regions."""

    shape: Tensor  # (B, R, Ks)
    texture: Tensor  # (B, R, Kt)
    group: Tensor  # (B,) which of the model's two groups the person's donors come from


@dataclass(frozen=True)
class Attributes(_Batch):
    """How: everything that a swap must keep."""

    surround: Tensor  # (B, Kv) hair, ears, neck
    head: Tensor  # (B, Ks) shape of the head around the face: that of the surround's owner
    expression: Tensor  # (B, Ke)
    angles: Tensor  # (B, 3) yaw, pitch, roll in degrees
    framing: Tensor  # (B, 4) log scale, shift x, shift y (crop sides), tilt (degrees) beside exact alignment
    light: Tensor  # (B, 6) direction x, y, z times strength, then colour of the directed light
    colour: Tensor  # (B, 6) log gains of R, G, B, log gamma, log contrast, log saturation
    degrade: Tensor  # (B, 3) blur sigma (fraction of the side x 100), JPEG quality 1..100, chance gate 0/1
    background: Tensor  # (B, 3, b, b) picture
    occluder: Tensor  # (B, 12) see `occluders.py`


MAX_YAW, MAX_PITCH, MAX_ROLL = 35.0, 20.0, 20.0


def sample_identities(
    model: MorphableModel, count: int, generator: torch.Generator, *, spread: float = 1.5
) -> Identity:
    """People who don't exist.

    Each region takes its code from one training person or a mixture of two of the same group, all regions then share a
    Gaussian step; a region-wise choice keeps the texture as crisp as a photograph, the step leaves the training set.

    Args:
        spread: scale of codes about the mean face; above 1 people are more distinct than those photographed.
    """
    regions, people = len(REGIONS), len(model.texture_codes)
    group = torch.randint(0, 2, (count,), generator=generator)
    members = [torch.nonzero(model.group.cpu() == g).flatten() for g in (0, 1)]

    def donors(columns: int) -> Tensor:
        draw = torch.rand((count, columns), generator=generator)
        picked = [m[(draw * len(m)).long().clamp(max=len(m) - 1)] for m in members]
        return torch.where(group[:, None] == 0, picked[0], picked[1])

    first, second = donors(regions), donors(regions)
    share = torch.rand((count, regions, 1), generator=generator) ** 2 * 0.4
    weights = torch.zeros(count, regions, people)
    weights.scatter_add_(2, first[..., None], 1 - share)
    weights.scatter_add_(2, second[..., None], share)
    shape = weights @ model.shape_codes.cpu()
    texture = weights @ model.texture_codes.cpu()
    step = torch.randn((count, 1, shape.shape[2]), generator=generator)
    return Identity(shape=(shape + 0.4 * step) * spread, texture=texture * (1 + (spread - 1) / 2), group=group)


def _background(count: int, generator: torch.Generator, size: int = 64) -> Tensor:
    """Out-of-focus rooms and landscapes: coloured noise with a random spectrum, gradients, bokeh discs and beams."""
    tint = torch.rand((count, 3, 1, 1), generator=generator)
    out = 0.1 + 0.75 * (0.75 * tint.mean(1, keepdim=True) + 0.25 * tint)
    roughness = torch.rand((count, 1, 1, 1), generator=generator)
    for level, side in enumerate((2, 4, 8, 16, 32)):
        noise = torch.randn((count, 3, side, side), generator=generator)
        noise = 0.85 * noise.mean(1, keepdim=True) * 3**0.5 + 0.15 * noise
        strength = 0.16 * (0.35 + 0.6 * roughness) ** level
        out = out + strength * F.interpolate(noise, size=(size, size), mode="bicubic", align_corners=False)
    line = torch.linspace(0, 1, size)
    yy, xx = torch.meshgrid(line, line, indexing="ij")
    for _ in range(4):
        centre = torch.rand((count, 2, 1, 1), generator=generator)
        radius = 0.03 + 0.2 * torch.rand((count, 1, 1), generator=generator) ** 2
        colour = torch.rand((count, 3, 1, 1), generator=generator)
        colour = 0.7 * colour.mean(1, keepdim=True) + 0.3 * colour
        present = (torch.rand((count, 1, 1), generator=generator) < 0.4).float()
        beam = (torch.rand((count, 1, 1), generator=generator) < 0.5).float()
        dx, dy = xx - centre[:, 0], yy - centre[:, 1]
        distance = beam * dx.abs() + (1 - beam) * (dx**2 + dy**2).sqrt()
        cover = torch.sigmoid((radius - distance) * (20 + 60 * roughness[:, 0])) * present * 0.7
        out = out * (1 - cover[:, None]) + colour * cover[:, None]
    plain = (torch.rand((count, 1, 1, 1), generator=generator) < 0.2).float()
    return (plain * (out.mean((2, 3), keepdim=True) * 0.9 + 0.1 * out) + (1 - plain) * out).clamp(0, 1)


def _occluder(count: int, generator: torch.Generator, chance: float) -> Tensor:
    """Kind (0 none, 1 glasses, 2 hand-sized patch) and ten numbers in [0, 1] that its drawing interprets, then a spare."""
    kind = (torch.rand((count, 1), generator=generator) < chance).float()
    kind = kind * (1 + (torch.rand((count, 1), generator=generator) < 0.4).float())
    return torch.cat([kind, torch.rand((count, 11), generator=generator)], 1)


def sample_attributes(
    model: MorphableModel,
    count: int,
    generator: torch.Generator,
    *,
    occluded: float = 0.15,
    group: Tensor | None = None,
) -> Attributes:
    """Ways of being pictured: head pose to +-35/20/20 degrees, a smile, light, colour, hair, background, flaws.

    Args:
        occluded: share of pictures with glasses or a hand.
        group: (B,) the model's group of each person who will wear this hair; random without it.
    """

    def normal(columns: int, scale: float) -> Tensor:
        return torch.randn((count, columns), generator=generator) * scale

    def uniform(columns: int) -> Tensor:
        return torch.rand((count, columns), generator=generator)

    people = len(model.surround_codes)
    likely = torch.ones(count, people)
    if group is not None:
        likely = (group.cpu()[:, None] == model.group.cpu()).float()
    owner = torch.multinomial(likely, 1, generator=generator).flatten()
    surround, head = model.surround_codes.cpu()[owner], model.shape_codes.cpu()[owner]
    smiler = torch.randint(0, people, (count,), generator=generator)
    amount = uniform(1) * 1.25 - 0.1
    expression = model.expression_codes.cpu()[smiler] * torch.where(uniform(1) < 0.35, amount * 0.15, amount)
    limits = torch.tensor([MAX_YAW, MAX_PITCH, MAX_ROLL])
    angles = (normal(3, 1.0) * limits * 0.45).clamp(-limits, limits)
    framing = torch.cat([normal(1, 0.03), normal(2, 0.012), normal(1, 2.0)], 1)
    direction = normal(3, 1.0) * torch.tensor([1.0, 0.6, 0.4]) + torch.tensor([0, -0.35, 0.7])
    direction = F.normalize(torch.cat([direction[:, :2], direction[:, 2:].clamp(min=0.35)], 1), dim=1)
    light = torch.cat([direction * (uniform(1) * 0.55), 1 + normal(3, 0.07)], 1)
    colour = torch.cat([normal(1, 0.1) + normal(3, 0.05), normal(1, 0.12) - 0.06, normal(1, 0.08), normal(1, 0.2)], 1)
    degrade = torch.cat([uniform(1) ** 3 * 0.9, 30 + 70 * uniform(1), (uniform(1) < 0.4).float()], 1)
    return Attributes(
        surround=surround, head=head, expression=expression, angles=angles, framing=framing, light=light,
        colour=colour, degrade=degrade, background=_background(count, generator), occluder=_occluder(count, generator, occluded),
    )  # fmt: skip
