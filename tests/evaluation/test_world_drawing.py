"""What the chapter on the face world draws is what it says: one thing changes at a time."""

from __future__ import annotations

import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.evaluation import demo, likeness, world_drawing
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.model import REGIONS


@pytest.fixture(scope="module")
def world() -> MorphableWorld:
    return MorphableWorld.load()


def test_components_leave_the_mean_in_the_middle(world: MorphableWorld) -> None:
    shape, texture, expression = world_drawing.component_rows(world, count=1, size=64)
    assert torch.equal(shape[1], texture[1])
    assert torch.equal(shape[1], expression[0])
    assert (shape[0] - shape[2]).abs().max() > 0.02


def test_exchanging_every_region_gives_the_second_person(world: MorphableWorld) -> None:
    people = world.sample_identities(2, torch.Generator().manual_seed(0))
    (row,) = world_drawing.region_exchange(world, people[[0]], people[[1]], size=64)
    assert len(row) == len(REGIONS) + 2
    eyes, nose = row[2] - row[0], row[3] - row[0]
    centre = torch.arange(64, dtype=torch.float32)[:, None]
    heights = [(d.abs().mean((0, 2)) @ centre / d.abs().sum() * 64).item() for d in (eyes, nose)]
    assert heights[0] < heights[1]  # eyes lie above the nose


def test_steps_end_at_the_sample_itself(world: MorphableWorld) -> None:
    sample = world.sample(1, torch.Generator().manual_seed(1), size=64)
    names, steps = world_drawing.painting_steps(world, sample.identity, sample.attributes, size=64)
    assert len(names) == len(steps)
    assert torch.equal(steps[-1:], sample.image)


def test_turning_changes_the_yaw_alone(world: MorphableWorld) -> None:
    how = world.sample_attributes(1, torch.Generator().manual_seed(2))
    turned = world_drawing.turned(how, [-10.0, 20.0])
    assert turned.angles.tolist() == [[-10, 0, 0], [20, 0, 0]]
    assert torch.equal(turned.surround[1], how.surround[0])


def test_figures_are_drawn(world: MorphableWorld) -> None:
    assert len(world_drawing.frame_figure(world).axes) == 4
    assert len(world_drawing.regions_figure(world.model).axes) == len(REGIONS) + 1
    with pytest.raises(InputError):
        world_drawing.similarity_histogram({})


def test_training_people_have_one_code_in_all_regions(world: MorphableWorld) -> None:
    people = world_drawing.training_people(world.model)
    assert len(people) == len(world.model.group)
    assert torch.equal(people.texture[:, 0], people.texture[:, -1])


class _Mean(torch.nn.Module):
    """A judge that only sees mean colours."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(x.mean((2, 3)) - 0.5, dim=1)


def test_likeness_compares_as_many_as_asked(world: MorphableWorld) -> None:
    found = likeness.likeness(world, _Mean(), 3, torch.Generator().manual_seed(3), size=32)
    assert {name: len(values) for name, values in found.items()} == {
        likeness.SAME: 3, likeness.NEAREST: 3, likeness.OTHER: 3,
    }  # fmt: skip
    assert (found[likeness.NEAREST] <= 1.0001).all()
    with pytest.raises(InputError):
        likeness.likeness(world, _Mean(), 1, torch.Generator(), size=32)


def test_a_picture_in_html_is_described() -> None:
    text = demo.picture_html([torch.zeros(3, 8, 8)] * 2, 'a "quoted" person')
    assert text.startswith('<img src="data:image/jpeg;base64,')
    assert 'alt="a &quot;quoted&quot; person"' in text
