"""The real parts on real faces: fetched detector and recogniser, the shipped student, an independent judge.

Faces: skimage's astronaut (NASA, public domain) and matplotlib's Grace Hopper (US Navy, public domain), both part of
installed packages. These tests need the default models (fetched on first use) and the shipped student: they fail, and
are not skipped, where one is missing.
"""

from __future__ import annotations

from functools import cache

import matplotlib.cbook
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mfs_lib.faces.alignment import align, arcface_view, estimate_similarity
from mfs_lib.networks.mobilefaceswap import SwapOutput
from mfs_lib.swapping import default_swapper, swap
from mfs_lib.swapping.pipeline import Swapper
from mfs_lib.weights.models import load_detector, load_judge, load_sface

Pixels = npt.NDArray[np.uint8]


class UnchangedStudent(nn.Module):
    """What a collapsed training gives: the target itself."""

    def specialise(self, identity: object) -> nn.Module:
        return self

    def forward(self, target: Tensor) -> SwapOutput:
        return SwapOutput(target, target, torch.ones_like(target[:, :1]))


@pytest.fixture(scope="module")
def hopper() -> Pixels:
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream:
        return np.array(Image.open(stream).convert("RGB"))


@cache
def parts() -> tuple[object, nn.Module]:
    return load_detector(), load_judge()


def judged(picture: Pixels) -> npt.NDArray[np.float64]:
    """Unit identity vector of the largest face, by a recogniser that no training sees."""
    detector, judge = parts()
    face = detector.detect(picture)[0]  # type: ignore[attr-defined]
    crop = align(picture, estimate_similarity(face.points, 128), 128)
    batch = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return judge(arcface_view(batch))[0].double().numpy()


def moved_to_the_source(source: Pixels, target: Pixels, result: Pixels, margin: float = 0.1) -> bool:
    """Whether the judge sees the result nearer to the source, and further from the target, than the target was."""
    a, b, c = judged(source), judged(target), judged(result)
    return bool(c @ a > b @ a + margin and c @ b < 1 - margin)


def test_check_detects_a_swap_that_does_nothing(astronaut: Pixels, hopper: Pixels) -> None:
    lazy = Swapper(detector=load_detector(), identity=load_sface(), student=UnchangedStudent())  # type: ignore[arg-type]
    for source, target in ((hopper, astronaut), (astronaut, hopper)):
        for detail in ("plain", "residual", "adaptive"):
            result = lazy.swap(source, target, detail=detail)  # type: ignore[arg-type]
            assert not moved_to_the_source(source, target, result.image)


def test_check_accepts_the_source_itself(astronaut: Pixels, hopper: Pixels) -> None:
    assert moved_to_the_source(hopper, astronaut, hopper)


def test_detector_finds_each_of_two_faces(astronaut: Pixels) -> None:
    faces = load_detector().detect(np.hstack([astronaut, astronaut]))
    assert len(faces) == 2
    assert sorted(int(face.box[0]) // 512 for face in faces) == [0, 1]


@pytest.mark.parametrize("detail", ["plain", "residual", "adaptive"])
def test_shipped_student_swaps(astronaut: Pixels, hopper: Pixels, detail: str) -> None:
    for source, target in ((hopper, astronaut), (astronaut, hopper)):
        result = swap(source, target, detail=detail)  # type: ignore[arg-type]
        assert moved_to_the_source(source, target, result.image)
        # Pose and place stay: the detector finds the same five points within 6 % of the face's width.
        before, after = (parts()[0].detect(p)[0] for p in (target, result.image))  # type: ignore[attr-defined]
        width = before.box[2] - before.box[0]
        assert np.abs(after.points - before.points).mean() < 0.06 * width
        np.testing.assert_array_equal(result.image[result.mask == 0], target[result.mask == 0])
        assert 0.005 < (result.mask > 127).mean() < 0.5


def test_shipped_student_swaps_both_of_two_faces(astronaut: Pixels, hopper: Pixels) -> None:
    twice = np.hstack([astronaut, astronaut])
    result = default_swapper().swap(hopper, twice, "all")
    assert len(result.faces) == 2
    for half in (slice(0, 512), slice(512, 1024)):
        assert moved_to_the_source(hopper, astronaut, np.ascontiguousarray(result.image[:, half]))
