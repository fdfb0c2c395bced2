"""The teacher that is never wrong: the face world's exact swap, rendered with the pair."""

from __future__ import annotations

from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.training.teachers.interface import Need, check_target


class Oracle:
    """Hands out the truth; only for pairs of the face world, which have one."""

    name = "oracle"
    need: Need = "truth"

    def swap(
        self,
        source_face: Tensor | None,
        target: Tensor,
        *,
        truth: Tensor | None = None,
        embedding: Tensor | None = None,
        meshes: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """The truth itself; see `Teacher.swap`. InputError where there is none."""
        del source_face, embedding, meshes
        check_target(target)
        if truth is None:
            raise InputError(
                "the teacher oracle hands out the exact swap, and these pairs have none: photographs need another "
                "teacher, such as warp"
            )
        if truth.shape != target.shape:
            raise InputError(f"truths must be of the targets' shape {tuple(target.shape)}, got {tuple(truth.shape)}")
        return truth.detach()
