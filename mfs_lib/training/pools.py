"""What a student learns from: triplets with truth (sampled and reverse) and photographs without, and who is in them.

All pictures are uint8 crops kept in memory; the identity network sees every source once, before training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.folders import PhotoSet
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.sface import SFace
from mfs_lib.training.warp_swap import face_map, full_mask, mesh_yaw, warp_swap


@dataclass(frozen=True)
class IdentityBank:
    """Features of source pictures: embedding (N, E) float32 and feature map (N, C, 7, 7) float16."""

    embedding: Tensor
    feature_map: Tensor

    def __len__(self) -> int:
        return len(self.embedding)

    def __getitem__(self, index: Tensor) -> IdentityFeatures:
        return IdentityFeatures(self.embedding[index], self.feature_map[index].float())

    @classmethod
    def join(cls, banks: list[IdentityBank]) -> IdentityBank:
        """One bank after the other."""
        return cls(torch.cat([b.embedding for b in banks]), torch.cat([b.feature_map for b in banks]))


@dataclass(frozen=True)
class Triplets:
    """Targets, truths, face masks (N, 3|3|1, S, S) uint8, and source indices: (N, 2) for unflipped and flipped targets.

    With a teacher its swaps stand in the place of the truths, and `alpha` (N,) says how far each can be trusted.
    """

    target: Tensor
    truth: Tensor
    mask: Tensor
    source: Tensor
    alpha: Tensor | None = None

    def __len__(self) -> int:
        return len(self.target)


@torch.no_grad()
def describe(images: Tensor, network: SFace, batch: int = 32) -> IdentityBank:
    """Identity features of (N, 3, S, S) uint8 aligned crops."""
    embeddings, maps = [], []
    for start in tqdm(range(0, len(images), batch), desc="identities"):
        features = network(arcface_view(images[start : start + batch].float() / 255))
        embeddings.append(features.embedding)
        maps.append(features.feature_map.half())
    return IdentityBank(torch.cat(embeddings), torch.cat(maps))


def photo_sources(photos: PhotoSet) -> Tensor:
    """Every crop and its mirror image, (2N, 3, S, S) uint8: index i and N + i."""
    crops = torch.from_numpy(photos.crops).permute(0, 3, 1, 2)
    return torch.cat([crops, crops.flip(3)])


def _other_picture(photos: PhotoSet, index: int, flipped: bool) -> int:
    """A source for photograph `index` that isn't its pixels: the person's other photograph, else the mirror image."""
    same = [i for i, person in enumerate(photos.people) if person == photos.people[index] and i != index]
    if same:
        return same[0] + (0 if flipped else len(photos))
    return index + (0 if flipped else len(photos))


def reverse_triplets(
    photos: PhotoSet, triangles: np.ndarray, *, donors: int, generator: np.random.Generator
) -> Triplets:
    """Reverse triplets of photographs: someone else's warped face as target, the photograph itself as truth.

    One in ten targets is the photograph itself (reconstruction of the same person). Source indices count from the
    beginning of `photo_sources(photos)`; column 1 serves targets that training mirrors.

    Raises:
        InputError: somebody has fewer than `donors` photographs of other people beside them.
    """
    yaw = np.array([mesh_yaw(m) for m in photos.mesh])
    targets, truths, masks, sources = [], [], [], []
    for i in tqdm(range(len(photos)), desc="reverse triplets"):
        where = face_map(photos.mesh[i], triangles, photos.size)
        others = np.array([j for j, person in enumerate(photos.people) if person != photos.people[i]])
        if len(others) < donors:
            raise InputError(
                f"{donors} donors for each photograph, but only {len(others)} of other people: ask for fewer"
            )
        near = others[np.argsort(np.abs(yaw[others] - yaw[i]))[: max(donors * 6, len(others) // 4)]]
        for donor in generator.choice(near, donors, replace=False):
            changed = warp_swap(
                photos.crops[i], where, photos.crops[donor], photos.mesh[donor], triangles, locality=generator.random()
            )
            targets.append(photos.crops[i] if generator.random() < 0.1 else changed)
            truths.append(photos.crops[i])
            masks.append(full_mask(where))
            sources.append([_other_picture(photos, i, False), _other_picture(photos, i, True)])
    target, truth = (torch.from_numpy(np.stack(x)).permute(0, 3, 1, 2).contiguous() for x in (targets, truths))
    return Triplets(target, truth, torch.from_numpy(np.stack(masks))[:, None], torch.tensor(sources))
