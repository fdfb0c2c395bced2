"""The whole way of a swap: photographs in, swapped photograph out.

    source -- detect -- align -- identity network -- injection --> one person's network        once per source
    target -- detect -- align -- that network -- paste back at full resolution -- mark          per target

Figure 2 of MobileFaceSwap (Xu et al., AAAI 2022). Everything is injected through the constructor, so each part can be
exchanged; `Swapper.load` puts together the default parts, or those of the release. How a crop is cut out and put back
is a `recipe`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mfs_lib.errors import InputError, NoFaceError
from mfs_lib.faces.alignment import scale_of
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, SwapOutput
from mfs_lib.swapping.image_io import MAX_MEGAPIXELS, ImageInput, LoadedImage, as_image, write_image
from mfs_lib.swapping.parts import Detector, load_networks, load_recipe_detector
from mfs_lib.swapping.paste import Detail
from mfs_lib.swapping.provenance import draw_label, swap_xmp
from mfs_lib.swapping.recipe import OUR_TEMPLATE, FaceTemplate, RecipeName, SwappedCrop, check_detail, recipe_by_name

if TYPE_CHECKING:
    from mfs_lib.faces.detection import Face

FaceChoice: TypeAlias = "Literal['largest', 'all'] | int"
"""Which faces of the target: the largest, all, or one by its number (0 is the largest)."""

MIN_SIDE = 16
"""A picture with a shorter side than this shows no face that could be found."""

SMALL_FACE = 60
"""Below this many photograph pixels across the crop, a note says that the result can't be good."""


@dataclass(frozen=True)
class SwappedFace:
    """One face of the target that was swapped.

    Attributes:
        index: its number among the faces found, 0 the largest.
        box: (left, top, right, bottom) in photograph pixels.
        score: the detector's confidence in [0, 1].
        pixels: side of the aligned crop measured in photograph pixels; more than the network's crop size means
            that ``detail="plain"`` shows the face softer than its surroundings.
    """

    index: int
    box: tuple[float, float, float, float]
    score: float
    pixels: float


@dataclass(frozen=True)
class Person:
    """A source made ready: what `Swapper.prepare` returns, to be used on any number of targets.

    Attributes:
        network: maps aligned crops (B, 3, S, S) in [0, 1] to `SwapOutput`; one person's weights baked in.
        notes: what was unusual about the source.
        timings: seconds by step.
    """

    network: nn.Module
    notes: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SwapResult:
    """A swapped picture and how it came about.

    Attributes:
        image: (H, W, 3) uint8 sRGB, upright, the size of the target.
        faces: what was swapped.
        found: how many faces the target shows.
        notes: everything unusual, one sentence each.
        timings: seconds by step.
        mask: (H, W) uint8, how much of each pixel was replaced, 255 for all of it.
        alpha: (H, W) uint8 of the target, or None.
        system: name of the model, for the mark.
    """

    image: npt.NDArray[np.uint8]
    faces: tuple[SwappedFace, ...]
    found: int
    notes: tuple[str, ...]
    timings: dict[str, float]
    mask: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None
    system: str = "MobileFaceSwap"

    def save(self, path: str | os.PathLike[str], *, mark: bool = True, label: bool = False) -> Path:
        """Write the picture, whole or not at all.

        Args:
            path: the suffix chooses the format (.png, .jpg, .webp, .tif).
            mark: embed the statement that the picture was edited by a model (see `provenance`).
            label: also draw a visible label.

        Raises:
            OutputError: it can't be written.
        """
        pixels = draw_label(self.image) if label else self.image
        return write_image(path, pixels, alpha=self.alpha, xmp=swap_xmp(self.system) if mark else None)


class Swapper:
    """Swaps the face of a source onto the faces of targets. Safe to keep; holds no state between calls."""

    def __init__(
        self,
        *,
        detector: Detector,
        identity: nn.Module,
        student: MobileFaceSwap,
        crop_size: int = 128,
        device: str | torch.device = "cpu",
        name: str = "default",
        max_megapixels: float = MAX_MEGAPIXELS,
        recipe: RecipeName = "ours",
        template: FaceTemplate = OUR_TEMPLATE,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Put the parts together.

        Args:
            detector: finds faces and their five points.
            identity: ArcFace crops (B, 3, 112, 112) in [0, 1] to `IdentityFeatures`, the one the student was
                trained with.
            student: the trained network.
            crop_size: side of its aligned crop in pixels.
            device: where the networks run.
            name: of the student, for the mark.
            max_megapixels: refuse larger pictures.
            recipe: how crops are cut out and put back.
            template: of the crops that the student was trained on.
            notes: what every result should say.

        Raises:
            InputError: no such recipe.
        """
        self.detector = detector
        self.device = torch.device(device)
        self.identity = identity.to(self.device).eval()
        self.student = student.to(self.device).eval()
        self.crop_size = crop_size
        self.name = name
        self.max_megapixels = max_megapixels
        self.recipe = recipe_by_name(recipe)
        self.template = template
        self.notes = notes

    @classmethod
    def load(
        cls,
        weights: str | os.PathLike[str] = "default",
        *,
        recipe: RecipeName = "ours",
        detector: Detector | None = None,
        device: str | torch.device = "cpu",
        max_megapixels: float = MAX_MEGAPIXELS,
    ) -> Swapper:
        """The default parts: YuNet detects, SFace recognises, a shipped student swaps.

        Args:
            weights: a shipped student, a student's .safetensors file, or "mobilefaceswap-224", which is the release's
                network with its own identity network.
            recipe: "ours" or "release", with any weights; see `recipe`.
            detector: another one than the recipe's own. The release's is SCRFD, if its file is in the cache or the
                mirror and its terms are agreed to; otherwise YuNet finds the faces, and every result says so.
            device: where the networks run.
            max_megapixels: refuse larger pictures.

        Raises:
            InputError: no such recipe.
            AssetError: a model is missing and can't be fetched.
        """
        recipe_by_name(recipe)  # a wrong name is refused before anything is loaded
        networks = load_networks(weights)
        found, notes = load_recipe_detector(recipe) if detector is None else (detector, ())
        return cls(
            detector=found,
            identity=networks.identity,
            student=networks.student,
            crop_size=networks.crop_size,
            device=device,
            name=networks.name,
            max_megapixels=max_megapixels,
            recipe=recipe,
            template=networks.template,
            notes=notes,
        )

    def prepare(self, source: ImageInput) -> Person:
        """Read a source, recognise its largest face and bake that person's network.

        Raises:
            InputError: the source can't be read.
            NoFaceError: it shows no face.
        """
        timings: dict[str, float] = {}
        with _timed(timings, "read source"):
            picture = as_image(source, max_megapixels=self.max_megapixels)
        with _timed(timings, "detect source"):
            faces = self._detect(picture, "source")
        notes = [f"source: {note}" for note in picture.notes]
        if len(faces) > 1:
            notes.append(f"source: shows {len(faces)} faces, the largest is used")
        with _timed(timings, "identity"), torch.no_grad():
            matrix = self._matrix(faces[0])
            crop = self._crop(picture.pixels, matrix)
            features: IdentityFeatures = self.identity(self.template.identity_view(crop))
            network = self.student.specialise(features)
        notes.extend(_size_note("source", 0, self.crop_size / scale_of(matrix)))
        return Person(network=network, notes=tuple(notes), timings=timings)

    def swap(
        self,
        source: ImageInput | Person,
        target: ImageInput,
        face: FaceChoice = "largest",
        *,
        detail: Detail | None = None,
    ) -> SwapResult:
        """Put the face of a source (a picture, or what `prepare` made of one) onto a target, which is not written to.

        Args:
            face: which faces of the target.
            detail: how our recipe pastes the crop back, see `paste`; None takes its default.

        Raises:
            InputError: a picture can't be read, there is no face of that number, or the release's paste is asked for
                a detail.
            NoFaceError: the source or the target shows no face.
        """
        _check_choice(face)
        check_detail(self.recipe.name, detail)
        person = source if isinstance(source, Person) else self.prepare(source)
        timings = dict(person.timings)
        with _timed(timings, "read target"):
            picture = as_image(target, max_megapixels=self.max_megapixels)
        with _timed(timings, "detect target"):
            faces = self._detect(picture, "target")
        notes = [*self.notes, *person.notes, *(f"target: {note}" for note in picture.notes)]
        image, mask = picture.pixels.copy(), np.zeros(picture.pixels.shape[:2], dtype=np.uint8)
        done: list[SwappedFace] = []
        for index in _chosen(face, faces):
            matrix = self._matrix(faces[index])
            with _timed(timings, "swap"):
                # From the untouched target, so that neighbours don't depend on the order.
                swapped = self._run(person, self._crop(picture.pixels, matrix))
            with _timed(timings, "paste"):
                self.recipe.put(image, swapped, matrix, detail, mask)
            done.append(_swapped(index, faces[index], self.crop_size / scale_of(matrix)))
            notes.extend(_size_note("target", index, done[-1].pixels))
        system = f"MobileFaceSwap ({self.name})"
        return SwapResult(image, tuple(done), len(faces), tuple(notes), timings, mask, picture.alpha, system)

    def _detect(self, picture: LoadedImage, role: str) -> Sequence[Face]:
        """At least one face, or `NoFaceError`."""
        width, height = picture.size
        if min(width, height) < MIN_SIDE:
            raise NoFaceError(f"the {role} has only {width}x{height} pixels: no face can be found in it")
        faces = self.detector.detect(picture.pixels)
        if not faces:
            raise NoFaceError(f"no face was found in the {role}: use a picture that shows one, seen from the front")
        return faces

    def _matrix(self, face: Face) -> npt.NDArray[np.float64]:
        """Photograph pixels to pixels of the face's aligned crop, (2, 3)."""
        return self.recipe.fit(face.points, self.template.points * self.crop_size)

    def _crop(self, pixels: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64]) -> Tensor:
        """Aligned crop (1, 3, S, S) in [0, 1] on the device."""
        crop = self.recipe.crop(pixels, matrix, self.crop_size)
        return torch.from_numpy(crop).permute(2, 0, 1)[None].float().div(255).to(self.device)

    @torch.no_grad()
    def _run(self, person: Person, crop: Tensor) -> SwappedCrop:
        """The person's network on one crop."""
        output: SwapOutput = person.network(crop)
        return SwappedCrop(_hwc(crop), _hwc(output.raw), _hwc(output.result), _hwc(output.mask)[..., 0])


def _hwc(batch: Tensor) -> npt.NDArray[np.float32]:
    """(1, C, S, S) tensor to (S, S, C) float32 array."""
    return np.ascontiguousarray(batch[0].permute(1, 2, 0).float().cpu().numpy())


def _check_choice(face: FaceChoice) -> None:
    """Refuse what is neither 'largest', 'all' nor a number from 0."""
    number = isinstance(face, int) and not isinstance(face, bool) and face >= 0
    if not number and face not in ("largest", "all"):
        raise InputError(f"face must be 'largest', 'all' or a number from 0, not {face!r}")


def _chosen(face: FaceChoice, faces: Sequence[Face]) -> Sequence[int]:
    """Numbers of the faces to swap."""
    if face == "all":
        return range(len(faces))
    index = 0 if face == "largest" else int(face)
    if index >= len(faces):
        places = "; ".join(f"{i} at ({f.box[0]:.0f}, {f.box[1]:.0f})" for i, f in enumerate(faces))
        raise InputError(f"the target has no face {index}: it shows {len(faces)} ({places})")
    return (index,)


def _swapped(index: int, face: Face, pixels: float) -> SwappedFace:
    """Plain numbers of one face, for reports."""
    left, top, right, bottom = (round(float(v), 1) for v in face.box)
    return SwappedFace(index=index, box=(left, top, right, bottom), score=float(face.score), pixels=round(pixels, 1))


def _size_note(role: str, index: int, pixels: float) -> list[str]:
    """A sentence when a face is too small to work well."""
    if pixels >= SMALL_FACE:
        return []
    return [f"{role}: face {index} is only {pixels:.0f} pixels across with its surroundings, expect a poor result"]


@contextmanager
def _timed(timings: dict[str, float], step: str) -> Iterator[None]:
    """Add the wall time of a block to `timings[step]` (seconds)."""
    start = time.perf_counter()
    yield
    timings[step] = timings.get(step, 0.0) + time.perf_counter() - start
