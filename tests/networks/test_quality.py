"""The quality scorer: ResNet-18's size, its range, and that it reads the picture."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mfs_lib.errors import InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.quality import QualityScorer
from mfs_lib.networks.resnet import normalise_imagenet
from tests.networks.conftest import randomise_norms


def test_size() -> None:
    with torch.device("meta"):
        scorer = QualityScorer().eval()
        assert count_parameters(scorer) == 11_177_025 == 11_176_512 + 512 + 1
        assert len(scorer.state_dict()) == 122
        assert count_macs(scorer, torch.empty(1, 3, 224, 224)) == 1_813_561_856
        assert count_macs(scorer, torch.empty(1, 3, 64, 64)) == 148_046_336


def test_a_score_is_the_trunk_averaged_and_squashed() -> None:
    torch.manual_seed(0)
    scorer = QualityScorer(width=4)
    randomise_norms(scorer)
    scorer.eval()
    picture = torch.rand(3, 3, 64, 96)
    with torch.no_grad():
        score = scorer(picture)
        features = scorer.trunk(normalise_imagenet(picture)).flatten(2).mean(2)
        expected = torch.sigmoid(F.linear(features, scorer.linear.weight, scorer.linear.bias))[:, 0]
    assert score.shape == (3,) and bool(((score > 0) & (score < 1)).all())
    torch.testing.assert_close(score, expected)
    assert score.std() > 0  # pictures differ
    again = scorer(picture.flip(0)).detach()
    torch.testing.assert_close(again, score.flip(0))  # and nobody else's picture matters


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 16, 64)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="32"):
        QualityScorer(width=2)(torch.rand(shape))
