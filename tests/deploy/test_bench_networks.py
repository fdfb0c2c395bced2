"""What the benchmark times is what it says."""

from __future__ import annotations

import torch

from mfs_lib.deploy.bench_networks import our_networks, release_like, student_networks
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.common import count_parameters
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.shipped import load_student


def test_layouts_of_the_release_agree_with_a_students_weights() -> None:
    face, target = MorphableWorld.load().sample(2, torch.Generator().manual_seed(3), size=128).image.split(1)
    with torch.no_grad():
        trained = load_student().network.specialise(load_sface()(arcface_view(face)))
    static = release_like(trained)
    assert count_parameters(static, weights_only=True) == 494_979
    torch.testing.assert_close(static.fusion.state_dict(), trained.fusion.state_dict())
    found = {c.name: c for c in our_networks(static, target, 1)}
    assert list(found) == ["released", "folded", "packed", "packed-half-mask", "weights-as-inputs"]
    for name, candidate in found.items():
        assert candidate.max_difference is not None
        assert (candidate.max_difference > 1e-3) == (name == "packed-half-mask")
    assert {c.mac for c in found.values()} == {305_722_368 * 128 * 128 // (224 * 224)}
    students = list(student_networks(trained, target, 1))
    assert max(c.max_difference or 1.0 for c in students) < 1e-3
