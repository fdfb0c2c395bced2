"""What a teacher makes of sampled triplets, and how far each of its pictures can be trusted (equation 4).

A teacher doesn't change while a student learns from it, so it swaps every triplet once, before the first step. `α` then is
a number for each triplet:

| reweighting                       | α of a triplet       |
|-----------------------------------|----------------------|
| identity and quality (the paper)  | cos(z_id, z'_id)² Q  |
| identity alone                    | cos(z_id, z'_id)²    |
| quality alone                     | Q                    |
| neither                           | 1                    |

The oracle is right everywhere, so its α is 1. Without a teacher (`teacher: none`) nothing is known of a swap but this: a
person put onto a picture of themself changes nothing. Half the triplets then show the source's person as target and say so
(α = 1), the others teach by the remaining losses alone (α = 0).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from mfs_lib.faces.alignment import arcface_view
from mfs_lib.runinfo import file_digest
from mfs_lib.training.distillation_losses import reweighting
from mfs_lib.training.pools import IdentityBank, Triplets
from mfs_lib.training.quality import load_quality, score_images
from mfs_lib.training.sampled import to_uint8
from mfs_lib.training.teachers.interface import Teacher
from mfs_lib.training.teachers.loading import TeacherConfig, load_teacher
from mfs_lib.training.teachers.shipped import SHIPPED_TEACHERS, Part, shipped_file
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.safe_io import write_atomically

_BATCH = 25
_LEAST_MEAN = 1e-3  # a teacher that moves nobody is not to be made up for


@dataclass(frozen=True)
class ReweightingConfig:
    """Equation 4 in an experiment.

    identity    α has the square of the cosine
    quality     α has Q, read from the file `scorer`; without a file there is no Q
    scorer      a .safetensors file that ``mfs_lib.training.quality`` wrote, or ""
    constant    every triplet gets the mean α: the same total weight, nothing told apart (not in the paper)
    normalise   α is divided by its mean over the triplets, so that the λ of equation 7 mean the same whatever the
                cosines of a recogniser are worth: SFace's of two pictures of a person are about half of ArcFace's
                (not in the paper)
    """

    identity: bool = True
    quality: bool = True
    scorer: str = ""
    constant: bool = False
    normalise: bool = False


@dataclass(frozen=True)
class Taught:
    """A teacher's swaps (N,3,S,S) uint8 of N triplets, identities (N,E) of sources and swaps, Q's scores (N,; 1 without Q)."""

    pictures: Tensor
    source: Tensor
    identity: Tensor
    quality: Tensor


def alpha_of(taught: Taught, config: ReweightingConfig) -> Tensor:
    """α (N,) of equation 4 as an experiment wants it."""
    quality = taught.quality if config.quality else torch.ones_like(taught.quality)
    alpha = reweighting(taught.source, taught.identity, quality) if config.identity else quality.clone()
    if config.normalise:
        alpha = alpha / alpha.mean().clamp(min=_LEAST_MEAN)
    return alpha.mean().expand(len(alpha)).clone() if config.constant else alpha


class Questions(NamedTuple):
    """What a teacher is asked: triplets, identities (K,E) and, if it reads them, pictures (K,3,S,S) uint8 of the sources."""

    triplets: Triplets
    embedding: Tensor
    sources: Tensor | None


@torch.no_grad()
def ask(teacher: Teacher, questions: Questions, scorer: str) -> Taught:
    """Let a teacher swap every triplet, with the first of its source pictures."""
    sface, pictures, found, triplets = load_sface(), [], [], questions.triplets
    for index in tqdm(torch.arange(len(triplets)).split(_BATCH), desc="teacher"):  # type: ignore[no-untyped-call]
        target, truth = (x[index].float() / 255 for x in (triplets.target, triplets.truth))
        who = triplets.source[index, 0]
        shown = None if questions.sources is None else questions.sources[who].float() / 255
        result = teacher.swap(shown, target, truth=truth, embedding=questions.embedding[who])
        found.append(sface(arcface_view(result)).embedding)
        pictures.append(to_uint8(result))
    swapped = torch.cat(pictures)
    quality = score_images(load_quality(scorer), swapped) if scorer else torch.ones(len(swapped))
    return Taught(swapped, questions.embedding[triplets.source[:, 0]], torch.cat(found), quality)


def _key(teacher: TeacherConfig, scorer: str) -> str:
    """Differs wherever a teacher or a scorer would say something else."""
    parts: tuple[tuple[str, Part], ...] = ((teacher.name, "teacher"), (scorer, "quality"))
    files = [shipped_file(name, part) if name in SHIPPED_TEACHERS else Path(name) for name, part in parts]
    digests = [file_digest(file) for file in files if file.is_file()]
    text = json.dumps({"teacher": asdict(teacher), "scorer": scorer, "files": digests}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def taught_by(
    config: TeacherConfig,
    triplets: Triplets,
    bank: IdentityBank,
    scorer: str,
    folder: Path,
    sources: Callable[[], Tensor],
) -> Taught:
    """What a teacher makes of the triplets; asked once, then read from `folder`.

    Raises:
        AssetError: the teacher's or the scorer's file is missing or is none.
    """
    path = folder / f"taught_{_key(config, scorer)}.pt"
    if not path.is_file():
        teacher = load_teacher(config)
        shown = sources() if teacher.need == "source_face" else None
        found = ask(teacher, Questions(triplets, bank.embedding, shown), scorer)
        stored = [found.pictures, found.source, found.identity, found.quality]
        write_atomically(path, lambda temporary: torch.save(stored, temporary))
    return Taught(*torch.load(path, weights_only=True, mmap=True))


def without_teacher(triplets: Triplets) -> Triplets:
    """Every other triplet becomes a person put onto a picture of themself, with α = 1; the rest get α = 0.

    The picture is the exact swap, used as a photograph of the person that it shows: its being the answer to another
    question isn't used.
    """
    own = torch.arange(len(triplets)) % 2 == 0
    target = torch.where(own.view(-1, 1, 1, 1), triplets.truth, triplets.target)
    return Triplets(target, target, triplets.mask, triplets.source, own.float())


def apply_teacher(
    triplets: Triplets,
    bank: IdentityBank,
    teacher: TeacherConfig,
    config: ReweightingConfig,
    *,
    folder: Path,
    sources: Callable[[], Tensor],
) -> Triplets:
    """Triplets with the teacher's swaps in the place of the truths, and with α.

    Args:
        triplets: with exact truths.
        bank: identities that the triplets' sources point at.
        teacher: whom to ask.
        config: how α is made of what is found.
        folder: keeps the answers.
        sources: draws the pictures of the bank's first people, for teachers that read them.

    Raises:
        AssetError: the teacher's or the scorer's file is missing or is none.
    """
    if teacher.name == "oracle":
        return triplets
    if teacher.name == "none":
        return without_teacher(triplets)
    taught = taught_by(teacher, triplets, bank, config.scorer, folder, sources)
    return Triplets(triplets.target, taught.pictures, triplets.mask, triplets.source, alpha_of(taught, config))
