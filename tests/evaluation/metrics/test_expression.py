"""Expression error is blind to rigid motion and scale, and sees mouths and eyes that open."""

from __future__ import annotations

import numpy as np
import pytest

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.expression import (
    BROWS,
    EXPRESSIVE,
    LIDS,
    LIPS,
    RIGID,
    expression_metrics,
    normalised,
    openings,
)
from mfs_lib.evaluation.metrics.meshes import Meshes
from mfs_lib.weights.models import default_mesh

CANONICAL = default_mesh().canonical


def face(rows: int = 1) -> Meshes:
    """The canonical mesh in a crop of 128 pixels, y down."""
    model = CANONICAL.numpy().astype(np.float64) * [6, -6, -6] + [64, 64, 0]
    return np.repeat(model[None], rows, axis=0)


def opened(meshes: Meshes, pixels: float) -> Meshes:
    """Lower lip (inner and outer middle) and chin dropped."""
    out = meshes.copy()
    out[:, [14, 17, 87, 317, 152]] += [0, pixels, 0]
    return out


def moved(meshes: Meshes) -> Meshes:
    """Turned about a slanted axis by 40 degrees, made larger, shifted."""
    axis = np.array([0.48, 0.6, 0.64])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    angle = np.radians(40)
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return 1.7 * (meshes - 50) @ rotation.T + [3, -20, 8]


def values(result: Meshes, target: Meshes) -> dict[str, float]:
    return {m.name: m.value for m in expression_metrics(result, target, CANONICAL)}


def test_points_are_ninety_two_different_ones() -> None:
    assert (len(LIPS), len(LIDS), len(BROWS), len(set(EXPRESSIVE))) == (40, 32, 20, 92)


def test_identical_and_rigidly_moved_meshes_are_at_zero() -> None:
    noisy = opened(face(3), 4) + np.random.default_rng(0).normal(0, 1, (3, 468, 3))
    assert set(values(noisy, noisy).values()) == {0.0}
    assert list(values(moved(noisy), noisy).values()) == pytest.approx([0] * 4, abs=1e-9)


def test_normalising_gives_the_canonical_mesh_back() -> None:
    model = CANONICAL.numpy() * [1, -1, -1]
    unit = np.linalg.norm(model[33] - model[263])
    found = normalised(moved(face()), CANONICAL)[0]
    points = list(RIGID)
    np.testing.assert_allclose(found - found[points].mean(0), (model - model[points].mean(0)) / unit, atol=1e-6)


def test_an_opening_mouth_is_seen_by_its_size() -> None:
    target, unit = face(), 6 * np.linalg.norm(CANONICAL[33] - CANONICAL[263])
    small, large = values(opened(target, 3), target), values(moved(opened(target, 6)), target)
    assert 0 < small["expression_mesh"] < large["expression_mesh"]
    before, after = openings(target)["mouth_open"], openings(opened(target, 6))["mouth_open"]
    assert large["expression_mouth_open"] == pytest.approx(float(after[0] - before[0]), abs=1e-9)
    assert openings(opened(target, 6))["mouth_open"][0] <= before[0] + 600 / unit
    assert large["expression_eye_open"] == pytest.approx(0, abs=1e-9)
    # 4 of the 92 points moved by 6 pixels, not counting the chin
    assert large["expression_mesh"] == pytest.approx(100 * 6 * 4 / 92 / unit, rel=1e-6)


def test_closing_eyes_and_a_wider_mouth_are_seen() -> None:
    target, shut, smile = face(), face(), face()
    shut[:, [159, 386]] += [0, 2, 0]
    smile[:, 61] -= [3, 0, 0]
    assert values(shut, target)["expression_eye_open"] > 1
    assert values(shut, target)["expression_mouth_open"] == 0
    assert values(smile, target)["expression_mouth_width"] > 3


def test_centring_takes_off_constant_shape_and_leaves_motion() -> None:
    rng = np.random.default_rng(1)
    shape = np.zeros((468, 3))
    shape[list(EXPRESSIVE)] = rng.normal(0, 2, (92, 3))  # another person's mouth, eyes and brows
    motion = np.stack([opened(face(), step)[0] for step in (0, 1, 2, 3, 4)])
    people = ["a"] * 5

    def centred(result: Meshes) -> dict[str, float]:
        return {m.name: m.value for m in expression_metrics(result, motion, CANONICAL, people=people)}

    # corners of the eyes are among the points of the rigid fit: leave those where they are
    shape[list(RIGID)] = 0
    follows, rests = centred(motion + shape), centred(face(5) + shape)
    assert follows["expression_mesh"] > 1
    assert follows["expression_mesh_centred"] == pytest.approx(0, abs=1e-9)
    assert rests["expression_mesh_centred"] > 0.05


def test_bad_meshes_and_groups_are_refused() -> None:
    with pytest.raises(InputError, match="468"):
        expression_metrics(face(2), face(1), CANONICAL)
    with pytest.raises(InputError, match="coincide"):
        openings(np.zeros((1, 468, 3)))
    with pytest.raises(InputError, match="five"):
        expression_metrics(face(2), face(2), CANONICAL, people=["a", "b"])
