"""What the chapter on the face world shows: the frame, the components, people under chosen circumstances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.sheets import to_pixels
from mfs_lib.faces.mesh import FACE_OVAL
from mfs_lib.faces.morphable import Attributes, Identity, MorphableWorld
from mfs_lib.faces.morphable.frame import CROP_FRACTION, GRID
from mfs_lib.faces.morphable.model import REGIONS, MorphableModel
from mfs_lib.figures import COLOURS

GREY = 0.62
"""Brightness of the empty background."""


def plain_attributes(model: MorphableModel, count: int) -> Attributes:
    """The dullest way of being pictured: mean hair, no expression, frontal, even light, grey wall, perfect camera."""

    def zeros(columns: int) -> Tensor:
        return torch.zeros(count, columns)

    light = torch.cat([zeros(3), torch.ones(count, 3)], 1)
    return Attributes(
        surround=zeros(model.surround_codes.shape[1]), head=zeros(model.shape_codes.shape[1]),
        expression=zeros(model.expression_codes.shape[1]), angles=zeros(3), framing=zeros(4), light=light,
        colour=zeros(6), degrade=zeros(3), background=torch.full((count, 3, 64, 64), GREY), occluder=zeros(12),
    )  # fmt: skip


def everywhere(shape: Tensor, texture: Tensor) -> Identity:
    """People (B, Ks), (B, Kt) who have the same codes in all regions of the face."""
    regions = len(REGIONS)
    group = torch.zeros(len(shape), dtype=torch.long)
    return Identity(shape[:, None].repeat(1, regions, 1), texture[:, None].repeat(1, regions, 1), group)


def training_people(model: MorphableModel) -> Identity:
    """The people of whom the model was learned, as their codes say (a reconstruction, not their photographs)."""
    return replace(everywhere(model.shape_codes.cpu(), model.texture_codes.cpu()), group=model.group.cpu())


def repeat(codes: Identity, count: int) -> Identity:
    """One person `count` times."""
    return codes[[0] * count]


def component_rows(world: MorphableWorld, *, amount: float = 2.0, count: int = 3, size: int = 128) -> list[Tensor]:
    """Pictures of the mean face moved along components, a row each of shape, texture and expression.

    Each row, (2 * count + 1, 3, S, S): component k at minus and plus `amount` standard deviations, k = 1 to `count`,
    around the mean face in the middle. The expression row only goes up, because the components point from neutral to
    smiling: mean smile times 0 to 1.25.
    """
    model = world.model
    total = 2 * count + 1
    steps = [(k, -amount) for k in range(count)] + [(0, 0.0)] + [(k, amount) for k in range(count)]
    shape, texture = torch.zeros(total, model.shape_codes.shape[1]), torch.zeros(total, model.texture_codes.shape[1])
    for row, (k, value) in enumerate(steps):
        shape[row, k] = texture[row, k] = value
    plain = plain_attributes(model, total)
    share = torch.linspace(0, 1.25, total)[:, None]
    smile = replace(plain, expression=share * model.expression_mean.cpu())
    nobody = everywhere(0 * shape, 0 * texture)
    pictured = (
        (everywhere(shape, 0 * texture), plain),
        (everywhere(0 * shape, texture), plain),
        (nobody, smile),
    )
    return [world.render(who, how, size=size).image for who, how in pictured]


def region_exchange(world: MorphableWorld, first: Identity, second: Identity, *, size: int = 128) -> list[Tensor]:
    """One row (6, 3, S, S) for each pair: the first person, then with one region of the second at a time, the second."""
    plain = plain_attributes(world.model, len(REGIONS) + 2)
    rows = []
    for i in range(len(first)):
        mixed_shape, mixed_texture = [first.shape[i]], [first.texture[i]]
        for region in range(len(REGIONS)):
            chosen = (torch.arange(len(REGIONS)) == region)[:, None]
            mixed_shape.append(torch.where(chosen, second.shape[i], first.shape[i]))
            mixed_texture.append(torch.where(chosen, second.texture[i], first.texture[i]))
        people = Identity(
            torch.stack([*mixed_shape, second.shape[i]]),
            torch.stack([*mixed_texture, second.texture[i]]),
            torch.zeros(len(REGIONS) + 2, dtype=torch.long),
        )
        rows.append(world.render(people, plain, size=size).image)
    return rows


def painting_steps(
    world: MorphableWorld, who: Identity, how: Attributes, *, size: int = 128
) -> tuple[list[str], Tensor]:
    """A picture of one person as it comes about: attributes added one after another to the dull portrait.

    Returns their names and the pictures (N, 3, S, S); the last one has all of them.
    """
    order = {
        "expression": ("expression",), "pose": ("angles",), "framing": ("framing",), "hair": ("surround", "head"),
        "background": ("background",), "light": ("light",), "colour": ("colour",), "occluder": ("occluder",),
        "camera": ("degrade",),
    }  # fmt: skip
    shown = [plain_attributes(world.model, 1)]
    for parts in order.values():
        shown.append(replace(shown[-1], **{part: getattr(how, part) for part in parts}))
    pictures = [world.render(who, attributes, size=size).image for attributes in shown]
    return ["mean hair", *order], torch.cat(pictures)


def turned(attributes: Attributes, yaws: Sequence[float], pitches: Sequence[float] = ()) -> Attributes:
    """The first of `attributes` repeated with other yaws (degrees), and pitches if given, without roll."""
    many = attributes[[0] * len(yaws)]
    angles = torch.zeros(len(yaws), 3)
    angles[:, 0] = torch.tensor(yaws)
    if pitches:
        angles[:, 1] = torch.tensor(pitches)
    return replace(many, angles=angles)


def frame_figure(world: MorphableWorld, *, component: int = 0, amount: float = 2.0) -> Figure:
    """Three views of the mean frame: landmarks on the mean face, the mean depth, one component of the displacement."""
    model = world.model
    figure = Figure(figsize=(8.4, 3.0))
    left, middle, right = figure.subplots(1, 3)
    for axes in (left, middle, right):
        axes.grid(False)
        axes.set(xlim=(0.06, 0.94), ylim=(0.94, 0.06), aspect="equal", xticks=[], yticks=[])
    _landmarks(left, model)
    depth = middle.imshow(model.depth.cpu().numpy(), extent=(0, 1, 1, 0), cmap="viridis")
    middle.set_title("mean depth $h$")
    figure.colorbar(depth, ax=middle, shrink=0.8, label="frame sides")
    _displacement(right, model, component, amount)
    return figure


def _landmarks(axes: Axes, model: MorphableModel) -> None:
    """Mean texture in its box, mesh points, oval, alignment points and the outline of the aligned crop."""
    x0, y0, x1, y1 = model.face_box.tolist()
    masked = model.texture_mean * model.face_mask + (1 - model.face_mask)
    axes.imshow(to_pixels(masked), extent=(x0, x1, y1, y0))
    points = model.landmarks.cpu().numpy()
    axes.scatter(points[:, 0], points[:, 1], s=1, color=COLOURS[5], linewidths=0)
    oval = points[[*FACE_OVAL, FACE_OVAL[0]]]
    axes.plot(oval[:, 0], oval[:, 1], color=COLOURS[0], linewidth=1)
    five = model.five.cpu().numpy()
    axes.scatter(five[:, 0], five[:, 1], s=22, color=COLOURS[3], zorder=3)
    low = 0.5 - CROP_FRACTION / 2
    axes.add_patch(Rectangle((low, low), CROP_FRACTION, CROP_FRACTION, fill=False, linestyle="--"))
    axes.set_title("mean face in its frame")


def _displacement(axes: Axes, model: MorphableModel, component: int, amount: float) -> None:
    """Arrows from the mean shape to the mean plus `amount` standard deviations of a component."""
    field = (amount * model.shape_basis[component]).cpu().numpy()[:, ::3, ::3]
    line = np.linspace(0, 1, GRID)[::3]
    height = axes.quiver(
        line, line, field[0], field[1], field[2], cmap="RdBu_r", angles="xy", scale_units="xy", scale=0.25, width=0.006
    )
    limit = float(np.abs(field[2]).max())
    height.set_clim(-limit, limit)
    axes.set_title(f"$+{amount:g}\\,\\sigma$ of shape {component + 1}, fourfold")


def regions_figure(model: MorphableModel) -> Figure:
    """Weights of the face's regions over the mean texture, one panel a region."""
    figure = Figure(figsize=(7.2, 2.2))
    picture = to_pixels(model.texture_mean)
    panels = figure.subplots(1, len(REGIONS))
    for axes, name, weight in zip(panels, REGIONS, model.regions.cpu().numpy(), strict=True):
        axes.grid(False)
        axes.set(xticks=[], yticks=[])
        axes.imshow(picture)
        shown = axes.imshow(weight * model.face_mask.cpu().numpy(), cmap="viridis", alpha=0.65, vmin=0, vmax=1)
        axes.set_title(name)
    figure.colorbar(shown, ax=panels, shrink=0.8, label="weight")
    return figure


def similarity_histogram(groups: dict[str, Tensor]) -> Figure:
    """Outlines of the distributions of cosines, one for each named group, over a common axis."""
    if not groups:
        raise InputError("There are no cosines to draw.")
    figure = Figure(figsize=(6.4, 2.8))
    axes = figure.subplots()
    edges = np.linspace(-0.4, 1.0, 36).tolist()
    for (name, values), colour in zip(groups.items(), COLOURS, strict=False):
        weights = np.full(len(values), 1 / len(values))
        axes.hist(values.numpy(), edges, weights=weights, histtype="stepfilled", alpha=0.3, color=colour)
        axes.hist(values.numpy(), edges, weights=weights, histtype="step", color=colour, label=name)
    axes.set(xlabel="judge's cosine", ylabel="share of pairs")
    axes.legend()
    return figure
