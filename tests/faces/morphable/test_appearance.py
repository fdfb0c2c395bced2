"""Light, colour and camera flaws: neutral codes change nothing, stronger ones change more."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mfs_lib.faces.morphable import MorphableWorld, appearance


@pytest.fixture(scope="module")
def pictures(world: MorphableWorld) -> Tensor:
    """Four clean-ish pictures, (4, 3, 64, 64)."""
    return world.sample(4, torch.Generator().manual_seed(8), size=64).image.clamp(0.01, 0.99)


def _detail(image: Tensor) -> float:
    return float((image[..., 1:] - image[..., :-1]).abs().mean())


def test_jpeg_loses_more_the_lower_its_quality(pictures: Tensor) -> None:
    losses = [
        float((appearance.jpeg(pictures, torch.full((4,), quality)) - pictures).abs().mean())
        for quality in (100.0, 90.0, 70.0, 50.0, 30.0, 10.0)
    ]
    assert losses == sorted(losses)
    assert losses[0] < 1 / 255 < 4 / 255 < losses[-1]


def test_jpeg_keeps_a_flat_picture(pictures: Tensor) -> None:
    flat = torch.full((1, 3, 16, 16), 128 / 255)
    torch.testing.assert_close(appearance.jpeg(flat, torch.tensor([50.0])), flat, atol=1e-3, rtol=0)


def test_neutral_grading_is_the_identity(pictures: Tensor) -> None:
    torch.testing.assert_close(appearance.grade(pictures, torch.zeros(4, 6)), pictures, atol=1e-6, rtol=0)


def test_grading_does_what_its_code_says(pictures: Tensor) -> None:
    def graded(column: int, value: float) -> Tensor:
        code = torch.zeros(4, 6)
        code[:, column] = value
        return appearance.grade(pictures, code)

    red = graded(0, 0.2) - pictures
    assert red[:, 0].mean() > 0.02 and red[:, 1:].abs().max() < 1e-6
    assert graded(3, 0.3).mean() < pictures.mean() < graded(3, -0.3).mean()  # gamma above one darkens
    assert graded(4, 0.3).std() > pictures.std()
    grey = graded(5, -20.0)
    assert (grey.amax(1) - grey.amin(1)).max() < 1e-5


def test_flaws_only_where_they_are_asked_for(pictures: Tensor) -> None:
    code = torch.tensor([[0.0, 10.0, 0.0], [3.0, 10.0, 0.0], [0.0, 10.0, 1.0], [0.0, 10.0, 0.0]])
    out = appearance.degrade(pictures, code)
    assert torch.equal(out[[0, 3]], pictures[[0, 3]])
    assert _detail(out[1]) < 0.75 * _detail(pictures[1])  # blurred by 1.9 px
    assert out[1].mean() == pytest.approx(float(pictures[1].mean()), abs=0.01)
    assert torch.equal(out[2:3], appearance.jpeg(pictures[2:3], torch.tensor([10.0])))


def test_light_brightens_the_side_that_it_comes_from() -> None:
    left, front, right = (torch.tensor(n) for n in ([-0.8, 0.0, 0.6], [0.0, 0.0, 1.0], [0.8, 0.0, 0.6]))
    normal = torch.stack([left, front, right], 1).view(1, 3, 1, 3)
    off = appearance.shading(normal, torch.tensor([[0.0, 0, 0, 1, 1, 1]]))
    torch.testing.assert_close(off, torch.ones_like(off))
    lit = appearance.shading(normal, torch.tensor([[0.3, 0.0, 0.3, 1.0, 1.0, 0.5]]))
    assert lit[0, 0, 0, 2] > lit[0, 0, 0, 1] > lit[0, 0, 0, 0] > 0
    assert (lit[0, 2] < lit[0, 0]).all()  # the light's own colour: little blue


def test_the_membrane_carries_the_rings_values_inwards() -> None:
    angle = torch.linspace(0, 6.2, 40)
    ring = torch.stack([0.5 + 0.3 * angle.cos(), 0.5 + 0.3 * angle.sin()], 1)
    weights = appearance.membrane_weights(ring, torch.tensor([0.2, 0.2, 0.8, 0.8]))
    assert weights.shape == (appearance.MEMBRANE**2, 40)
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))
    inside = (weights @ ring[:, :1]).view(appearance.MEMBRANE, appearance.MEMBRANE)
    across = inside[appearance.MEMBRANE // 2]  # the ring's x, carried inwards, grows from left to right
    assert across[0] < 0.3 and across[-1] > 0.7 and (across.diff() > 0).all()
