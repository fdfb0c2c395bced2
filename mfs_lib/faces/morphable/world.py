"""The face world: people who don't exist, pictured in every way, with the exact swap known.

`swap(identity_of=a, attributes_of=b)` renders b's attributes, in b's frame, with a's identity: the truth that no
photograph can give. It is the same function that renders everybody; nothing else is pasted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.faces.alignment import TEMPLATE
from mfs_lib.faces.mesh import FACE_OVAL
from mfs_lib.faces.morphable import appearance, geometry, occluders
from mfs_lib.faces.morphable.codes import Attributes, Identity, sample_attributes, sample_identities
from mfs_lib.faces.morphable.frame import GRID, grid_points, sample_field
from mfs_lib.faces.morphable.model import MorphableModel, load_model


@dataclass(frozen=True)
class WorldSample:
    """Pictures with everything known about them."""

    image: Tensor  # (B, 3, S, S) in [0, 1]
    identity: Identity
    attributes: Attributes
    face_mask: Tensor  # (B, 1, S, S) visible face: where a swap may change the picture
    landmarks: Tensor  # (B, 468, 2) in pixels of the crop
    matrix: Tensor  # (B, 2, 3) posed frame -> crop, fractions of the side


@dataclass(frozen=True)
class HeadLayer:
    """A head without what is behind it, to be laid over any picture."""

    colour: Tensor  # (B, 3, S, S) in [0, 1], graded as `Attributes.colour` says, not degraded
    alpha: Tensor  # (B, 1, S, S) how much of each pixel the head covers
    face_mask: Tensor  # (B, 1, S, S) as in `WorldSample`
    coordinate: Tensor  # (B, S, S, 2) frame coordinates seen at each pixel
    landmarks: Tensor  # (B, 468, 2) in pixels, pixel centres at halves
    five: Tensor  # (B, 5, 2) the alignment points, likewise


def _inside_frame(coordinate: Tensor, feather: float = 0.02) -> Tensor:
    """One (B, 1, H, W) where frame coordinates lie in the frame, zero beyond its top and sides."""
    x, y = coordinate.unbind(-1)
    reach = torch.minimum(torch.minimum(x, 1 - x), y)
    return (reach / feather).clamp(0, 1)[:, None]


class MorphableWorld:
    """Sampler and renderer over a morphable model, on any device."""

    def __init__(self, model: MorphableModel, device: torch.device | str = "cpu") -> None:
        self.model = model.to(device)
        self.device = torch.device(device)
        self._template = torch.tensor(np.asarray(TEMPLATE), dtype=torch.float32, device=device)
        self._grid = torch.tensor(grid_points(), dtype=torch.float32, device=device).permute(2, 0, 1)
        self._ring = self._ring_points(model).to(device)
        self._inner = self._inner_weight(self.model)
        self._membrane = appearance.membrane_weights(self._ring, self.model.face_box)

    @classmethod
    def load(cls, device: torch.device | str = "cpu") -> MorphableWorld:
        """The world that ships with the package."""
        return cls(load_model(), device)

    @staticmethod
    def _ring_points(model: MorphableModel) -> Tensor:
        """Frame points a little inside the border of the face mask, where tone is compared (N, 2)."""
        oval = model.landmarks[list(FACE_OVAL)].cpu()
        centre = oval.mean(0)
        ring = centre + (oval - centre) * 0.93
        top = model.face_box[1].cpu() + 0.03
        ring[:, 1] = ring[:, 1].clamp(min=float(top))
        return ring

    @staticmethod
    def _inner_weight(model: MorphableModel) -> Tensor:
        """One over the control points (G, G) where the face lies, zero on the surround.

        Identity moves only the former: hair, ears and neck keep the shape of the head that they belong to, so that a
        swap leaves them as they are.
        """
        line = torch.linspace(0, 1, GRID, device=model.face_box.device)
        grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
        in_box = (grid - model.face_box[:2]) / (model.face_box[2:] - model.face_box[:2]) * 2 - 1
        face = F.grid_sample(model.face_mask[None, None], in_box[None], align_corners=False)
        return (face[0, 0] > 0.02).to(face.dtype)

    def sample_identities(self, count: int, generator: torch.Generator) -> Identity:
        """`count` people who don't exist."""
        return sample_identities(self.model, count, generator).to(self.device)

    def sample_attributes(
        self, count: int, generator: torch.Generator, *, occluded: float = 0.15, wearers: Identity | None = None
    ) -> Attributes:
        """`count` ways of being pictured, `occluded` of them with glasses or a hand; hair that suits the `wearers`."""
        group = None if wearers is None else wearers.group
        return sample_attributes(self.model, count, generator, occluded=occluded, group=group).to(self.device)

    def sample(self, count: int, generator: torch.Generator, *, size: int = 128) -> WorldSample:
        """Pictures of random people in random ways."""
        who = self.sample_identities(count, generator)
        how = self.sample_attributes(count, generator, wearers=who)
        return self.render(who, how, size=size)

    def swap(self, *, identity_of: WorldSample, attributes_of: WorldSample) -> WorldSample:
        """The exact swap: the second's picture as it would be if the first had been sitting there."""
        size = attributes_of.image.shape[-1]
        return self.render(identity_of.identity, attributes_of.attributes, size=size, matrix=attributes_of.matrix)

    @torch.no_grad()
    def render(
        self, identity: Identity, attributes: Attributes, *, size: int = 128, matrix: Tensor | None = None,
        aligned: bool = True,
    ) -> WorldSample:  # fmt: skip
        """Picture people.

        Args:
            identity, attributes: B codes each.
            size: side of the crop in pixels, a multiple of 8.
            matrix: (B, 2, 3) a camera to reuse; without it each face is aligned by its own five points.
            aligned: False leaves the head's roll in the picture instead of aligning it away.
        """
        posed, coordinate, position, matrix = self._place(identity, attributes, size, matrix, aligned=aligned)
        image, mask = self._paint(identity, attributes, coordinate, posed, size)
        landmarks = sample_field(position, self.model.landmarks) * size
        return WorldSample(image, identity, attributes, mask, landmarks, matrix)

    @torch.no_grad()
    def layer(self, identity: Identity, attributes: Attributes, *, size: int, matrix: Tensor) -> HeadLayer:
        """The heads alone, as `render` draws them, with what they cover; see there for the arguments.

        Background, degradation and hands are the business of who lays the head over a picture.
        """
        posed, coordinate, position, _ = self._place(identity, attributes, size, matrix, aligned=True)
        head, alpha, mask = self._head(identity, attributes, coordinate, posed, size)
        return HeadLayer(
            colour=appearance.grade(head, attributes.colour),
            alpha=alpha,
            face_mask=mask,
            coordinate=coordinate,
            landmarks=sample_field(position, self.model.landmarks) * size,
            five=sample_field(position, self.model.five) * size,
        )

    def _place(
        self, identity: Identity, attributes: Attributes, size: int, matrix: Tensor | None, *, aligned: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Posed surface, frame coordinates (B, S, S, 2) of the pixels, place of the control points, camera."""
        surface = self._surface(identity, attributes)
        rotation = geometry.rotation_matrices(*attributes.angles.unbind(1))
        posed = self._pose(surface, rotation)
        if matrix is None:
            matrix = self._camera(posed, attributes, aligned=aligned)
        position = geometry.transform(posed[:, :2].flatten(2).transpose(1, 2), matrix)
        position = position.transpose(1, 2).view(-1, 2, GRID, GRID)
        # the inverse map at half size is smooth enough: one bilinear step doubles it
        coarse = geometry.inverse_map(position, posed[:, 2:], max(32, size // 2))
        coordinate = F.interpolate(coarse.permute(0, 3, 1, 2), size=(size, size), mode="bilinear", align_corners=False)
        return posed, coordinate.permute(0, 2, 3, 1), position, matrix

    def _surface(self, identity: Identity, attributes: Attributes) -> Tensor:
        """Unposed surface (B, 3, G, G): where each control point of the frame lies in space."""
        m = self.model
        parts = torch.einsum("brk,kcij->brcij", identity.shape, m.shape_basis)
        face = (parts * m.regions_grid[None, :, None]).sum(1)
        head = torch.einsum("bk,kcij->bcij", attributes.head, m.shape_basis)
        who = m.shape_mean + head + self._inner * (face - head)
        how = torch.einsum("bk,kcij->bcij", attributes.expression, m.expression_shape)
        rest = torch.cat([self._grid, m.depth[None]], 0)
        return rest + who + how

    def _pose(self, surface: Tensor, rotation: Tensor) -> Tensor:
        points = geometry.pose_points(surface.flatten(2).transpose(1, 2), rotation)
        return points.transpose(1, 2).view(-1, 3, GRID, GRID)

    def _camera(self, posed: Tensor, attributes: Attributes, *, aligned: bool) -> Tensor:
        """Similarity (B, 2, 3) from the posed frame to the crop: alignment by five points, then the framing's jitter."""
        five = sample_field(posed[:, :2], self.model.five)
        matrix = geometry.fit_similarity(five, self._template)
        scale, shift, tilt = attributes.framing[:, 0].exp(), attributes.framing[:, 1:3], attributes.framing[:, 3]
        if not aligned:
            tilt = tilt + attributes.angles[:, 2]
            scale = scale * 0.85
        turn = geometry.rotation_matrices(0 * tilt, 0 * tilt, tilt)[:, :2, :2] * scale[:, None, None]
        linear = turn @ matrix[:, :, :2]
        offset = torch.einsum("bij,bj->bi", turn, matrix[:, :, 2] - 0.5) + 0.5 + shift
        return torch.cat([linear, offset[:, :, None]], 2)

    def _textures(self, identity: Identity, attributes: Attributes) -> Tensor:
        """Face texture (B, 3, h, w) in the face box, before it takes the surround's tone."""
        m = self.model
        parts = torch.einsum("brk,kcij->brcij", identity.texture, m.texture_basis)
        change = torch.einsum("bk,kcij->bcij", attributes.expression, m.expression_texture)
        return m.texture_mean + (parts * m.regions[None, :, None]).sum(1) + change

    def _tone(self, face: Tensor, surround: Tensor) -> Tensor:
        """Gains (B, 3, M, M) over the face box that make the face meet its surround without a seam."""
        m = self.model
        inside = (self._ring - m.face_box[:2]) / (m.face_box[2:] - m.face_box[:2])
        ours = sample_field(F.avg_pool2d(face, 7, 3), inside)
        theirs = sample_field(F.avg_pool2d(surround[:, :3], 3, 1, 1), self._ring)
        gain = (theirs + appearance.TONE_OFFSET) / (ours.clamp(min=0) + appearance.TONE_OFFSET)
        middle = gain.median(dim=1, keepdim=True).values
        gain = torch.minimum(torch.maximum(gain, middle * 0.65), middle * 1.5)  # hair at the rim is not skin
        spread = self._membrane.to(gain) @ gain
        return spread.transpose(1, 2).view(-1, 3, appearance.MEMBRANE, appearance.MEMBRANE)

    def _paint(
        self, identity: Identity, attributes: Attributes, coordinate: Tensor, posed: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        """Colours (B, 3, S, S) and visible face (B, 1, S, S) for frame coordinates (B, S, S, 2)."""
        head, alpha, mask = self._head(identity, attributes, coordinate, posed, size)
        behind = F.interpolate(attributes.background, size=(size, size), mode="bilinear", align_corners=False)
        picture = appearance.grade(head * alpha + behind * (1 - alpha), attributes.colour)
        picture, mask = self._hand(picture, mask, attributes, size)
        return appearance.degrade(picture.clamp(0, 1), attributes.degrade), mask

    def _head(
        self, identity: Identity, attributes: Attributes, coordinate: Tensor, posed: Tensor, size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Colours (B, 3, S, S) of the heads, what they cover and the visible face (B, 1, S, S each)."""
        m = self.model
        face = self._textures(identity, attributes)
        surround = m.surround_mean + torch.einsum("bk,kcij->bcij", attributes.surround, m.surround_basis)
        colour = (surround[:, :3] / surround[:, 3:].clamp(min=0.15)).clamp(0, 1)
        gain = self._tone(face, colour)
        box, batch = m.face_box, len(coordinate)
        in_box = (coordinate - box[:2]) / (box[2:] - box[:2]) * 2 - 1

        def look(texture: Tensor, where: Tensor, padding: str = "zeros") -> Tensor:
            return F.grid_sample(texture, where, mode="bilinear", padding_mode=padding, align_corners=False)

        toned = (look(face, in_box) + appearance.TONE_OFFSET) * look(gain, in_box, "border") - appearance.TONE_OFFSET
        mask = look(m.face_mask.expand(batch, 1, -1, -1), in_box)
        layer = look(torch.cat([colour, surround[:, 3:].clamp(0, 1)], 1), coordinate * 2 - 1, "border")
        alpha = torch.maximum(layer[:, 3:], mask) * _inside_frame(coordinate)
        head = layer[:, :3] * (1 - mask) + toned.clamp(0, 1) * mask
        normal = look(geometry.surface_normals(posed), coordinate * 2 - 1, "border")
        head = head * appearance.shading(F.normalize(normal, dim=1), attributes.light)
        head, mask = self._occlude(head, mask, attributes, coordinate, size)
        return head, alpha, mask

    def _occlude(
        self, head: Tensor, mask: Tensor, attributes: Attributes, coordinate: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        """Glasses on those who wear them."""
        worn = torch.nonzero(attributes.occluder[:, 0] == 1).flatten()
        if len(worn) == 0:
            return head, mask
        drawn = occluders.glasses(attributes.occluder[worn], coordinate[worn], self.model.five[:2], 0.35 / size)
        return _cover(head, mask, worn, *drawn)

    def _hand(self, picture: Tensor, mask: Tensor, attributes: Attributes, size: int) -> tuple[Tensor, Tensor]:
        """A hand in front of those who raise it."""
        raised = torch.nonzero(attributes.occluder[:, 0] == 2).flatten()
        if len(raised) == 0:
            return picture, mask
        return _cover(picture, mask, raised, *occluders.patch(attributes.occluder[raised], size, 0.7 / size))


def _cover(picture: Tensor, mask: Tensor, which: Tensor, colour: Tensor, cover: Tensor) -> tuple[Tensor, Tensor]:
    """Lay an occluder over some of the pictures and take it out of their masks."""
    picture, mask = picture.clone(), mask.clone()
    picture[which] = picture[which] * (1 - cover) + colour * cover
    mask[which] = mask[which] * (1 - cover)
    return picture, mask
