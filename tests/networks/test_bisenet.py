"""Face parsing: exact sizes, heads, and the mask made of labels. (Values: tests of its converter.)"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mfs_lib.errors import InputError
from mfs_lib.networks.bisenet import BACKGROUND_LABELS, LABELS, BiSeNet, ParsingLogits, face_mask
from mfs_lib.networks.common import count_macs, count_parameters


class AllHeads(nn.Module):
    """What the original always computes."""

    def __init__(self, network: BiSeNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> ParsingLogits:
        return self.network.heads(image)


@pytest.fixture(scope="module")
def network() -> BiSeNet:
    torch.manual_seed(0)
    return BiSeNet().eval()


def test_counts() -> None:
    with torch.device("meta"):
        network = BiSeNet().eval()
        assert count_parameters(network) == 13_300_416
        assert len(network.state_dict()) == 191
        macs = count_macs(AllHeads(network), torch.empty(1, 3, 512, 512))
        assert count_macs(network, torch.empty(1, 3, 512, 512)) == 13_387_300_864
    assert macs == 13_771_014_144
    assert round(macs / 1e9, 2) == 13.77


def test_names_are_the_originals() -> None:
    with torch.device("meta"):
        state = BiSeNet().state_dict()
    assert {key.split(".")[0] for key in state} == {"cp", "ffm", "conv_out", "conv_out16", "conv_out32"}
    assert {key.split(".")[1] for key in state if key.startswith("cp.")} == {
        "resnet", "arm16", "arm32", "conv_head16", "conv_head32", "conv_avg",
    }  # fmt: skip
    assert state["cp.arm32.conv.conv.weight"].shape == (128, 512, 3, 3)
    assert state["cp.arm16.bn_atten.running_mean"].shape == (128,)
    assert state["ffm.convblk.conv.weight"].shape == (256, 256, 1, 1)
    assert state["ffm.conv1.weight"].shape == (64, 256, 1, 1)
    assert state["conv_out16.conv_out.weight"].shape == (19, 64, 1, 1)


def test_main_head_is_the_answer(network: BiSeNet) -> None:
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        logits, heads = network(image), network.heads(image)
        other = network(1.0 - image)
    assert logits.shape == (2, 19, 64, 96)
    assert [head.shape for head in heads] == [logits.shape] * 3
    torch.testing.assert_close(heads.main, logits)
    assert not torch.allclose(heads.auxiliary16, logits)
    assert not torch.allclose(heads.auxiliary16, heads.auxiliary32)
    assert (other - logits).abs().max() > 1e-3


def test_labels() -> None:
    assert len(LABELS) == 19
    assert (LABELS[0], LABELS[1], LABELS[6], LABELS[10], LABELS[17]) == (
        "background", "skin", "eye glasses", "nose", "hair",
    )  # fmt: skip
    assert frozenset({0, 7, 8, 9, 14, 15, 16, 17, 18}) == BACKGROUND_LABELS
    assert [LABELS[label] for label in sorted(BACKGROUND_LABELS)] == [
        "background", "left ear", "right ear", "earring", "neck", "necklace", "cloth", "hair", "hat",
    ]  # fmt: skip
    # The rest is the face as SimSwap's paste-back has it, with the inside of the mouth.
    assert set(range(19)) - BACKGROUND_LABELS == {1, 2, 3, 4, 5, 6, 10, 12, 13} | {11}


def test_face_mask_follows_the_likeliest_label() -> None:
    labels = torch.arange(19).view(1, 1, 19)
    logits = torch.nn.functional.one_hot(labels, 19).permute(0, 3, 1, 2).double()
    expected = [0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    mask = face_mask(logits)
    assert mask.shape == (1, 1, 1, 19)
    assert mask.dtype == torch.float64
    assert mask.flatten().tolist() == expected
    assert face_mask(logits, background=frozenset({0})).flatten().tolist() == [0] + [1] * 18
    assert face_mask(logits, background=frozenset()).all()


def test_refusals(network: BiSeNet) -> None:
    for shape in ((1, 3, 500, 512), (1, 4, 512, 512), (3, 512, 512), (0, 3, 512, 512)):
        with pytest.raises(InputError, match="multiples of 32"):
            network(torch.zeros(shape))
    with pytest.raises(InputError, match="parsing scores"):
        face_mask(torch.zeros(1, 18, 4, 4))
    with pytest.raises(InputError, match="0 to 18"):
        face_mask(torch.zeros(1, 19, 4, 4), background=frozenset({19}))
