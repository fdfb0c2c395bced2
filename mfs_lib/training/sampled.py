"""Triplets of sampled people: target, exact swap, and whose face it is, with two source pictures of everybody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mfs_lib.faces.morphable.codes import Identity
from mfs_lib.faces.morphable.model import MorphableModel
from mfs_lib.faces.morphable.parallel import Arrays, chunk_generator, draw, process_world
from mfs_lib.training.pools import Triplets

CHUNK = 25
"""People or pictures that one task of a process draws."""


@dataclass(frozen=True)
class SampledPool:
    """Triplets, two pictures of each source (2P, 3, S, S) uint8 (person p is at p and at P + p), and who they are."""

    triplets: Triplets
    sources: Tensor
    codes: Tensor  # (2P, D) identity codes, each entry scaled by how much it changes a face


def to_uint8(image: Tensor) -> Tensor:
    """[0, 1] float to uint8."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def _people(task: tuple[int, int], *, seed: int, size: int) -> Arrays:
    world, (chunk, count) = process_world(), task
    generator = chunk_generator(seed, "people", chunk)
    who = world.sample_identities(count, generator)
    pictures = []
    for _ in range(2):
        how = world.sample_attributes(count, generator, wearers=who, occluded=0.1)
        pictures.append(to_uint8(world.render(who, how, size=size).image).numpy())
    return who.shape.numpy(), who.texture.numpy(), who.group.numpy(), *pictures


def _triplets(task: tuple[int, Arrays], *, seed: int, size: int) -> Arrays:
    world, (chunk, codes) = process_world(), task
    who = Identity(*(torch.from_numpy(c) for c in codes))
    target = world.sample(len(who), chunk_generator(seed, "triplets", chunk), size=size)
    truth = world.render(who, target.attributes, size=size, matrix=target.matrix)
    mask = torch.maximum(target.face_mask, truth.face_mask)
    return tuple(to_uint8(x).numpy() for x in (target.image, truth.image, mask))


def code_scale(model: MorphableModel, regions: int) -> tuple[Tensor, Tensor]:
    """How far one standard deviation of each shape (R*Ks,) and texture (R*Kt,) entry moves a face, largest 1."""
    scales = []
    for basis in (model.shape_basis, model.texture_basis):
        size = basis.flatten(1).norm(dim=1)
        scales.append((size / size.max()).repeat(regions))
    return scales[0], scales[1]


def _people_chunks(people: int) -> list[tuple[int, int]]:
    return [(i, len(part)) for i, part in enumerate(torch.split(torch.arange(people), CHUNK))]


def sampled_people(*, people: int, size: int, seed: int, processes: int = 1) -> Tensor:
    """The sources (2P, 3, S, S) uint8 of the `sampled_pool` with the same settings, drawn again."""
    drawn = draw(
        partial(_people, seed=seed, size=size), _people_chunks(people), processes=processes, label="sampled people"
    )
    return torch.from_numpy(np.concatenate(drawn[-2:]))


def sampled_pool(*, people: int, count: int, size: int, seed: int, processes: int = 1) -> SampledPool:
    """`count` sampled targets, each with the exact swap of one of `people` sampled people."""
    shape, texture, group, first, second = draw(
        partial(_people, seed=seed, size=size), _people_chunks(people), processes=processes, label="sampled people"
    )
    index = torch.randint(0, people, (count,), generator=chunk_generator(seed, "owners", 0))
    work = [(i, (shape[o], texture[o], group[o])) for i, o in enumerate(x.numpy() for x in torch.split(index, CHUNK))]
    target, truth, mask = draw(
        partial(_triplets, seed=seed, size=size), work, processes=processes, label="sampled triplets"
    )
    shape_scale, texture_scale = code_scale(process_world().model, shape.shape[1])
    flat = [torch.from_numpy(x).flatten(1) for x in (shape, texture)]
    codes = torch.cat([flat[0] * shape_scale, flat[1] * texture_scale], 1)
    source = torch.stack([index, index + len(shape)], 1)  # unflipped targets see one picture, flipped the other
    pictures = [torch.from_numpy(x) for x in (target, truth, mask)]
    triplets = Triplets(pictures[0], pictures[1], pictures[2], source)
    return SampledPool(triplets, torch.from_numpy(np.concatenate([first, second])), codes.repeat(2, 1))
