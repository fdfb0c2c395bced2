"""Figure 2 states what the networks are: its numbers are those of the reference, and change with the network."""

from __future__ import annotations

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from mfs_lib.errors import InputError
from mfs_lib.networks.mobilefaceswap import MobileFaceSwapConfig
from mfs_lib.networks.quality import QualityScorer
from mfs_lib.networks.sface import SFace
from mfs_lib.networks.simswap import SimSwapGenerator
from mfs_lib.reproduction.framework_drawing import PICTURES, framework
from mfs_lib.reproduction.paper_trace import Framework, Surroundings, trace_framework
from mfs_lib.training.distillation_losses import DistillationWeights

COMPACT = MobileFaceSwapConfig(
    channels=(4, 6, 8, 10, 12), mask_channels=(8, 6, 4, 4, 2), embedding_dim=128, feature_channels=1024,
    predictor_width=8, kernel_base=True, code_dim=16, first_skip=True,
)  # fmt: skip


def _small_teacher() -> nn.Module:
    return SimSwapGenerator(width=4, blocks=1, embedding_dim=128)


AROUND = Surroundings(identity=SFace, teacher=_small_teacher, scorer=lambda: QualityScorer(width=8))


@pytest.fixture(scope="module")
def release() -> Framework:
    return trace_framework(size=224)


@pytest.fixture(scope="module")
def compact() -> Framework:
    return trace_framework(COMPACT, size=64, around=AROUND)


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_sizes_are_the_references(release: Framework) -> None:
    parameters = {name: size.parameters for name, size in release.sizes.items()}
    assert parameters == {
        "identity": 52_193_215, "injection": 20_614_912, "mobile": 412_253, "mask": 84_209, "teacher": 55_051_779,
        "scorer": 11_177_025,
    }  # fmt: skip
    macs = {name: size.macs for name, size in release.sizes.items()}
    assert macs["identity"] == 7_481_229_568
    assert macs["injection"] == 219_971_856 + 391_264  # the predictor and the styles; the demodulations
    assert (macs["mobile"], macs["mask"]) == (264_276_992, 41_445_376)
    assert macs["scorer"] == 1_813_561_856


def test_the_injection_modules_are_the_references(release: Framework) -> None:
    assert [module.stage for module in release.modules] == ["E4", "E3", "E2", "E1", "E0", "D0", "D1", "D2", "D3"]
    assert [module.kernel for module in release.modules] == [
        (256, 4, 4), (128, 4, 4), (64, 4, 4), (32, 4, 4), (3, 4, 4), (512, 3, 3), (512, 3, 3), (256, 3, 3), (128, 3, 3),
    ]  # fmt: skip
    assert [module.weight for module in release.modules] == [
        (512, 256), (256, 128), (128, 64), (64, 32), (32, 3), (256, 512), (128, 512), (64, 256), (32, 128),
    ]  # fmt: skip
    assert all(module.scales == module.weight[1] == module.kernel[0] for module in release.modules)
    assert release.trunk == ((512, 4, 4), (512, 3, 3))
    assert (release.embedding, release.feature_map, release.style) == ((512,), (512, 7, 7), (512,))


def test_a_compact_network_is_traced_with_its_own_shapes(compact: Framework) -> None:
    assert compact.trunk == ((8, 4, 4), (8, 3, 3))
    assert compact.embedding == (128,) and compact.style == (144,)  # embedding and code together
    assert all(module.hidden[0] <= 8 for module in compact.modules)
    assert compact.modules[0].kernel == (10, 4, 4)


def test_what_the_ablation_lacks_cant_be_drawn() -> None:
    with pytest.raises(InputError, match="full method"):
        trace_framework(MobileFaceSwapConfig(pointwise="adain"), size=64)


def test_the_drawing_states_what_was_traced(release: Framework) -> None:
    shown = _texts(framework(release))
    assert "identity network $F_{id}$\n52.2 M parameters\n7.48 G MAC" in shown
    assert "E4: kernels\n256×4²" in shown and "D0: 512 scales\nof 256×512" in shown
    assert "D1: 512→128, 28²\n↑2, 3×3, 1×1" in shown
    assert "2→1\n224²" in shown
    assert shown.count("join") == 3
    assert r"$\alpha\,(30\,L_{rec} + 5\,L_{per})$" in shown


def test_the_drawing_changes_with_the_network_and_the_weights(compact: Framework) -> None:
    shown = _texts(framework(compact, weights=DistillationWeights(rec=7)))
    assert "E4: kernels\n10×4²" in shown
    assert shown.count("join") == 4
    assert r"$\alpha\,(7\,L_{rec} + 5\,L_{per})$" in shown


def test_pictures_take_their_places_or_are_refused(compact: Framework) -> None:
    pictures = {name: torch.rand(1 if name == "mask" else 3, 32, 32) for name in PICTURES}
    assert len(framework(compact, pictures=pictures).axes[0].images) == len(PICTURES)
    assert not framework(compact).axes[0].images
    with pytest.raises(InputError, match="pictures"):
        framework(compact, pictures={"source": pictures["source"]})
