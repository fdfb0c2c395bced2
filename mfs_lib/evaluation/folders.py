"""Folders of swaps from any system, as crops that can be measured.

    pairs = pairs_by_name(swaps, sources, targets)          # files named SOURCE_TARGET.png or SOURCE__TARGET.png
    pairs = pairs_from_table(table, swaps, sources, targets)  # a CSV: swap,source,target[,truth,person]
    pictures = load_pairs(pairs)

Each source and target is aligned by its own largest face. A swap of its target's size is cut out twice: where the
target's face is (for pixels, pose and expression: the two crops then show the same place, roll included), and by its own
landmarks (for the recogniser, as the field does). A swap of another size has only the latter, which is counted.
"""

from __future__ import annotations

import csv
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import FloatArray, Image, align, estimate_similarity
from mfs_lib.faces.detection import Face, FaceDetector
from mfs_lib.faces.folders import SUFFIXES, Rejected, read_photo
from mfs_lib.weights.models import load_detector

CROP_SIDE = 224
_COLUMNS = ("swap", "source", "target")


@dataclass(frozen=True)
class Pair:
    """Files of one swap, and the person whose face it should show."""

    swap: Path
    source: Path
    target: Path
    person: str
    truth: Path | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SwapSet:
    """Crops of swaps with their sources and targets; N swaps of G source pictures onto T targets, uint8 or in [0, 1].

    Attributes:
        source: (G, 3, S, S), each aligned by its own face.
        target: (T, 3, S, S), likewise.
        swap: (N, 3, S, S), in its target's frame.
        source_of, target_of: (N,) int64, which source and target each swap was made of.
        people: (G,) whom each source picture shows.
        swap_face: (N, 3, S, S) each aligned by its own face; None where `swap` is meant.
        truth, truth_face: (N, 3, S, S) the exact swaps, in the target's frame and aligned by their own faces.
        names: (N,) of the swaps.
        lost: people of the swaps in which no face was found or which can't be read.
        rejected: files that can't be used, and why.
        skipped: pairs left out because of their source, target or truth.
        reframed: swaps of another size than their target's picture.
    """

    source: Tensor
    target: Tensor
    swap: Tensor
    source_of: Tensor
    target_of: Tensor
    people: tuple[Hashable, ...]
    swap_face: Tensor | None = None
    truth: Tensor | None = None
    truth_face: Tensor | None = None
    names: tuple[str, ...] = ()
    lost: tuple[Hashable, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    skipped: int = 0
    reframed: int = 0

    def __post_init__(self) -> None:
        sizes = {one.shape[1:] for one in (self.source, self.target, self.swap)}
        fits = len(self.swap) == len(self.source_of) == len(self.target_of) and len(self.people) == len(self.source)
        if len(sizes) != 1 or not fits or not len(self.swap) or self.swap.ndim != 4:
            raise InputError("Sources, targets and swaps must be crops (N, 3, S, S) of one size, with an index each.")

    @classmethod
    def of_pairs(
        cls, swap: Tensor, source: Tensor, target: Tensor, truth: Tensor | None = None,
        people: Sequence[Hashable] | None = None,
    ) -> SwapSet:  # fmt: skip
        """Aligned crops (N, 3, S, S) in memory, on any device; row i of each is pair i.

        By default every source picture shows another person.
        """
        rows = torch.arange(len(swap))
        known = range(len(source)) if people is None else people
        return cls(
            source=source.cpu(), target=target.cpu(), swap=swap.cpu(), source_of=rows, target_of=rows,
            people=tuple(known), truth=None if truth is None else truth.cpu(),
            names=tuple(str(row) for row in range(len(swap))),
        )  # fmt: skip


def pictures_in(folder: Path) -> list[Path]:
    """Picture files in a folder and below it, sorted. Raises InputError where there is no folder or no picture."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES and p.name[0] != "."]
    if not files:
        raise InputError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))}).")
    return sorted(files)


def everybody(sources: Path) -> dict[Path, str]:
    """All source pictures of a folder and whom they show: their sub-folder's name, else their own."""
    return {path: _person(path, sources) for path in pictures_in(sources)}


def pairs_by_name(swaps: Path, sources: Path, targets: Path, truths: Path | None = None) -> list[Pair]:
    """Pairs from names: a swap is called as its source and target are, joined by ``_`` or ``__``; its truth as itself.

    Suffixes don't matter. A source in a sub-folder shows the person after whom that is named, others are people of their
    own.

    Raises:
        InputError: a name that fits no source and target, or more than one; two pictures of one name; no truth.
    """
    source, target = _by_stem(sources), _by_stem(targets)
    truth = None if truths is None else _by_stem(truths)
    out = []
    for swap in pictures_in(swaps):
        first, second = _split(swap.stem, source, target)
        exact = None if truth is None else truth.get(swap.stem)
        if truth is not None and exact is None:
            raise InputError(f"{swap.name} has no truth: {truths} holds no picture called {swap.stem}.")
        out.append(Pair(swap, source[first], target[second], _person(source[first], sources), exact))
    return out


def pairs_from_table(
    table: Path, swaps: Path, sources: Path, targets: Path, truths: Path | None = None
) -> list[Pair]:  # fmt: skip
    """Pairs from a CSV with a header ``swap,source,target`` and, if wanted, ``truth`` and ``person``.

    Cells are file names below the folders; `person` is who is shown in the source (by default as in `pairs_by_name`).

    Raises:
        InputError: the table can't be read, lacks a column or a cell, or names a file that isn't there.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            header, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} can't be read as a CSV: {error}.") from error
    wanted = (*_COLUMNS, *(("truth",) if truths is not None else ()))
    if missing := [name for name in wanted if name not in header]:
        raise InputError(f"{table} lacks the column {', '.join(missing)}; its header is: {','.join(header)}.")
    folders = dict(zip((*_COLUMNS, "truth"), (swaps, sources, targets, truths), strict=True))
    out = []
    for line, row in enumerate(rows, 2):
        files = {name: _cell_file(row[name], folders[name], f"{table.name}:{line}: {name}") for name in wanted}
        person = (row.get("person") or "").strip() or _person(files["source"], sources)
        out.append(Pair(files["swap"], files["source"], files["target"], person, files.get("truth")))
    if not out:
        raise InputError(f"{table} has a header but no rows.")
    if len({(pair.source, pair.person) for pair in out}) > len({pair.source for pair in out}):
        raise InputError(f"{table} says of one source picture that it shows two people.")
    return out


def load_pairs(
    pairs: Sequence[Pair],
    *,
    gallery: Mapping[Path, str] | None = None,
    aligned: bool = False,
    size: int = CROP_SIDE,
    detector: FaceDetector | None = None,
    progress: bool = True,
) -> SwapSet:
    """Crops of pairs; every picture is read and searched once.

    Args:
        pairs: files.
        gallery: further source pictures, and whom they show, among which each swap's source has to be found.
        aligned: the pictures are crops on our template, square and of one size: take them as they are, find nothing.
        size: side of the crops that are cut, in pixels.
        detector: finds faces; YuNet when None.
        progress: show bars on standard error.

    Raises:
        InputError: no pair is left, or with `aligned` a picture of another shape.
    """
    if size < 32:
        raise InputError(f"Crops need 32 pixels a side at least, not {size}.")
    cutter = _Cutter(aligned=aligned, size=size, detector=None if aligned else detector or load_detector())
    people = {pair.source: pair.person for pair in pairs}
    people = {**(gallery or {}), **people}
    sources = cutter.cut_all(list(people), "sources", progress)
    targets = cutter.cut_all([pair.target for pair in pairs], "targets", progress)
    rows = [pair for pair in pairs if pair.source in sources and pair.target in targets]
    made: list[tuple[Pair, _Cut, _Cut | None]] = []
    lost, skipped = [], len(pairs) - len(rows)
    for pair in tqdm(rows, desc="swaps", disable=not progress):
        swap = cutter.try_cut(pair.swap, targets[pair.target])
        truth = None if pair.truth is None else cutter.try_cut(pair.truth, targets[pair.target])
        if pair.truth is not None and truth is None:
            skipped += 1
        elif swap is None:
            lost.append(pair.person)
        else:
            made.append((pair, swap, truth))
    if not made:
        example = f", for example {cutter.rejected[0].name}: {cutter.rejected[0].reason}" if cutter.rejected else ""
        raise InputError(f"None of {len(pairs)} swaps can be judged{example}.")
    found = _assembled(made, sources, targets)
    shown = tuple(people[path] for path in sources)
    return replace(found, people=shown, lost=tuple(lost), rejected=tuple(cutter.rejected), skipped=skipped)


@dataclass(frozen=True, eq=False)
class _Cut:
    """A picture's `crop` in the frame wanted, its `face` crop by its own landmarks, and where the face was."""

    crop: Image
    face: Image
    points: FloatArray | None
    matrix: FloatArray | None
    shape: tuple[int, ...]
    reframed: bool = False


class _UnusableError(Exception):
    """A picture can't be read or shows no face: told in `rejected`, never to the caller."""


class _Cutter:
    """Reads pictures and cuts faces out, keeping account of what can't be used."""

    def __init__(self, *, aligned: bool, size: int, detector: FaceDetector | None) -> None:
        self.aligned, self.size, self.detector = aligned, size, detector
        self.side: int | None = None
        self.rejected: list[Rejected] = []

    def cut_all(self, paths: Sequence[Path], label: str, progress: bool) -> dict[Path, _Cut]:
        """Cuts of the distinct files that can be used."""
        bar = tqdm(dict.fromkeys(paths), desc=label, disable=not progress)
        return {path: cut for path in bar if (cut := self.try_cut(path)) is not None}

    def try_cut(self, path: Path, target: _Cut | None = None) -> _Cut | None:
        """The cut of a picture, in its target's frame where that is given; None (and an entry) if it can't be used."""
        try:
            return self._cut(path, target)
        except _UnusableError as error:
            self.rejected.append(Rejected(path.name, str(error)))
            return None

    def _cut(self, path: Path, target: _Cut | None) -> _Cut:
        try:
            image = read_photo(path)
        except InputError as error:
            raise _UnusableError(str(error)) from error
        if self.aligned:
            self._check_aligned(image, path)
            return _Cut(image, image, None, None, image.shape)
        same = target is not None and target.shape == image.shape
        points = self._find(image, target.points if same and target is not None else None).points
        matrix = estimate_similarity(points, self.size)
        face = align(image, matrix, self.size)
        if target is None or not same or target.matrix is None:
            return _Cut(face, face, points, matrix, image.shape, reframed=target is not None)
        return _Cut(align(image, target.matrix, self.size), face, points, matrix, image.shape)

    def _find(self, image: Image, near: FloatArray | None) -> Face:
        """The largest face, or the one at the target's (whose points are `near`)."""
        if self.detector is None:
            raise InputError("A face detector is needed for pictures that aren't aligned.")
        faces = self.detector.detect(image)
        if near is not None:
            reach = 2 * float(np.linalg.norm(near.max(0) - near.min(0)))
            away = [float(np.linalg.norm(face.points.mean(0) - near.mean(0))) for face in faces]
            faces = [faces[k] for k in np.argsort(away, kind="stable") if away[k] < reach]
        if not faces:
            raise _UnusableError("no face was found")
        return faces[0]

    def _check_aligned(self, image: Image, path: Path) -> None:
        height, width = image.shape[:2]
        self.side = self.side or height
        if height != width or height != self.side or height < 32:
            raise InputError(
                f"{path.name} has {width} x {height} pixels: aligned crops must be square, of one size (here {self.side}) "
                "and of 32 pixels at least. Leave out --aligned to have faces found and cut out."
            )


def _assembled(
    made: Sequence[tuple[Pair, _Cut, _Cut | None]], sources: Mapping[Path, _Cut], targets: Mapping[Path, _Cut]
) -> SwapSet:
    """Stacks of what was cut. All usable sources are in the gallery, also those whose swaps were lost."""
    number = {path: index for index, path in enumerate(sources)}
    place = {path: index for index, path in enumerate(dict.fromkeys(pair.target for pair, _, _ in made))}
    swaps, truths = [swap for _, swap, _ in made], [truth for _, _, truth in made if truth is not None]
    return SwapSet(
        source=_stack([cut.face for cut in sources.values()]),
        target=_stack([targets[path].face for path in place]),
        swap=_stack([cut.crop for cut in swaps]),
        swap_face=_stack([cut.face for cut in swaps]),
        truth=_stack([cut.crop for cut in truths]) if truths else None,
        truth_face=_stack([cut.face for cut in truths]) if truths else None,
        source_of=torch.tensor([number[pair.source] for pair, _, _ in made]),
        target_of=torch.tensor([place[pair.target] for pair, _, _ in made]),
        people=tuple(path.stem for path in sources),
        names=tuple(pair.swap.name for pair, _, _ in made),
        reframed=sum(cut.reframed for cut in swaps),
    )


def _stack(images: Sequence[Image]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in pictures_in(folder):
        if path.stem in found:
            raise InputError(f"Two pictures in {folder} are called {path.stem}: rename one, or give a CSV of pairs.")
        found[path.stem] = path
    return found


def _split(name: str, sources: dict[str, Path], targets: dict[str, Path]) -> tuple[str, str]:
    """Source and target that a swap is named after."""
    found = {
        (name[:at], name[at + len(joint) :])
        for joint in ("__", "_")
        for at in range(1, len(name) - len(joint))
        if name.startswith(joint, at)
    }
    fitting = sorted(pair for pair in found if pair[0] in sources and pair[1] in targets)
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise InputError(
            f"The swap {name} is not named SOURCE_TARGET or SOURCE__TARGET after a source and a target that are there: "
            "rename it, or give a CSV of pairs."
        )
    shown = " or ".join(f"{first} onto {second}" for first, second in fitting)
    raise InputError(f"The name {name} is ambiguous: {shown}. Rename it, or give a CSV of pairs.")


def _person(source: Path, folder: Path) -> str:
    """Whom a source shows: its sub-folder's name, else its own."""
    parts = source.relative_to(folder).parts if source.is_relative_to(folder) else (source.name,)
    return parts[0] if len(parts) > 1 else source.stem


def _cell_file(cell: str | None, folder: Path | None, where: str) -> Path:
    text = (cell or "").strip()
    if folder is None or not text:
        raise InputError(f"{where}: the cell is empty.")
    path = folder / text
    if not path.is_file():
        raise InputError(f"{where}: {path} is no file.")
    return path
