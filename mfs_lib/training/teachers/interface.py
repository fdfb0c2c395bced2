"""What every teacher can do, and the checks that all of them share."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.faces.resizing import resized

Need = Literal["source_face", "source_face or embedding", "truth"]
"""What a teacher can't do without, beside the target."""


class Teacher(Protocol):
    """Swaps faces; what a student is distilled from. No gradient flows through a teacher."""

    @property
    def name(self) -> str:
        """As in the experiment."""

    @property
    def need(self) -> Need:
        """What `swap` must be given, beside the target; it ignores what it doesn't need."""

    def swap(
        self,
        source_face: Tensor | None,
        target: Tensor,
        *,
        truth: Tensor | None = None,
        embedding: Tensor | None = None,
        meshes: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """I'_g: the sources' faces on the targets.

        Args:
            source_face: (B,3,R,R) in [0,1], aligned crops; None where the teacher reads none.
            target: (B,3,S,S) in [0,1], aligned crops.
            truth: (B,3,S,S), the exact swap where it is known.
            embedding: (B,128), SFace's identity of the sources where it is known already.
            meshes: landmarks (B,468,3) in crop pixels of `source_face` and of `target` where they are known already.

        Returns:
            (B,3,S,S) in [0,1].

        Raises:
            InputError: something that this teacher needs is missing, or shapes don't fit.
        """


def check_target(target: Tensor) -> None:
    """InputError unless `target` is a batch of square RGB crops."""
    if target.ndim != 4 or target.shape[1] != 3 or target.shape[2] != target.shape[3] or not len(target):
        raise InputError(f"a teacher takes square RGB crops (B,3,S,S) as targets, got {tuple(target.shape)}")


def required_source(source_face: Tensor | None, target: Tensor, *, name: str) -> Tensor:
    """The source pictures, one for each target; InputError where they are missing or don't fit."""
    check_target(target)
    if source_face is None:
        raise InputError(f"the teacher {name} reads the source's picture: give source_face (B,3,R,R)")
    if (
        source_face.ndim != 4
        or source_face.shape[:2] != target.shape[:2]
        or source_face.shape[2] != source_face.shape[3]
    ):
        raise InputError(
            f"the teacher {name} takes a square source picture for each target, got {tuple(source_face.shape)} for "
            f"{tuple(target.shape)}"
        )
    return source_face


def finished(image: Tensor, target: Tensor) -> Tensor:
    """A teacher's picture at the target's size, in [0,1], cut off from any graph."""
    with torch.no_grad():
        return resized(image.detach(), target.shape[-1]).clamp(0, 1)
