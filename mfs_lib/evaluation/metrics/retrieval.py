"""Identity retrieval: is the swap's nearest source picture one of the right person? (The field's "ID retrieval".)

The protocol of FaceShifter and SimSwap, which MobileFaceSwap follows: a recogniser embeds each result and all source
pictures; the nearest by cosine must show the source's person (on FaceForensics++: come from the right source video).

* **Several pictures of a person**: any of them is right.
* **Ties** (equal cosines, such as a picture that is listed twice under two names): a result earns the share of the right
  person among the tied pictures, what a fair draw would earn on average. A recogniser that sees no difference at all
  therefore scores chance, not what the order of files makes of it.
* **Restricted galleries**: MegaFS compares frames that are aligned by their index, one of each source video
  (`result_frames`, `gallery_frames`); ReliableSwap scores the first 400 results only (`first`). Both give other numbers
  than the whole gallery, and the protocol of the metric says so.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.samples import FloatArray, SampleMean, percent

TIE = 1e-6
"""Cosines that differ by no more are equal: what float32 embeddings of one picture in two batches differ by."""


def retrieval_credit(
    result: Tensor,
    gallery: Tensor,
    owners: Sequence[Hashable],
    people: Sequence[Hashable],
    *,
    result_frames: Sequence[Hashable] | None = None,
    gallery_frames: Sequence[Hashable] | None = None,
) -> FloatArray:
    """What each result earns, (N,) in [0, 1]: the right person's share of its nearest source pictures.

    Args:
        result: (N, E) L2-normalised identities.
        gallery: (G, E) of all source pictures.
        owners: (N,) the person whose face each result should show.
        people: (G,) whom each source picture shows.
        result_frames, gallery_frames: (N,) and (G,) labels; a result is only compared with pictures of its label.

    Raises:
        InputError: sizes don't fit, or an owner has no picture that the result is compared with.
    """
    sizes_fit = len(owners) == len(result) and len(people) == len(gallery)
    if result.ndim != 2 or gallery.ndim != 2 or result.shape[1] != gallery.shape[1] or not sizes_fit:
        raise InputError(f"{tuple(result.shape)} results and {tuple(gallery.shape)} source pictures don't fit.")
    if (result_frames is None) != (gallery_frames is None):
        raise InputError("Frames are needed for results and source pictures alike, or for neither.")
    number = {label: index for index, label in enumerate(dict.fromkeys([*people, *owners]))}
    mine = torch.tensor([number[one] for one in owners], dtype=torch.int64)
    theirs = torch.tensor([number[one] for one in people], dtype=torch.int64)
    allowed = _allowed(result_frames, gallery_frames, len(result), len(gallery))
    credit = []
    for rows in torch.arange(len(result)).split(1024):  # type: ignore[no-untyped-call]
        right = (mine[rows][:, None] == theirs) & allowed[rows]
        if not bool(right.any(1).all()):
            raise InputError("A result's person has no source picture to be found among: check names and frames.")
        cosine = result[rows.to(result.device)].double() @ gallery.double().T
        cosine = cosine.cpu().masked_fill(~allowed[rows], -np.inf)
        nearest = cosine >= cosine.amax(1, keepdim=True) - TIE
        credit.append(((nearest & right).sum(1) / nearest.sum(1)).numpy())
    return np.concatenate(credit).astype(np.float64) if credit else np.zeros(0)


def retrieval_metric(
    result: Tensor,
    gallery: Tensor,
    owners: Sequence[Hashable],
    people: Sequence[Hashable],
    *,
    backend: str,
    name: str = "retrieval",
    result_frames: Sequence[Hashable] | None = None,
    gallery_frames: Sequence[Hashable] | None = None,
    first: int | None = None,
    lost: int = 0,
) -> SampleMean:
    """Retrieval in percent; see `retrieval_credit`.

    Args:
        result, gallery, owners, people, result_frames, gallery_frames: as there.
        backend: the recogniser's name.
        name: of the metric.
        first: score only so many results, in their order (ReliableSwap: 400).
        lost: results in which no face was found; they were not retrieved, and come after the others.

    Raises:
        InputError: as there; only one person in the gallery, who is always found.
    """
    if len(set(people)) < 2:
        raise InputError("Retrieval needs source pictures of two people at least.")
    frames = None if result_frames is None else result_frames[:first]
    credit = retrieval_credit(
        result[:first], gallery, owners[:first], people, result_frames=frames, gallery_frames=gallery_frames
    )
    protocol = f"the nearest of {len(gallery)} source pictures of {len(set(people))} people by cosine shows the source"
    protocol += "; only pictures of the same frame index" if gallery_frames is not None else ""
    protocol += f"; the first {first} results" if first is not None else ""
    return percent(name, np.concatenate([credit, np.zeros(lost)]), protocol, backend)


def _allowed(
    result_frames: Sequence[Hashable] | None, gallery_frames: Sequence[Hashable] | None, results: int, pictures: int
) -> Tensor:
    """(N, G) which pictures a result is compared with."""
    if result_frames is None or gallery_frames is None:
        return torch.ones((), dtype=torch.bool).expand(results, pictures)
    if len(result_frames) != results or len(gallery_frames) != pictures:
        raise InputError(f"{len(result_frames)} and {len(gallery_frames)} frames don't fit {results} and {pictures}.")
    number = {label: index for index, label in enumerate(dict.fromkeys([*result_frames, *gallery_frames]))}
    first, second = (torch.tensor([number[f] for f in frames]) for frames in (result_frames, gallery_frames))
    return first[:, None] == second
