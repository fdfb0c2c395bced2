"""How like other people the sampled people are, as a recogniser sees it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfs_lib.errors import InputError
from mfs_lib.evaluation.identity_metrics import embed
from mfs_lib.evaluation.world_drawing import training_people
from mfs_lib.faces.morphable import Identity, MorphableWorld

SAME, NEAREST, OTHER = "same person, other picture", "nearest training person", "two sampled people"


@torch.no_grad()
def embeddings(
    world: MorphableWorld, judge: nn.Module, people: Identity, generator: torch.Generator, *, size: int = 128
) -> Tensor:
    """Identities (B, E) that a judge sees in one picture of each person, under random circumstances, unoccluded."""
    found = []
    for start in range(0, len(people), 32):
        who = people[slice(start, start + 32)]
        how = world.sample_attributes(len(who), generator, wearers=who, occluded=0.0)
        found.append(embed(judge, world.render(who.to(world.device), how, size=size).image))
    return torch.cat(found)


def likeness(
    world: MorphableWorld, judge: nn.Module, count: int, generator: torch.Generator, *, size: int = 128
) -> dict[str, Tensor]:
    """Cosines (count,) between a picture of a sampled person and three others.

    `SAME`: another picture of that person. `NEAREST`: the most similar among one picture of each training person.
    `OTHER`: a picture of another sampled person. Raises InputError for fewer than two people.
    """
    if count < 2:
        raise InputError("Likeness compares people: sample two at least.")
    people = world.sample_identities(count, generator)
    first, second = (embeddings(world, judge, people, generator, size=size) for _ in range(2))
    known = embeddings(world, judge, training_people(world.model), generator, size=size)
    return {
        SAME: (first * second).sum(1),
        NEAREST: (first @ known.T).amax(1),
        OTHER: (first * second.roll(1, 0)).sum(1),
    }
