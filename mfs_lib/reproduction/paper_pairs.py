"""The people of the regenerated figures: the first pairs of a fixed seed, whoever they are.

| deck       | source and target                                                   | exact swap | shown                |
|------------|---------------------------------------------------------------------|------------|----------------------|
| the world  | sampled people, in any pose, light and expression                   | known      | always               |
| sfhq       | generated people of the held-out part, each onto the next one drawn | none       | if the data is there |
| london     | held-out people who consented, neutral onto somebody else's smile   | none       | if the data is there |

A deck deals the same pairs at any size, so that systems of different crops can be shown side by side. Nothing is chosen by
what a system makes of it; where a figure shows best and worst pairs, it says so and ranks them by a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.training_drawing import pairs_of
from mfs_lib.faces import manifests
from mfs_lib.faces.folders import Photo, crop_photos, load_photo_set
from mfs_lib.faces.identity import identity_of
from mfs_lib.faces.resizing import resized
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.reproduction.sampled_pairs import draw_pairs

FIGURES_SEED = 20_269
"""Of all pairs in the figures; no pool of a training and no measurement is drawn from it."""

_WHOLE = 25  # pairs are drawn by so many: the first ones don't depend on how many are asked for
_PHOTO_SIZE = 128


@dataclass(frozen=True)
class ShownPairs:
    """N people put onto pictures of N others.

    Attributes:
        source, target: crops (N,3,S,S) in [0,1].
        identity: SFace's features of the sources.
        truth: the exact swaps (N,3,S,S), where they are known.
        face: where a face is in target or exact swap, (N,1,S,S) in [0,1], where it is known.
    """

    source: Tensor
    target: Tensor
    identity: IdentityFeatures
    truth: Tensor | None = None
    face: Tensor | None = None

    def __len__(self) -> int:
        return len(self.target)

    def select(self, rows: list[int]) -> ShownPairs:
        """Some of the pairs, in this order."""
        who = IdentityFeatures(self.identity.embedding[rows], self.identity.feature_map[rows])
        truth, face = (None if part is None else part[rows] for part in (self.truth, self.face))
        return ShownPairs(self.source[rows], self.target[rows], who, truth, face)

    def crossed(self, count: int) -> ShownPairs:
        """Each of the first `count` sources onto each of the first `count` targets, source by source; no exact swaps."""
        rows = [i for i in range(count) for _ in range(count)]
        columns = [j for _ in range(count) for j in range(count)]
        sources, targets = self.select(rows), self.select(columns)
        return ShownPairs(sources.source, targets.target, sources.identity)


@dataclass(frozen=True)
class Deck:
    """N pairs of people at any size of the crop; `title` says who they are, `credit` whom to thank for the pictures."""

    title: str
    deal: Callable[[int], ShownPairs]
    credit: str = ""


@lru_cache(maxsize=8)
def _world_pairs(count: int, seed: int, size: int) -> ShownPairs:
    drawn = draw_pairs(count, size, seed)
    return ShownPairs(drawn.source, drawn.target, drawn.identity, drawn.truth, drawn.face)


def world_deck(count: int, *, seed: int = FIGURES_SEED) -> Deck:
    """The first `count` pairs of sampled people; InputError for fewer than one."""
    if count < 1:
        raise InputError(f"a deck has a pair at least, got {count}")
    whole = -(-count // _WHOLE) * _WHOLE
    return Deck("sampled people", lambda size: _world_pairs(whole, seed, size).select(list(range(count))))


def photo_deck(title: str, source: Tensor, target: Tensor, *, credit: str = "") -> Deck:
    """A deck of photographs (N,3,S,S) in [0,1]; other sizes than theirs are resized, and no exact swap is known.

    Raises:
        InputError: no pictures, or sources and targets differ in shape.
    """
    if source.shape != target.shape or source.ndim != 4 or not len(source):
        raise InputError(f"sources {tuple(source.shape)} and targets {tuple(target.shape)} are no pairs of crops")

    def deal(size: int) -> ShownPairs:
        shown = resized(source, size)
        return ShownPairs(shown, resized(target, size), identity_of(shown))

    return Deck(title, deal, credit)


def _london(count: int, seed: int) -> tuple[Tensor, Tensor]:
    photos = load_photo_set("london", "test", _PHOTO_SIZE, progress=False)
    return pairs_of(photos, count, seed=seed)


def _sfhq(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Only the drawn pictures are searched for faces: those of the whole set would take minutes."""
    paths = manifests.files("sfhq", split="test")
    drawn = [paths[i] for i in np.random.default_rng(seed).permutation(len(paths))[: count + count // 2 + 2]]
    about = manifests.face_set("sfhq")
    photos = [Photo(path, path.name, about.person(path.name), about.expression) for path in drawn]
    found = crop_photos(photos, _PHOTO_SIZE, progress=False)
    crops = found.pictures(range(min(count, len(found))))
    return crops, crops.roll(-1, 0)


_PHOTOGRAPHS: dict[str, tuple[str, str, Callable[[int, int], tuple[Tensor, Tensor]], tuple[str, ...]]] = {
    "sfhq": ("generated people", "SFHQ {cite:p}`beniaguev2022sfhq`, MIT", _sfhq, ("sfhq",)),
    "london": (
        "held-out people who consented", "London set {cite:p}`debruine2017london`, CC BY 4.0", _london,
        ("london_neutral", "london_smiling"),
    ),
}  # fmt: skip


def photo_decks(count: int, *, seed: int = FIGURES_SEED) -> list[Deck]:
    """The decks of photographs whose data is on this computer, `count` pairs each (fewer where a set has fewer)."""
    decks = []
    for title, credit, load, needed in _PHOTOGRAPHS.values():
        if all(manifests.available(name) for name in needed):
            decks.append(photo_deck(title, *load(count, seed), credit=credit))
    return decks


def ranked(error: Tensor) -> dict[str, int]:
    """Which of N pairs a system gets best, typically (the median) and worst, by its error (N,) to the exact swap.

    Raises:
        InputError: fewer than three pairs.
    """
    if error.ndim != 1 or len(error) < 3:
        raise InputError(f"best, typical and worst need three pairs at least, got errors {tuple(error.shape)}")
    order = torch.argsort(error, stable=True).tolist()
    return {"best": order[0], "typical": order[len(order) // 2], "worst": order[-1]}
