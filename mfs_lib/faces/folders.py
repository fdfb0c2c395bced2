"""Photographs as aligned crops with landmarks, ready for training and evaluation.

    photos = load_photo_set("london", "train", 128)     # data of the manifest
    photos = PhotoSet.from_folder("my_faces", 128)      # any folder of pictures
    photos.crops[0], photos.mesh[0], photos.people[0]

Landmarks (slow) and crops (large) are kept in the cache under a digest of the pictures, the models and the template;
a second call reads them from there.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage
from PIL import ImageOps
from torch import Tensor
from tqdm import tqdm

from mfs_lib.errors import InputError, NoFaceError
from mfs_lib.faces import manifests
from mfs_lib.faces.alignment import (
    TEMPLATE,
    FloatArray,
    Image,
    align,
    estimate_similarity,
    invert,
    transform_points,
)
from mfs_lib.faces.mesh import five_points, mesh_landmarks
from mfs_lib.weights.manifest import entry
from mfs_lib.weights.models import default_mesh, load_detector
from mfs_lib.weights.registry import cache_folder, file_sha256
from mfs_lib.weights.safe_io import write_atomically

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""Suffixes, in small letters, of the files that `PhotoSet.from_folder` looks at."""

GROUPS = {"london": ("london_neutral", "london_smiling")}
"""Names that stand for several sets of the manifest."""

MESH_TOLERANCE = 0.35
"""Largest mean distance, in eye distances, between the detector's five points and those of the mesh."""

_VERSION = 2  # of the cached files; raise it when finding or cutting changes


@dataclass(frozen=True, eq=False)
class FoundFace:
    """Landmarks in image pixels: five `points` (5, 2) and the `mesh` (468, 3) of ``mesh_landmarks``."""

    points: FloatArray
    mesh: FloatArray


@dataclass(frozen=True, eq=False)
class _Located:
    """A found face and the (width, height) of its picture."""

    face: FoundFace
    picture: tuple[int, int]


FaceFinder = Callable[[Image], FoundFace]
"""Finds the largest face of an RGB uint8 image (H, W, 3) or raises ``NoFaceError``."""


@dataclass(frozen=True)
class Rejected:
    """A file that gave no crop, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Photo:
    """A picture file: `name` as it is listed, the `person` shown and the `expression`."""

    path: Path
    name: str
    person: str
    expression: str


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoSet:
    """Aligned crops of photographs.

    Attributes:
        crops: (N, S, S, 3) uint8 RGB on the template of ``alignment``.
        points: (N, 5, 2) float32, the detector's points in crop pixels.
        mesh: (N, 468, 3) float32, x and y in crop pixels, z in the same scale.
        inside: (N, S, S) bool, where the picture itself is; elsewhere the crop repeats the picture's edge.
        names: file names.
        people: who is shown; equal for photographs of the same person.
        expressions: ``neutral``, ``smiling``, ``varied`` or ``unknown``.
        rejected: files without a usable face.
    """

    crops: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float32]
    mesh: npt.NDArray[np.float32]
    inside: npt.NDArray[np.bool_]
    names: tuple[str, ...]
    people: tuple[str, ...]
    expressions: tuple[str, ...]
    rejected: tuple[Rejected, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size(self) -> int:
        """Side of the crops in pixels."""
        return int(self.crops.shape[1])

    def pictures(self, indices: Iterable[int]) -> Tensor:
        """Crops (N, 3, S, S) in [0, 1] of the photographs with these indices."""
        chosen = np.fromiter(indices, dtype=np.intp)
        return torch.from_numpy(self.crops[chosen]).permute(0, 3, 1, 2).float() / 255

    def select(self, indices: Iterable[int]) -> PhotoSet:
        """The photographs with these indices, in this order; `rejected` is dropped."""
        chosen = np.fromiter(indices, dtype=np.intp)
        return PhotoSet(
            crops=self.crops[chosen],
            points=self.points[chosen],
            mesh=self.mesh[chosen],
            inside=self.inside[chosen],
            names=tuple(self.names[i] for i in chosen),
            people=tuple(self.people[i] for i in chosen),
            expressions=tuple(self.expressions[i] for i in chosen),
        )

    @classmethod
    def from_folder(
        cls, path: str | Path, size: int, *, finder: FaceFinder | None = None, progress: bool = True
    ) -> PhotoSet:
        """Crops of all pictures in a folder and below it, in the order of their paths.

        Pictures in a sub-folder show the person after whom it is named; each picture at the top is a person of its own.

        Args:
            path: the folder.
            size: side S of the crops in pixels.
            finder: another way to find faces; its results are not cached.
            progress: show a bar on standard error.

        Raises:
            InputError: no folder, no pictures in it, a size that is not positive, or no face in any of them.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder.")
        found = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
        if not found:
            raise InputError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))}).")
        photos = []
        for file in found:
            name = file.relative_to(folder)
            person = name.parts[0] if len(name.parts) > 1 else name.stem
            photos.append(Photo(path=file, name=name.as_posix(), person=person, expression="unknown"))
        return crop_photos(photos, size, finder=finder, progress=progress)


def load_photo_set(
    name: str, split: manifests.Split, size: int, *, finder: FaceFinder | None = None, progress: bool = True
) -> PhotoSet:
    """Crops of the photographs of a set of the manifest, or of a group of sets.

    Args:
        name: ``london`` (neutral and smiling), or a set of the manifest that shows faces.
        split: ``train``, ``test`` or ``all``.
        size: side S of the crops in pixels.
        finder: another way to find faces; its results are not cached.
        progress: show a bar on standard error.

    Raises:
        AssetError: the data is not there (the message says how to get it) or damaged.
        InputError: the set shows no faces, the split does not exist or may not be used, the size is not positive.
    """
    photos: list[Photo] = []
    for member in GROUPS.get(name, (name,)):
        about = manifests.face_set(member)
        if about.expression == "none":
            raise InputError(f"{about.title} shows no faces.")
        paths = manifests.files(member, split=split)
        photos += [Photo(path, path.name, about.person(path.name), about.expression) for path in paths]
    return crop_photos(photos, size, finder=finder, progress=progress)


def crop_photos(
    photos: Sequence[Photo], size: int, *, finder: FaceFinder | None = None, progress: bool = True
) -> PhotoSet:
    """Find the largest face of each picture and cut it out; see ``PhotoSet.from_folder``.

    Raises:
        InputError: a size that is not positive, or no face in any of the pictures.
    """
    if size < 1:
        raise InputError(f"The side of a crop must be at least one pixel, not {size}.")
    digest = None if finder is not None else _digest(photos)
    located, rejected = _landmarks(photos, finder, digest, progress)
    kept = [photo for photo, one in zip(photos, located, strict=True) if one is not None]
    found = [one for one in located if one is not None]
    if not kept:
        example = f", for example {rejected[0].name}: {rejected[0].reason}" if rejected else ""
        raise InputError(f"No usable face in {len(photos)} pictures{example}.")
    matrices = [estimate_similarity(one.face.points, size) for one in found]
    pairs = list(zip(matrices, found, strict=True))
    return PhotoSet(
        crops=_crops(kept, matrices, size, digest, progress),
        points=np.stack([transform_points(m, one.face.points) for m, one in pairs]).astype(np.float32),
        mesh=np.stack([_move_mesh(m, one.face.mesh) for m, one in pairs]).astype(np.float32),
        inside=np.stack([_inside(m, one.picture, size) for m, one in pairs]),
        names=tuple(photo.name for photo in kept),
        people=tuple(photo.person for photo in kept),
        expressions=tuple(photo.expression for photo in kept),
        rejected=tuple(rejected),
    )


def default_finder() -> FaceFinder:
    """YuNet and the face mesh; a face on which the two do not agree is rejected."""
    detector, mesh = load_detector(), default_mesh()

    def find(image: Image) -> FoundFace:
        faces = detector.detect(image)
        if not faces:
            raise NoFaceError("no face was found")
        landmarks = mesh_landmarks(image, faces[0], mesh=mesh)
        if (error := mesh_disagreement(faces[0].points, landmarks)) > MESH_TOLERANCE:
            raise NoFaceError(f"the landmarks do not fit the face ({error:.2f} eye distances off)")
        return FoundFace(points=faces[0].points, mesh=landmarks)

    return find


def mesh_disagreement(points: FloatArray, mesh: FloatArray) -> float:
    """Mean distance between five points (5, 2) and the same five of a mesh (468, 3), in units of the eye distance.

    For a side view the eyes are close together in the image; half of the distance from eyes to mouth is the least unit.
    """
    same = five_points(mesh)
    height = np.linalg.norm(points[:2].mean(axis=0) - points[3:].mean(axis=0))
    unit = max(float(np.linalg.norm(points[0] - points[1])), 0.5 * float(height), 1e-6)
    return float(np.linalg.norm(points - same, axis=1).mean()) / unit


def read_photo(path: Path) -> Image:
    """RGB uint8 pixels (H, W, 3) of a picture file, turned upright as its EXIF says.

    Raises:
        InputError: it can't be read.
    """
    try:
        with PillowImage.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, IndexError, struct.error, PillowImage.DecompressionBombError) as error:
        raise InputError(f"{path.name} can't be read: {error}") from error


def _move_mesh(matrix: FloatArray, mesh: FloatArray) -> FloatArray:
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return np.column_stack([transform_points(matrix, mesh[:, :2]), mesh[:, 2] * scale])


def _digest(photos: Sequence[Photo]) -> str:
    """Digest of what the landmarks depend on: the pictures in their order, the models, the version of this file."""
    models = [entry(name).sha256 for name in ("yunet", "face-landmark")]
    parts = [str(_VERSION), str(MESH_TOLERANCE), *models, *(file_sha256(photo.path) for photo in photos)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _inside(matrix: FloatArray, picture: tuple[int, int], size: int) -> npt.NDArray[np.bool_]:
    """(S, S): whether the centre of a crop pixel lies in a picture of (width, height) pixels."""
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    there = transform_points(invert(matrix), np.stack([x, y], axis=-1))
    # Pixel centres are at integers, so a picture reaches from -0.5 to its width - 0.5.
    return np.asarray(np.all((there >= -0.5) & (there <= np.array(picture) - 0.5), axis=-1), dtype=np.bool_)


def _landmarks(
    photos: Sequence[Photo], finder: FaceFinder | None, digest: str | None, progress: bool
) -> tuple[list[_Located | None], list[Rejected]]:
    """A face, or None with a reason in the second list, for each picture."""
    cached = _read_cache("landmarks", digest)
    if cached is None:
        located, reasons = _find_all(photos, finder or default_finder(), progress)
        _write_landmarks(located, reasons, digest)
    else:
        reasons = [str(reason) for reason in cached["reasons"]]
        rows = zip(cached["points"], cached["mesh"], cached["pictures"], reasons, strict=True)
        located = [None if why else _Located(FoundFace(p, m), (int(wh[0]), int(wh[1]))) for p, m, wh, why in rows]
    return located, [Rejected(photo.name, why) for photo, why in zip(photos, reasons, strict=True) if why]


def _find_all(photos: Sequence[Photo], finder: FaceFinder, progress: bool) -> tuple[list[_Located | None], list[str]]:
    located: list[_Located | None] = []
    reasons = []
    for photo in tqdm(photos, desc="finding faces", disable=not progress):
        try:
            image = read_photo(photo.path)
            located.append(_Located(finder(image), (image.shape[1], image.shape[0])))
            reasons.append("")
        except InputError as error:  # also NoFaceError; the reason is handed to the caller in `rejected`
            located.append(None)
            reasons.append(str(error))
    return located, reasons


def _write_landmarks(located: Sequence[_Located | None], reasons: Sequence[str], digest: str | None) -> None:
    count = len(located)
    points, mesh, pictures = np.zeros((count, 5, 2)), np.zeros((count, 468, 3)), np.zeros((count, 2), dtype=np.int64)
    for index, one in enumerate(located):
        if one is not None:
            points[index], mesh[index], pictures[index] = one.face.points, one.face.mesh, one.picture
    texts = np.array(reasons, dtype=np.str_)
    _write_cache("landmarks", digest, points=points, mesh=mesh, pictures=pictures, reasons=texts)


def _crops(
    photos: Sequence[Photo], matrices: Sequence[FloatArray], size: int, digest: str | None, progress: bool
) -> npt.NDArray[np.uint8]:
    template = hashlib.sha256(TEMPLATE.round(9).tobytes()).hexdigest()[:8]
    key = None if digest is None else f"{digest}-{size}-{template}"
    cached = _read_cache("crops", key)
    if cached is not None:
        return cached["crops"].astype(np.uint8, copy=False)
    crops = np.empty((len(photos), size, size, 3), dtype=np.uint8)
    for index, photo in enumerate(tqdm(photos, desc=f"cutting {size} px crops", disable=not progress)):
        crops[index] = align(read_photo(photo.path), matrices[index], size)
    _write_cache("crops", key, crops=crops)
    return crops


def _cache_path(kind: str, key: str) -> Path:
    return cache_folder() / "photo_sets" / f"{kind}-{key}.npz"


def _read_cache(kind: str, key: str | None) -> dict[str, npt.NDArray[np.generic]] | None:
    """Arrays kept under a key; None when there are none or the file is damaged (it is then made again)."""
    if key is None or not (path := _cache_path(kind, key)).is_file():
        return None
    try:
        # Opened here, because numpy leaves a file that turns out to be damaged open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, EOFError, zipfile.BadZipFile):
        return None


def _write_cache(kind: str, key: str | None, **arrays: npt.NDArray[np.generic]) -> None:
    if key is None:
        return

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    write_atomically(_cache_path(kind, key), write)
