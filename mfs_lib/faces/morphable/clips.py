"""Clips of the face world: somebody who turns, talks and moves in front of a background, with everything known.

A frame is laid from back to front: a photograph (or one of the world's own backgrounds) that drifts as behind a
hand-held camera, the head with hair and neck (`MorphableWorld.layer`), a drawn garment, and the grain of a sensor. Only
the head knows who it is. So the same clip of another person is the exact swap, and differs inside the face alone.

Every frame depends on the clip's seed and on its own number, on nothing before it: frames may be asked for in any
order, and a long clip begins like a short one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.faces import manifests
from mfs_lib.faces.morphable import appearance
from mfs_lib.faces.morphable.codes import Attributes, Identity
from mfs_lib.faces.morphable.geometry import PIVOT
from mfs_lib.faces.morphable.motion import Motion, Pose
from mfs_lib.faces.morphable.scenery import Sprite, garment, lay_over
from mfs_lib.faces.morphable.world import HeadLayer, MorphableWorld

Image = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

FACE_IN_FRAME = 0.47
"""Height of a face, brow to chin, in sides of the morphable model's frame."""

_WINDOW_MARGIN = 1.1
_LARGEST_WINDOW = 1024  # twice the largest inverse map, see `geometry`
_GRAIN = 2.0  # standard deviation in grey levels
_BACKGROUND_ROOM = 1.12  # the background is this much larger than the picture, so that it can drift


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFrame:
    """One frame and what is true of it.

    Attributes:
        index: its number from 0.
        image: (H, W, 3) uint8 RGB.
        points: (5, 2) pixels with centres at integers, ordered as a detector's: eye, eye, nose tip, mouth, mouth.
        landmarks: (468, 2) mesh points, likewise.
        face_mask: (H, W) float32 in [0, 1], where a swap may change the picture.
        pose: yaw, pitch and roll in degrees.
    """

    index: int
    image: Image
    points: FloatArray
    landmarks: FloatArray
    face_mask: npt.NDArray[np.float32]
    pose: tuple[float, float, float]


class Clip:
    """A clip of one sampled person; see the module's text."""

    def __init__(
        self,
        world: MorphableWorld,
        *,
        seed: int,
        frames: int,
        width: int = 1920,
        height: int = 1080,
        rate: float = 30.0,
        background: Image | None = None,
    ) -> None:
        """Sample the person, the way of being pictured and the motion.

        Args:
            world: draws the head.
            seed: decides every bit.
            frames: how many, at least 1.
            width, height: of a frame in pixels, even, at least 64.
            rate: frames per second of the motion.
            background: (h, w, 3) uint8 photograph; None takes one of the fetched set `backgrounds`, and the world's
                own where that is missing.

        Raises:
            InputError: a number out of range.
        """
        if frames < 1 or not 0 < rate < 1000:
            raise InputError(f"a clip needs at least one frame and a rate in (0, 1000), not {frames} and {rate}")
        if min(width, height) < 64 or width % 2 or height % 2:
            raise InputError(f"a clip needs even sides of at least 64 pixels, not {width}x{height}")
        self.world, self.length, self.rate, self.seed = world, frames, rate, seed
        self.width, self.height = width, height
        draw = torch.Generator().manual_seed(seed)
        self.identity = world.sample_identities(1, draw)
        attributes = world.sample_attributes(1, draw, occluded=0.0, wearers=self.identity)
        self.attributes = replace(attributes, colour=attributes.colour * 0.6)
        self.motion = Motion.sample(draw, self.attributes.expression.shape[1])
        self._garment = garment(draw, self.attributes.light[0].cpu().numpy(), self._head_pixels(1.0))
        self._behind = self._enlarged(self._graded(self._background(draw) if background is None else background))
        noise = np.random.default_rng(seed).normal(0, _GRAIN, (height + 64, width + 64, 1))
        self._noise = np.rint(noise).astype(np.int16)

    def __len__(self) -> int:
        return self.length

    def sample_identity(self, seed: int) -> Identity:
        """Somebody else to swap in, (1, ...) codes."""
        return self.world.sample_identities(1, torch.Generator().manual_seed(seed))

    def frames(self, identity: Identity | None = None) -> Iterator[ClipFrame]:
        """All frames in order; with an `identity` (1, ...) those of the exact swap."""
        for index in range(self.length):
            yield self.frame(index, identity)

    def frame(self, index: int, identity: Identity | None = None) -> ClipFrame:
        """One frame; with an `identity` (1, ...) that of the exact swap.

        Raises:
            InputError: no such frame.
        """
        if not 0 <= index < self.length:
            raise InputError(f"the clip has frames 0 to {self.length - 1}, not {index}")
        pose = self.motion.at(index / self.rate)
        layer, left, top = self._head(self.identity if identity is None else identity, pose)
        image = self._scene(pose)
        mask = np.zeros(image.shape[:2], dtype=np.float32)
        colour = layer.colour[0].permute(1, 2, 0).mul(255).cpu().numpy()
        alpha = (layer.alpha * _neck_cut(layer.coordinate))[0, 0].cpu().numpy()
        lay_over(image, colour, alpha, left, top)
        lay_over(mask, layer.face_mask[0, 0].cpu().numpy(), alpha, left, top)
        self._dress(image, mask, pose)
        self._add_grain(image, index)
        offset = np.array([left, top]) - 0.5  # the world's pixel centres are at halves
        return ClipFrame(
            index=index,
            image=image,
            points=layer.five[0].double().cpu().numpy() + offset,
            landmarks=layer.landmarks[0].double().cpu().numpy() + offset,
            face_mask=mask,
            pose=pose.angles,
        )

    def _head_pixels(self, nearness: float) -> float:
        """Side of the model's frame in pixels, for a face of a third of the picture's height at nearness 1."""
        return nearness * 0.33 * self.height / FACE_IN_FRAME

    def _place(self, pose: Pose) -> tuple[float, float, float]:
        """Side of the model's frame in pixels and where its pivot is in the picture."""
        return self._head_pixels(pose.nearness), pose.x * self.width, pose.y * self.height

    def _head(self, identity: Identity, pose: Pose) -> tuple[HeadLayer, int, int]:
        """The head in a square window of whole pixels, and the window's left upper corner."""
        side, x, y = self._place(pose)
        window = min(_LARGEST_WINDOW, 8 * round(_WINDOW_MARGIN * side / 8) + 8)
        left = round(x + (0.5 - PIVOT[0]) * side - window / 2)
        top = round(y + (0.5 - PIVOT[1]) * side - window / 2)
        scale = side / window
        shift = [(x - left) / window - scale * PIVOT[0], (y - top) / window - scale * PIVOT[1]]
        matrix = torch.tensor([[[scale, 0.0, shift[0]], [0.0, scale, shift[1]]]], device=self.world.device)
        attributes = self._attributes(pose)
        return self.world.layer(identity, attributes, size=window, matrix=matrix), left, top

    def _attributes(self, pose: Pose) -> Attributes:
        """The clip's attributes with the angles and the expression of one moment."""
        device = self.world.device
        smile = self.world.model.expression_mean[None] * pose.smile
        return replace(
            self.attributes,
            angles=torch.tensor([pose.angles], dtype=torch.float32, device=device),
            expression=smile + torch.tensor(pose.talk[None], dtype=torch.float32, device=device),
        )

    def _background(self, draw: torch.Generator) -> Image:
        """A photograph of the set, or else the world's own background, (h, w, 3)."""
        if manifests.available("backgrounds"):
            paths = manifests.files("backgrounds")
            return read_photograph(paths[int(torch.randint(len(paths), (1,), generator=draw))])
        own = self.attributes.background[0].permute(1, 2, 0).mul(255).round().byte().cpu().numpy()
        return np.ascontiguousarray(own)

    def _graded(self, photograph: Image) -> Image:
        """The background through the same camera as the head."""
        picture = torch.from_numpy(photograph).permute(2, 0, 1)[None].float().div(255)
        graded = appearance.grade(picture, self.attributes.colour.cpu())
        return np.ascontiguousarray(graded[0].permute(1, 2, 0).mul(255).round().byte().numpy())

    def _enlarged(self, photograph: Image) -> Image:
        """The background cut to the picture's shape, somewhat larger than it and out of focus."""
        wide, high = round(self.width * _BACKGROUND_ROOM), round(self.height * _BACKGROUND_ROOM)
        scale = max(wide / photograph.shape[1], high / photograph.shape[0])
        size = (max(wide, round(photograph.shape[1] * scale)), max(high, round(photograph.shape[0] * scale)))
        large = np.asarray(cv2.resize(photograph, size, interpolation=cv2.INTER_CUBIC))
        left, top = (large.shape[1] - wide) // 2, (large.shape[0] - high) // 2
        cut = large[top : top + high, left : left + wide]
        return np.asarray(cv2.GaussianBlur(cut, (0, 0), 0.005 * high), dtype=np.uint8)

    def _scene(self, pose: Pose) -> Image:
        """The background at one moment, (H, W, 3)."""
        room_x, room_y = self._behind.shape[1] - self.width, self._behind.shape[0] - self.height
        shift = np.array([[1, 0, -room_x * (0.5 + pose.drift[0])], [0, 1, -room_y * (0.5 + pose.drift[1])]])
        return np.asarray(
            cv2.warpAffine(self._behind, shift, (self.width, self.height), borderMode=cv2.BORDER_REPLICATE)
        )

    def _dress(self, image: Image, mask: npt.NDArray[np.float32], pose: Pose) -> None:
        """Lay the garment over the lower neck: it goes with the head's place, not with its turn."""
        side, x, y = self._place(pose)
        sprite: Sprite = self._garment
        scale = side / sprite.side
        matrix = np.array(
            [
                [scale, 0, x + side * (sprite.left - PIVOT[0])],
                [0, scale, y + side * (sprite.top - PIVOT[1])],
            ]
        )
        size = (self.width, self.height)
        cover = np.asarray(cv2.warpAffine(sprite.alpha, matrix, size, flags=cv2.INTER_LINEAR), dtype=np.float32)
        rows = np.flatnonzero(cover.max(axis=1) > 0)
        if len(rows) == 0:
            return
        top = int(rows[0])
        colour = np.asarray(cv2.warpAffine(sprite.colour, matrix, size, borderMode=cv2.BORDER_REPLICATE)[top:])
        lay_over(image, colour, cover[top:], 0, top)
        mask[top:] *= 1 - cover[top:]

    def _add_grain(self, image: Image, index: int) -> None:
        """Noise of the sensor, another piece of one large sheet for each frame."""
        left, top = np.random.default_rng((self.seed, index)).integers(0, 64, 2)
        piece = self._noise[top : top + self.height, left : left + self.width]
        np.clip(image + piece, 0, 255, out=image, casting="unsafe")


def read_photograph(path: Path) -> Image:
    """A picture file as (H, W, 3) uint8 RGB.

    Raises:
        InputError: it can't be read.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise InputError(f"{path} is not a readable picture")
    return np.asarray(pixels, dtype=np.uint8)


def _neck_cut(coordinate: Tensor) -> Tensor:
    """One (B, 1, S, S) on head and neck, zero on the shoulders and below the frame, of coordinates (B, S, S, 2).

    The model's pictures end at the collar; the shoulders in them would turn with the head.
    """
    x, y = coordinate.unbind(-1)
    aside = ((x - 0.5).abs() - 0.15).div(0.04).clamp(0, 1) * (y - 0.76).div(0.05).clamp(0, 1)
    below = (y - 0.97).div(0.02).clamp(0, 1)
    return ((1 - aside) * (1 - below))[:, None]
