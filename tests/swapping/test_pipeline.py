"""The way from two pictures to one: with small random networks, so that every part of the plumbing is seen."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mfs_lib.errors import AssetError, InputError, NoFaceError
from mfs_lib.faces.alignment import estimate_similarity
from mfs_lib.faces.detection import Face
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, SwapOutput
from mfs_lib.swapping import read_provenance
from mfs_lib.swapping.paste import Detail, crop_region
from mfs_lib.swapping.pipeline import Person, Swapper
from mfs_lib.weights.shipped import load_student, save_student, student_path

Pixels = npt.NDArray[np.uint8]
MakeSwapper = Callable[..., Swapper]


class ConstantFace(nn.Module):
    """A 'student' of known output: paints the face in one colour, under a mask of ones."""

    def __init__(self, colour: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> None:
        super().__init__()
        self.colour = colour

    def specialise(self, identity: object) -> nn.Module:
        return self

    def forward(self, target: Tensor) -> SwapOutput:
        raw = torch.tensor(self.colour).view(1, 3, 1, 1).expand_as(target)
        return SwapOutput(raw, raw, torch.ones_like(target[:, :1]))


class IdentityStudent(ConstantFace):
    """A 'student' that changes nothing."""

    def forward(self, target: Tensor) -> SwapOutput:
        return SwapOutput(target, target, torch.ones_like(target[:, :1]))


def moved(face: Face, x: float) -> Face:
    shift = np.array([x, 0.0])
    return Face(box=face.box + np.tile(shift, 2), score=face.score, points=face.points + shift)


def test_result_describes_what_was_done(make_swapper: MakeSwapper, astronaut: Pixels) -> None:
    before = astronaut.copy()
    result = make_swapper().swap(astronaut, astronaut)
    np.testing.assert_array_equal(astronaut, before)  # inputs are not written to
    assert result.image.shape == astronaut.shape
    assert result.image.dtype == np.uint8
    assert result.mask.shape == astronaut.shape[:2]
    assert [face.index for face in result.faces] == [0]
    assert result.found == 1
    assert {"identity", "swap", "paste", "detect source", "detect target"} <= set(result.timings)
    assert min(result.timings.values()) >= 0


def test_swap_changes_the_face_and_nothing_else(make_swapper: MakeSwapper, astronaut: Pixels, small_face: Face) -> None:
    result = make_swapper(student=ConstantFace()).swap(astronaut, astronaut, detail="plain")
    left, top, right, bottom = crop_region(estimate_similarity(small_face.points, 128), 128, 512, 512)
    outside = np.ones((512, 512), dtype=bool)
    outside[top:bottom, left:right] = False
    np.testing.assert_array_equal(result.image[outside], astronaut[outside])
    np.testing.assert_array_equal(result.image[result.mask == 0], astronaut[result.mask == 0])
    x, y = small_face.points[2].round().astype(int)
    assert tuple(result.image[y, x]) == (255, 0, 0)
    assert result.mask[y, x] == 255


@pytest.mark.parametrize("detail", ["residual", "adaptive"])
def test_identity_student_changes_nothing(make_swapper: MakeSwapper, astronaut: Pixels, detail: Detail) -> None:
    result = make_swapper(student=IdentityStudent()).swap(astronaut, astronaut, detail=detail)
    np.testing.assert_array_equal(result.image, astronaut)


def test_same_input_same_bits(make_swapper: MakeSwapper, astronaut: Pixels) -> None:
    first = make_swapper().swap(astronaut, astronaut)
    second = make_swapper().swap(astronaut, astronaut)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.mask, second.mask)


def test_source_matters(make_swapper: MakeSwapper, astronaut: Pixels) -> None:
    swapper = make_swapper()
    other = np.ascontiguousarray(astronaut[..., ::-1] // 2)
    assert (swapper.swap(astronaut, astronaut).image != swapper.swap(other, astronaut).image).any()


def test_prepared_person_gives_the_same_and_is_prepared_once(
    make_swapper: MakeSwapper, astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapper = make_swapper()
    calls: list[int] = []
    bake = swapper.student.specialise

    def counted(*args: object) -> nn.Module:
        calls.append(1)
        return bake(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(swapper.student, "specialise", counted)
    person = swapper.prepare(astronaut)
    assert isinstance(person, Person)
    once = [swapper.swap(person, astronaut).image for _ in range(3)]
    assert len(calls) == 1
    np.testing.assert_array_equal(once[2], swapper.swap(astronaut, astronaut).image)


@pytest.mark.parametrize(("face", "changed"), [("largest", [0]), (0, [0]), (1, [1]), ("all", [0, 1])])
def test_choice_of_faces(
    make_swapper: MakeSwapper, astronaut: Pixels, small_face: Face, face: str | int, changed: list[int]
) -> None:
    twice = np.hstack([astronaut, astronaut])
    faces = (small_face, moved(small_face, 512))
    result = make_swapper(*faces, student=ConstantFace()).swap(astronaut, twice, face)  # type: ignore[arg-type]
    assert [f.index for f in result.faces] == changed
    assert result.found == 2
    for index, half in enumerate((slice(0, 512), slice(512, 1024))):
        assert (result.image[:, half] != twice[:, half]).any() == (index in changed)


@pytest.mark.parametrize("face", [1, 7])
def test_face_number_beyond_the_last(make_swapper: MakeSwapper, astronaut: Pixels, face: int) -> None:
    with pytest.raises(InputError, match=f"no face {face}: it shows 1"):
        make_swapper().swap(astronaut, astronaut, face)


@pytest.mark.parametrize("face", [-1, 1.0, True, "biggest", None])
def test_face_choice_that_is_none(make_swapper: MakeSwapper, astronaut: Pixels, face: object) -> None:
    with pytest.raises(InputError, match="face must be"):
        make_swapper().swap(astronaut, astronaut, face)  # type: ignore[arg-type]


def test_no_face(make_swapper: MakeSwapper, astronaut: Pixels) -> None:
    swapper = make_swapper()
    person = swapper.prepare(astronaut)
    swapper.detector.faces.clear()  # type: ignore[attr-defined]
    with pytest.raises(NoFaceError, match="target"):
        swapper.swap(person, astronaut)
    with pytest.raises(NoFaceError, match="source"):
        swapper.swap(astronaut, astronaut)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (15, 15)])
def test_tiny_pictures_have_no_face(make_swapper: MakeSwapper, astronaut: Pixels, shape: tuple[int, int]) -> None:
    with pytest.raises(NoFaceError, match="pixels"):
        make_swapper().swap(astronaut, np.zeros((*shape, 3), dtype=np.uint8))


def test_face_placed_outside_the_picture(make_swapper: MakeSwapper, astronaut: Pixels, small_face: Face) -> None:
    with pytest.raises(InputError, match="outside"):
        make_swapper(moved(small_face, 5000)).swap(astronaut, astronaut)


def test_face_cut_by_the_edge(make_swapper: MakeSwapper, astronaut: Pixels, small_face: Face) -> None:
    cut = np.ascontiguousarray(astronaut[:, 215:])
    result = make_swapper(moved(small_face, -215), student=ConstantFace()).swap(astronaut, cut)
    assert result.image.shape == cut.shape
    assert (result.image != cut).any()


def test_small_faces_and_crowded_sources_are_noted(
    make_swapper: MakeSwapper, astronaut: Pixels, small_face: Face
) -> None:
    tiny = Face(box=small_face.box / 4, score=0.8, points=small_face.points / 4)
    notes = make_swapper(tiny, moved(tiny, 50)).swap(astronaut, astronaut).notes
    assert any("source: shows 2 faces" in note for note in notes)
    assert any("target: face 0 is only" in note for note in notes)


def test_very_wide_picture(make_swapper: MakeSwapper, astronaut: Pixels, small_face: Face) -> None:
    """Wider than the 32,767 pixels that OpenCV resamples."""
    wide = np.zeros((300, 40_000, 3), dtype=np.uint8)
    wide[:, 39_000:39_512] = astronaut[:300]
    faces = [moved(small_face, 39_000)]
    swapper = make_swapper(student=ConstantFace())
    person = swapper.prepare(astronaut)
    swapper.detector.faces[:] = faces  # type: ignore[attr-defined]
    result = swapper.swap(person, wide, detail="plain")
    assert tuple(result.image[125, 39_220]) == (255, 0, 0)
    assert (result.image[:, :38_000] == 0).all()


def test_files_orientation_alpha_and_mark(
    make_swapper: MakeSwapper, astronaut: Pixels, picture_file: Path, tmp_path: Path
) -> None:
    alpha = np.full((512, 512), 255, dtype=np.uint8)
    alpha[400:] = 0
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}  # a place
    exif[0x010F] = "A camera"
    stored = np.ascontiguousarray(np.rot90(np.dstack([astronaut, alpha]), 1))
    Image.fromarray(stored).save(tmp_path / "target.png", exif=exif)
    result = make_swapper(student=ConstantFace()).swap(picture_file, tmp_path / "target.png")
    untouched = (result.mask == 0) & (alpha > 0)
    np.testing.assert_array_equal(result.image[untouched], astronaut[untouched])
    out = result.save(tmp_path / "out.png")
    with Image.open(out) as written:
        assert written.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(written.getchannel("A")), alpha)
        assert not dict(written.getexif())
    found = read_provenance(out)
    assert found is not None
    assert found.synthetic
    assert "default" in found.system


def test_mark_is_default_and_label_is_not(make_swapper: MakeSwapper, astronaut: Pixels, tmp_path: Path) -> None:
    result = make_swapper().swap(astronaut, astronaut)
    plain, bare = result.save(tmp_path / "p.png"), result.save(tmp_path / "b.png", mark=False)
    labelled = result.save(tmp_path / "l.png", label=True)
    assert read_provenance(plain) is not None
    assert read_provenance(bare) is None
    np.testing.assert_array_equal(np.asarray(Image.open(plain)), result.image)
    difference = (np.asarray(Image.open(labelled)) != result.image).any(axis=2)
    assert difference[460:].any()
    assert not difference[:400].any()


def test_too_large_pictures_are_refused_before_detection(make_swapper: MakeSwapper, picture_file: Path) -> None:
    swapper = make_swapper()
    swapper.max_megapixels = 0.1
    with pytest.raises(InputError, match="megapixels"):
        swapper.swap(picture_file, picture_file)


# ------------------------------------------------------------------ the student's file


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 0.0), (torch.float16, 2e-2)])
def test_student_file_round_trip(
    tmp_path: Path, small_student: MobileFaceSwap, dtype: torch.dtype, tolerance: float
) -> None:
    path = tmp_path / "mine.safetensors"
    save_student(path, small_student, crop_size=96, metadata={"seed": "3"}, dtype=dtype)
    loaded = load_student(path)
    assert (loaded.crop_size, loaded.name, loaded.metadata["seed"]) == (96, "mine", "3")
    assert loaded.network.config == small_student.config
    assert not loaded.network.training
    state = loaded.network.state_dict()
    for key, value in small_student.state_dict().items():
        assert state[key].dtype == value.dtype
        torch.testing.assert_close(state[key], value, rtol=1e-3 if tolerance else 0, atol=tolerance)


def test_student_files_that_are_none(tmp_path: Path, small_student: MobileFaceSwap) -> None:
    from mfs_lib.weights.safe_io import load_weights, save_weights

    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    save_student(good, small_student, crop_size=96)
    state, header = load_weights(good)
    first = next(iter(state))
    save_weights(tmp_path / "headless.safetensors", state, {})
    save_weights(tmp_path / "config.safetensors", state, {**header, "config": '{"wings": 2}'})
    save_weights(tmp_path / "json.safetensors", state, {**header, "config": "["})
    save_weights(tmp_path / "size.safetensors", state, {**header, "crop_size": "100"})
    save_weights(tmp_path / "shape.safetensors", {**state, first: state[first].flatten()[:1]}, header)
    save_weights(tmp_path / "less.safetensors", {k: v for k, v in state.items() if k != first}, header)
    bad.write_bytes(os.urandom(100))
    for name in ("headless", "config", "json", "size", "shape", "less", "bad", "missing"):
        with pytest.raises(AssetError):
            load_student(tmp_path / f"{name}.safetensors")
    with pytest.raises(AssetError, match="no student is called 'better'"):
        student_path("better")
