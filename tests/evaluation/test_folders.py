"""Folders of swaps: names and tables are read exactly or refused, faces are cut out, what is unusable is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.folders import SwapSet, everybody, load_pairs, pairs_by_name, pairs_from_table, pictures_in
from mfs_lib.evaluation.sheets import to_pixels
from mfs_lib.faces.morphable import MorphableWorld


@pytest.fixture(scope="module")
def faces() -> Tensor:
    """Five sampled faces (5, 3, 128, 128)."""
    return MorphableWorld.load().sample(5, torch.Generator().manual_seed(11)).image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("swaps", "sources", "targets", "truths"):
        (tmp_path / name).mkdir()
    return tmp_path


def touch(root: Path, *files: str) -> None:
    """Files that carry names only."""
    for file in files:
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).touch()


def save(path: Path, picture: Tensor, *, frame: tuple[int, int] | None = None, at: tuple[int, int] = (0, 0)) -> None:
    """A picture as PNG, in a grey frame of (height, width) at (top, left) if wanted."""
    pixels = to_pixels(picture)
    if frame is not None:
        canvas = np.full((*frame, 3), 90, np.uint8)
        canvas[at[0] : at[0] + pixels.shape[0], at[1] : at[1] + pixels.shape[1]] = pixels
        pixels = canvas
    Image.fromarray(pixels).save(path)


def by_name(root: Path, *, truths: bool = False) -> list[tuple[str, str, str]]:
    found = pairs_by_name(root / "swaps", root / "sources", root / "targets", root / "truths" if truths else None)
    return [(pair.source.name, pair.target.name, pair.person) for pair in found]


# ------------------------------------------------------------------ names


def test_both_joints_and_names_with_underscores(root: Path) -> None:
    touch(root, "sources/a.png", "sources/b_1.jpg", "targets/x.png", "targets/y_2.png")
    touch(root, "swaps/a_x.png", "swaps/a__y_2.png", "swaps/b_1_x.webp", "swaps/b_1_y_2.png", "swaps/notes.txt")
    assert by_name(root) == [
        ("a.png", "y_2.png", "a"),
        ("a.png", "x.png", "a"),
        ("b_1.jpg", "x.png", "b_1"),
        ("b_1.jpg", "y_2.png", "b_1"),
    ]


def test_ambiguous_names_are_refused(root: Path) -> None:
    touch(root, "sources/a.png", "sources/a_b.png", "targets/b_c.png", "targets/c.png", "swaps/a_b_c.png")
    with pytest.raises(InputError, match=r"a_b_c is ambiguous: a onto b_c or a_b onto c"):
        by_name(root)


def test_names_that_fit_nothing_are_refused(root: Path) -> None:
    touch(root, "sources/a.png", "targets/b.png", "swaps/a_c.png")
    with pytest.raises(InputError, match="a_c is not named SOURCE_TARGET"):
        by_name(root)


def test_two_pictures_of_one_name_are_refused(root: Path) -> None:
    touch(root, "sources/a.png", "sources/a.jpg", "targets/b.png", "swaps/a_b.png")
    with pytest.raises(InputError, match="Two pictures"):
        by_name(root)


def test_sub_folders_are_people(root: Path) -> None:
    touch(root, "sources/ann/1.png", "sources/ann/2.png", "sources/bob.png", "targets/t.png", "swaps/1_t.png")
    assert by_name(root) == [("1.png", "t.png", "ann")]
    assert sorted(everybody(root / "sources").values()) == ["ann", "ann", "bob"]


def test_truths_are_named_as_swaps(root: Path) -> None:
    touch(root, "sources/a.png", "targets/b.png", "swaps/a_b.png", "truths/other.png")
    with pytest.raises(InputError, match=r"a_b.png has no truth"):
        by_name(root, truths=True)
    touch(root, "truths/a_b.jpg")
    pairs = pairs_by_name(root / "swaps", root / "sources", root / "targets", root / "truths")
    assert pairs[0].truth == root / "truths/a_b.jpg"


def test_empty_and_missing_folders_are_refused(root: Path) -> None:
    with pytest.raises(InputError, match="no pictures"):
        pictures_in(root / "swaps")
    with pytest.raises(InputError, match="not a folder"):
        pictures_in(root / "nowhere")


# ------------------------------------------------------------------ tables


def table(root: Path, text: str, *, truths: bool = False) -> list[tuple[str, str]]:
    (root / "pairs.csv").write_text(text)
    folder = root / "truths" if truths else None
    found = pairs_from_table(root / "pairs.csv", root / "swaps", root / "sources", root / "targets", folder)
    return [(pair.swap.name, pair.person) for pair in found]


def test_tables_name_files_and_people(root: Path) -> None:
    touch(root, "sources/s.png", "sources/r.png", "targets/t.png", "swaps/1.png", "swaps/2.png")
    text = "swap,source,target,person\n1.png,s.png,t.png,Ann\n2.png,r.png,t.png,\n"
    assert table(root, text) == [("1.png", "Ann"), ("2.png", "r")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("swap,source\n1.png,s.png\n", "lacks the column target"),
        ("swap,source,target\n", "no rows"),
        ("swap,source,target\n1.png,s.png,\n", r"pairs.csv:2: target: the cell is empty"),
        ("swap,source,target\n1.png,s.png\n", r"pairs.csv:2: target: the cell is empty"),
        ("swap,source,target\n1.png,q.png,t.png\n", r"pairs.csv:2: source: .*q.png is no file"),
        ("swap,source,target,person\n1.png,s.png,t.png,A\n2.png,s.png,t.png,B\n", "two people"),
    ],
)
def test_bad_tables_are_refused(root: Path, text: str, message: str) -> None:
    touch(root, "sources/s.png", "targets/t.png", "swaps/1.png", "swaps/2.png")
    with pytest.raises(InputError, match=message):
        table(root, text)


def test_tables_need_a_truth_where_truths_are_wanted(root: Path) -> None:
    touch(root, "sources/s.png", "targets/t.png", "swaps/1.png", "truths/1.png")
    with pytest.raises(InputError, match="column truth"):
        table(root, "swap,source,target\n1.png,s.png,t.png\n", truths=True)
    assert table(root, "swap,source,target,truth\n1.png,s.png,t.png,1.png\n", truths=True) == [("1.png", "s")]
    with pytest.raises(InputError, match="can't be read"):
        pairs_from_table(root, root, root, root)


# ------------------------------------------------------------------ pictures


def load(root: Path, **options: object) -> SwapSet:
    pairs = pairs_by_name(root / "swaps", root / "sources", root / "targets")
    gallery = everybody(root / "sources")
    return load_pairs(pairs, gallery=gallery, progress=False, **options)  # type: ignore[arg-type]


def test_swaps_are_cut_where_their_target_is(root: Path, faces: Tensor) -> None:
    save(root / "sources/a.png", faces[0])
    save(root / "sources/unused.png", faces[3])
    save(root / "targets/t.png", faces[1], frame=(200, 240), at=(40, 60))
    save(root / "swaps/a_t.png", faces[1], frame=(200, 240), at=(40, 60))
    save(root / "swaps/a__t.png", faces[2])  # of another size
    found = load(root, size=96)
    assert found.swap.shape == (2, 3, 96, 96)
    assert found.swap.dtype == torch.uint8
    assert found.source.shape[0] == 2
    assert (found.people, found.reframed) == (("a", "unused"), 1)
    same = list(found.names).index("a_t.png")
    assert torch.equal(found.swap[same], found.target[0])
    # the cut holds the face, not the frame: it is like the aligned crop that went in
    small = torch.nn.functional.interpolate(faces[1:2], size=(96, 96), mode="bilinear", antialias=True)[0]
    assert (found.target[0].float() / 255 - small).abs()[:, 24:72, 24:72].mean() < 0.08


def test_a_moved_face_is_moved_in_the_targets_frame_alone(root: Path, faces: Tensor) -> None:
    save(root / "sources/a.png", faces[0])
    save(root / "targets/t.png", faces[1], frame=(200, 200), at=(30, 30))
    save(root / "swaps/a_t.png", faces[1], frame=(200, 200), at=(30, 42))  # 12 pixels to the right
    found = load(root, size=96)
    assert found.swap_face is not None
    target, own, frame = (one[0].float() for one in (found.target, found.swap_face, found.swap))
    assert (own - target).abs().mean() < 4
    shift = [float((frame.roll(-k, 2) - target).abs()[:, :, 20:70].mean()) for k in range(16)]
    assert 5 <= int(np.argmin(shift)) <= 12
    assert shift[0] > 3 * min(shift)


def test_the_face_at_the_targets_place_is_the_swap(root: Path, faces: Tensor) -> None:
    """In a picture of two people the larger face may be the other one."""
    save(root / "sources/a.png", faces[0])
    canvas = np.full((260, 400, 3), 90, np.uint8)
    large = torch.nn.functional.interpolate(faces[1:2], scale_factor=1.5, mode="bilinear")[0]
    canvas[10 : 10 + 192, 10 : 10 + 192] = to_pixels(large)
    canvas[60 : 60 + 128, 240 : 240 + 128] = to_pixels(faces[2])
    Image.fromarray(canvas).save(root / "targets/t.png")
    larger = torch.nn.functional.interpolate(faces[4:5], scale_factor=1.6, mode="bilinear")[0]
    other = canvas.copy()
    other[:, 205:] = 90
    other[50 : 50 + 204, 196:400] = to_pixels(larger)[:204, :204]
    Image.fromarray(other).save(root / "swaps/a_t.png")
    found = load(root, size=96)
    assert found.swap_face is not None
    assert (found.swap_face[0].float() - found.target[0].float()).abs().mean() < 10


def test_what_cannot_be_used_is_counted(root: Path, faces: Tensor) -> None:
    for name, face in (("a", faces[0]), ("b", faces[1])):
        save(root / f"sources/{name}.png", face)
    save(root / "sources/blank.png", torch.full((3, 128, 128), 0.5))
    save(root / "targets/t.png", faces[2])
    save(root / "swaps/a_t.png", faces[0])
    save(root / "swaps/blank_t.png", faces[0])
    save(root / "swaps/b_t.png", torch.full((3, 128, 128), 0.5))
    (root / "swaps/a__t.png").write_bytes(b"not a picture")
    found = load(root, size=64)
    assert found.names == ("a_t.png",)
    assert sorted(found.lost) == ["a", "b"]
    assert found.skipped == 1
    assert sorted(one.name for one in found.rejected) == ["a__t.png", "b_t.png", "blank.png"]
    assert {one.reason for one in found.rejected if one.name != "a__t.png"} == {"no face was found"}
    assert found.people == ("a", "b")


def test_nothing_left_is_refused(root: Path) -> None:
    for file in ("sources/a.png", "targets/t.png", "swaps/a_t.png"):
        save(root / file, torch.full((3, 64, 64), 0.5))
    with pytest.raises(InputError, match=r"None of 1 swaps can be judged, for example a.png: no face"):
        load(root)


def test_aligned_crops_are_taken_as_they_are(root: Path, faces: Tensor) -> None:
    for file, face in (("sources/a.png", faces[0]), ("targets/t.png", faces[1]), ("swaps/a_t.png", faces[2])):
        save(root / file, face)
    found = load(root, aligned=True)
    for mine, face in ((found.source[0], faces[0]), (found.target[0], faces[1]), (found.swap[0], faces[2])):
        assert torch.equal(mine, (face * 255).round().byte())
    save(root / "swaps/a__t.png", faces[2][:, :64, :64])
    with pytest.raises(InputError, match="aligned crops must be square, of one size"):
        load(root, aligned=True)


def test_sets_in_memory_must_fit(faces: Tensor) -> None:
    found = SwapSet.of_pairs(faces[:2], faces[2:4], faces[:2])
    assert (found.people, found.target_of.tolist()) == ((0, 1), [0, 1])
    with pytest.raises(InputError, match="one size"):
        SwapSet.of_pairs(faces[:2], faces[2:4, :, :64, :64], faces[:2])
    with pytest.raises(InputError, match="32"):
        load_pairs([], size=16)
