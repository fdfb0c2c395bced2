"""Hopenet: exact sizes, angles from bins, the order of the angles, refusals."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mfs_lib.errors import InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.hopenet import Hopenet, expected_degrees


@pytest.fixture(scope="module")
def narrow() -> Hopenet:
    torch.manual_seed(0)
    return Hopenet(width=4).eval()


def test_counts() -> None:
    with torch.device("meta"):
        network = Hopenet().eval()
        assert count_parameters(network) == 23_919_890
        state = network.state_dict()
        assert len(state) == 326
        macs = count_macs(network, torch.empty(1, 3, 224, 224))
    assert macs == 4_087_541_760
    assert round(macs / 1e9, 3) == 4.088
    assert state["fc_yaw.weight"].shape == state["fc_pitch.weight"].shape == state["fc_roll.weight"].shape == (66, 2048)
    assert state["fc_finetune.weight"].shape == (3, 2051)
    assert state["layer1.0.conv1.weight"].shape == (64, 64, 1, 1)


def test_a_certain_bin_gives_its_angle() -> None:
    certain = F.one_hot(torch.arange(66), 66) * 1000.0
    torch.testing.assert_close(expected_degrees(certain), torch.arange(66) * 3.0 - 99.0)


def test_uncertain_bins_give_their_mean() -> None:
    assert expected_degrees(torch.zeros(66)).item() == pytest.approx(-1.5, abs=1e-4)
    two = torch.full((66,), -1000.0)
    two[[30, 40]] = 0.0
    assert expected_degrees(two).item() == pytest.approx(35 * 3 - 99, abs=1e-4)


def test_angles_come_in_the_order_yaw_pitch_roll(narrow: Hopenet) -> None:
    face = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        logits = narrow.logits(face)
        assert logits.shape == (2, 3, 66)
        torch.testing.assert_close(narrow(face), expected_degrees(logits))
        for place, name in enumerate(("fc_yaw", "fc_pitch", "fc_roll")):
            bias = getattr(narrow, name).bias
            before = bias.clone()
            bias[50] += 1000.0
            changed = narrow(face) != expected_degrees(logits)
            assert narrow(face)[:, place].tolist() == pytest.approx([51.0, 51.0])
            bias.copy_(before)
            assert changed.nonzero()[:, 1].unique().tolist() == [place]


def test_angles_depend_on_the_face_and_not_on_the_leftover_layer(narrow: Hopenet) -> None:
    faces = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        angles = narrow(faces)
        assert angles.shape == (2, 3)
        assert ((angles > -99) & (angles < 96)).all()
        assert not torch.allclose(angles[0], angles[1], atol=1e-6)
        narrow.fc_finetune.weight.add_(1.0)
        assert torch.equal(narrow(faces), angles)


@pytest.mark.parametrize("shape", [(1, 3, 256, 256), (1, 1, 224, 224), (3, 224, 224)])
def test_other_shapes_are_refused(narrow: Hopenet, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="224"):
        narrow(torch.zeros(shape))
