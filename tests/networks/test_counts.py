"""The exact sizes of the release, counted on the meta device (no arithmetic is done)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.fusion import FusionMask
from mfs_lib.networks.identity import IdentityFeatures, IdentityNetwork
from mfs_lib.networks.injection import IdentityInjectionNetwork
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig, StaticSwapper
from mfs_lib.networks.predictor import WeightPredictor
from mfs_lib.networks.simswap import SimSwapGenerator

POINTWISE_VALUES = 391_264  # learned 1x1 weights; each is used once by the matrix product of the demodulation


@pytest.fixture(autouse=True)
def meta() -> Iterator[None]:
    with torch.device("meta"):
        yield


def features(count: int = 1) -> IdentityFeatures:
    return IdentityFeatures(torch.empty(count, 512), torch.empty(count, 512, 7, 7))


class Encoder(nn.Module):
    """Only the encoder stages of a static network."""

    def __init__(self, static: StaticSwapper) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*static.idn.encoder)

    def forward(self, target: Tensor) -> Tensor:
        return self.encoder(target)


def test_identity_network() -> None:
    network = IdentityNetwork().eval()
    assert count_parameters(network) == 52_193_215
    assert count_macs(network, torch.empty(1, 3, 112, 112)) == 7_481_229_568


def test_injection_parameters() -> None:
    iin = IdentityInjectionNetwork()
    assert count_parameters(iin) == 20_614_912
    assert [count_parameters(m) for m in iin.encoder_modulation] == [1_635, 18_464, 41_024, 98_432, 262_400]
    assert [count_parameters(m) for m in iin.decoder_modulation] == [393_728, 328_192, 147_712, 69_760]
    predictor = iin.predictor
    assert count_parameters(predictor) == 19_253_565
    assert count_parameters(predictor.first) == 4_194_816
    assert count_parameters(predictor.first_decoder) == 1_049_088
    assert [count_parameters(b) for b in predictor.encoder] == [1_770_496, 442_880, 110_848, 27_776, 957]
    assert [count_parameters(b) for b in predictor.decoder] == [4_720_640, 4_720_640, 1_770_496, 442_880]


def test_injection_macs() -> None:
    assert count_macs(WeightPredictor().eval(), features()) == 219_003_664
    iin = IdentityInjectionNetwork().eval()
    assert count_macs(iin, features()) == 219_971_856 + POINTWISE_VALUES


def test_compact_injection_is_small() -> None:
    config = {"predictor_width": 128, "kernel_base": True}
    assert count_parameters(IdentityInjectionNetwork(**config)) == 3_713_384  # type: ignore[arg-type]
    shipped = MobileFaceSwapConfig(
        embedding_dim=128, feature_channels=1024, predictor_input="embedding", predictor_width=128, kernel_base=True,
        code_dim=256,
    )  # fmt: skip
    assert 4 * count_parameters(MobileFaceSwap(shipped)) < 24_000_000  # bytes in float32


def test_per_frame_parameters() -> None:
    declared = StaticSwapper(declare_biases=True)
    assert count_parameters(declared.idn.encoder) == 183_379
    assert count_parameters(declared.idn.decoder) == 231_648
    assert count_parameters(declared.idn.final) == 589
    assert count_parameters(declared.idn) == 415_616
    assert count_parameters(declared.fusion) == 84_209
    assert count_parameters(declared) == 499_825
    lean = StaticSwapper()
    assert count_parameters(lean.idn) == 412_253
    for static in (declared, lean):
        assert count_parameters(static.idn.encoder, weights_only=True) == 181_904
        assert count_parameters(static.idn.decoder, weights_only=True) == 229_760
        assert count_parameters(static.idn.final, weights_only=True) == 553
        assert count_parameters(static.idn, weights_only=True) == 412_217
        assert count_parameters(static.fusion, weights_only=True) == 82_762
        assert count_parameters(static, weights_only=True) == 494_979


@pytest.mark.parametrize(
    ("size", "encoder", "final", "idn", "mask", "whole"),
    [
        (224, 30_507_008, 27_747_328, 264_276_992, 41_445_376, 305_722_368),
        (256, 39_845_888, 36_241_408, 345_178_112, 54_132_736, 399_310_848),
    ],
)
def test_per_frame_macs(size: int, encoder: int, final: int, idn: int, mask: int, whole: int) -> None:
    static = StaticSwapper().eval()
    target = torch.empty(1, 3, size, size)
    assert count_macs(Encoder(static), target) == encoder
    assert count_macs(static.idn.final, torch.empty(1, 32, size // 2, size // 2)) == final
    assert count_macs(static.idn, target) == idn
    assert count_macs(FusionMask().eval(), torch.empty(1, 512, size // 32, size // 32)) == mask
    assert count_macs(static, target) == whole


def test_batched_path_costs_the_same_per_frame() -> None:
    model = MobileFaceSwap().eval()
    macs = count_macs(model, torch.empty(3, 3, 224, 224), features(3))
    assert macs == 3 * (305_722_368 + 219_971_856 + POINTWISE_VALUES)


def test_cheap_mask_head_keeps_the_parameters_and_comes_near_the_papers_operations() -> None:
    cheap = FusionMask(upsampling="once").eval()
    assert count_parameters(cheap) == 84_209
    assert count_macs(cheap, torch.empty(1, 512, 7, 7)) == 4_055_338
    whole = StaticSwapper(mask_upsampling="once").eval()
    assert count_macs(whole, torch.empty(1, 3, 224, 224)) == 264_276_992 + 4_055_338


ABLATIONS = [
    # options; injection: parameters, MAC; one frame: parameters, kernels, MAC at 224, MAC at 256
    ({}, (20_614_912, 220_363_120), (496_462, 494_979, 305_722_368, 399_310_848)),
    ({"depthwise": "learned"}, (1_381_747, 1_359_456), (496_462, 494_979, 305_722_368, 399_310_848)),
    ({"pointwise": "adain"}, (21_155_101, 220_510_992), (499_406, 494_979, 305_722_368, 399_310_848)),
    (
        {"depthwise": "learned", "pointwise": "adain"},
        (1_921_936, 1_507_328), (499_406, 494_979, 305_722_368, 399_310_848),
    ),
    ({"pointwise": "plain"}, (19_644_829, 219_003_664), (496_462, 494_979, 305_722_368, 399_310_848)),
    ({"architecture": "autoencoder"}, (15_732_288, 178_618_736), (449_422, 447_939, 216_007_680, 282_132_480)),
    ({"fusion_mask": False}, (20_614_912, 220_363_120), (412_253, 412_217, 264_276_992, 345_178_112)),
]  # fmt: skip


@pytest.mark.parametrize(("options", "injection", "frame"), ABLATIONS)
def test_variants_of_the_ablation(
    options: dict[str, object], injection: tuple[int, int], frame: tuple[int, int, int, int]
) -> None:
    model = MobileFaceSwap(MobileFaceSwapConfig(**options)).eval()  # type: ignore[arg-type]
    assert (count_parameters(model.iin), count_macs(model.iin, features())) == injection
    static = StaticSwapper(**{k: v for k, v in options.items() if k != "depthwise"}).eval()  # type: ignore[arg-type]
    small, large = (count_macs(static, torch.empty(1, 3, size, size)) for size in (224, 256))
    assert (count_parameters(static), count_parameters(static, weights_only=True), small, large) == frame
    # The batched path does the same work, for each frame and once for each person.
    assert count_macs(model, torch.empty(2, 3, 224, 224), features(2)) == 2 * (injection[1] + frame[2])
    assert count_parameters(model) == injection[0] + count_parameters(model.idn) + count_parameters(model.fusion)


def test_parts_of_the_ablations_injections() -> None:
    def parts(**options: str) -> tuple[int, int]:
        iin = IdentityInjectionNetwork(**options)  # type: ignore[arg-type]
        modulations = count_parameters(iin.encoder_modulation) + count_parameters(iin.decoder_modulation)
        return modulations, count_parameters(iin.predictor)

    assert parts() == (1_361_347, 19_253_565)
    assert parts(depthwise="learned") == (1_361_347, 7_728 + 12_672)
    assert parts(pointwise="adain") == (1_901_536, 19_253_565)
    assert parts(pointwise="plain") == (POINTWISE_VALUES, 19_253_565)
    assert parts(architecture="autoencoder") == (1_088_515, 14_643_773)
    adain = IdentityInjectionNetwork(pointwise="adain").encoder_modulation[4]
    assert (adain.weight.numel(), count_parameters(adain.style)) == (131_072, 525_312)


def test_what_an_autoencoder_saves() -> None:
    unet, autoencoder = StaticSwapper().idn.eval(), StaticSwapper(architecture="autoencoder").idn.eval()
    assert [count_parameters(n.decoder) for n in (unet, autoencoder)] == [229_760, 182_720]
    assert [count_parameters(n, weights_only=True) for n in (unet, autoencoder)] == [412_217, 365_177]
    for size, unets, autoencoders in ((224, 264_276_992, 174_562_304), (256, 345_178_112, 227_999_744)):
        assert [count_macs(n, torch.empty(1, 3, size, size)) for n in (unet, autoencoder)] == [unets, autoencoders]


@pytest.mark.parametrize(
    ("layers", "parameters", "macs"),
    [((3, 4, 14, 3), 41_486_365, 5_400_256_768), ((3, 13, 30, 3), 63_201_559, 11_180_681_472)],
)
def test_other_depths_are_not_the_papers_identity_network(
    layers: tuple[int, int, int, int], parameters: int, macs: int
) -> None:
    network = IdentityNetwork(layers=layers).eval()
    assert count_parameters(network) == parameters
    assert count_macs(network, torch.empty(1, 3, 112, 112)) == macs


@pytest.mark.parametrize(("width", "parameters", "giga"), [(16, 5_219_715, "3.19"), (32, 16_134_915, "12.27")])
def test_simswap_with_fewer_channels(width: int, parameters: int, giga: str) -> None:
    """The students of a later distillation of SimSwap have a quarter or a half of its channels."""
    generator = SimSwapGenerator(width=width).eval()
    assert count_parameters(generator) == parameters
    macs = count_macs(generator, torch.empty(1, 3, 224, 224), torch.empty(1, 512))
    assert f"{macs / 1e9:.2f}" == giga
