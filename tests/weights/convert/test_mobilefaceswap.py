"""MobileFaceSwap's checkpoint: a synthetic one in the release's layout, converted, and compared by value.

The comparisons run the release's function from the original arrays with plain operations (a linear layer is ``x @ w``,
as Paddle stores it), and never touch our names: what our network computes after conversion must be the same numbers.
"""

from __future__ import annotations

import itertools
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import AssetError
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.weights.convert.mobilefaceswap import convert_mobilefaceswap

Arrays = dict[str, npt.NDArray[Any]]
ENCODER = ((3, 32), (32, 64), (64, 128), (128, 256), (256, 512))
DECODER = ((512, 256), (512, 128), (256, 64), (128, 32))


def layout() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the release's file."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]

    def norm(name: str, channels: int) -> None:
        shapes.update({f"{name}.{part}": (channels,) for part in ("weight", "bias", "_mean", "_variance")})

    for side, pairs in (("Encoder", ENCODER), ("Decoder", DECODER)):
        for i, (inputs, outputs) in enumerate(pairs):
            shapes[f"{side}Modulation.{i}.weight"] = (outputs, inputs, 1, 1)
            shapes[f"{side}Modulation.{i}.style.weight"] = (512, inputs)
            shapes[f"{side}Modulation.{i}.style.bias"] = (inputs,)
    conv("predictor.first", 512, 512, 4, 4)
    conv("predictor.first_decoder", 512, 512, 2, 2)
    norm("predictor.norm", 512)
    norm("predictor.decoder_norm", 512)
    for side, widths in (("encoder", (512, 256, 128, 64, 32, 3)), ("decoder", (512, 512, 512, 256, 128))):
        for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            conv(f"predictor.{side}.{i}.conv", outputs, inputs, 3, 3)
            norm(f"predictor.{side}.{i}.norm", outputs)
            conv(f"predictor.{side}.{i}.weight", outputs, outputs, 3, 3)
    for index, shape in ((1, (8, 32, 1, 1)), (4, (3, 8, 3, 3)), (7, (3, 3, 3, 3))):
        conv(f"final.{index}", *shape)
    norm("final.2", 8)
    norm("final.5", 3)
    widths = (512, 128, 64, 32, 8, 2)
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        conv(f"mask.{i}.1", inputs, 1, 3, 3)
        conv(f"mask.{i}.2", outputs, inputs, 1, 1)
        norm(f"mask.{i}.3", outputs)
    conv("mask.5", 1, 2, 3, 3)
    return shapes


def random_arrays(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Arrays:
    """Random values for every name, of a size that keeps signals alive; variances are positive."""
    generator = np.random.default_rng(seed)
    arrays: Arrays = {}
    for name, shape in shapes.items():
        values = generator.standard_normal(shape, dtype=np.float32)
        if name.endswith("_variance"):
            values = 0.5 + np.abs(values)
        elif len(shape) == 4:
            values *= np.float32(np.prod(shape[1:])) ** -0.5
        elif len(shape) == 1:
            values = 0.3 * values + np.float32(name.endswith(("norm.weight", ".2.weight", ".5.weight", ".3.weight")))
        arrays[name] = values
    return arrays


@dataclass(frozen=True)
class Release:
    """The synthetic checkpoint and what became of it."""

    arrays: Arrays
    path: Path
    network: MobileFaceSwap

    def tensor(self, name: str) -> Tensor:
        """An original array, in double precision as everything that is compared."""
        return torch.from_numpy(self.arrays[name]).double()

    def conv(self, x: Tensor, name: str, **options: int) -> Tensor:
        """An original convolution."""
        return functional.conv2d(x, self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias"), **options)

    def norm(self, x: Tensor, name: str) -> Tensor:
        """An original normalisation with its running statistics, and the leaky ReLU that always follows."""
        mean, variance, weight, bias = (
            self.tensor(f"{name}.{part}")[:, None, None] for part in ("_mean", "_variance", "weight", "bias")
        )
        return functional.leaky_relu((x - mean) / torch.sqrt(variance + 1e-5) * weight + bias, 0.1)

    def modulated(self, side: str, i: int, z: Tensor, *, transposed: bool = False) -> Tensor:
        """The pointwise weights for embedding `z` (512), as the release computes them."""
        style = self.tensor(f"{side}Modulation.{i}.style.weight")
        s = z @ (style.t() if transposed else style) + self.tensor(f"{side}Modulation.{i}.style.bias")
        w = self.tensor(f"{side}Modulation.{i}.weight") * (s + 1)[None, :, None, None]
        return w / torch.sqrt(w.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-16)

    def kernels(self, f: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Depthwise kernels of encoder and decoder for a feature map (1,512,7,7)."""
        h = self.norm(self.conv(f, "predictor.first"), "predictor.norm")
        g = self.norm(self.conv(h, "predictor.first_decoder"), "predictor.decoder_norm")
        chains: list[list[Tensor]] = []
        for side, x, count in (("encoder", h, 5), ("decoder", g, 4)):
            heads = []
            for i in range(count):
                x = self.norm(self.conv(x, f"predictor.{side}.{i}.conv", padding=1), f"predictor.{side}.{i}.norm")
                heads.append(self.conv(x, f"predictor.{side}.{i}.weight", padding=1))
            chains.append(heads)
        return chains[0][::-1], chains[1]

    def final(self, x: Tensor) -> Tensor:
        """The last layers, with the tanh."""
        x = self.norm(self.conv(_up(x), "final.1"), "final.2")
        return torch.tanh(self.conv(self.norm(self.conv(x, "final.4", padding=1), "final.5"), "final.7", padding=1))

    def mask(self, x: Tensor) -> Tensor:
        """The mask head."""
        for i in range(5):
            x = self.conv(_up(x), f"mask.{i}.1", padding=1, groups=x.shape[1])
            x = self.norm(self.conv(x, f"mask.{i}.2"), f"mask.{i}.3")
        return torch.sigmoid(self.conv(x, "mask.5", padding=1))


def _up(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A checkpoint as Paddle writes it, converted and loaded."""
    arrays = random_arrays(layout())
    path = tmp_path_factory.mktemp("release") / "MobileFaceSwap_224.pdparams"
    with path.open("wb") as file:
        names = {name: f"parameter_{i}" for i, name in enumerate(arrays)}
        pickle.dump(arrays | {"StructuredToParameterName@@": names}, file, protocol=4)
    network = MobileFaceSwap(MobileFaceSwapConfig())
    network.load_state_dict(convert_mobilefaceswap(path))
    return Release(arrays, path, network.eval().double())


@pytest.fixture(scope="module")
def identity() -> IdentityFeatures:
    """One person's features."""
    generator = torch.Generator().manual_seed(3)
    z = functional.normalize(torch.randn(1, 512, generator=generator).double(), dim=1)
    return IdentityFeatures(z, torch.randn(1, 512, 7, 7, generator=generator).double())


def test_the_fixture_has_the_release_s_counts(release: Release) -> None:
    assert len(release.arrays) == 167
    assert sum(array.size for array in release.arrays.values()) == 20_706_030
    running = sum(array.size for name, array in release.arrays.items() if name.endswith(("_mean", "_variance")))
    assert running == 6_320
    assert len(convert_mobilefaceswap(release.path)) == 185


@pytest.mark.parametrize(("side", "index"), [("Encoder", i) for i in range(5)] + [("Decoder", i) for i in range(4)])
@torch.no_grad()
def test_every_modulation_gives_the_release_s_weights(
    release: Release, identity: IdentityFeatures, side: str, index: int
) -> None:
    iin = release.network.iin
    ours = (iin.encoder_modulation if side == "Encoder" else iin.decoder_modulation)[index](identity.embedding).baked()
    expected = release.modulated(side, index, identity.embedding[0])
    torch.testing.assert_close(ours[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("index", [0, 1])
@torch.no_grad()
def test_a_square_style_matrix_left_as_it_is_would_be_noticed(
    release: Release, identity: IdentityFeatures, index: int
) -> None:
    layer = release.network.iin.decoder_modulation[index]
    assert layer.style.weight.shape == (512, 512)
    right = release.modulated("Decoder", index, identity.embedding[0])
    wrong = release.modulated("Decoder", index, identity.embedding[0], transposed=True)
    assert (right - wrong).abs().max() > 0.01
    original = release.tensor(f"DecoderModulation.{index}.style.weight")
    assert torch.equal(layer.style.weight, original.t())
    assert not torch.equal(layer.style.weight, original)


@torch.no_grad()
def test_the_predictor_gives_the_release_s_kernels_in_their_order(release: Release, identity: IdentityFeatures) -> None:
    ours = release.network.iin.predictor(identity)
    expected = release.kernels(identity.feature_map)
    assert [kernel.shape[1] for kernel in expected[0]] == [3, 32, 64, 128, 256]
    assert [kernel.shape[1] for kernel in expected[1]] == [512, 512, 256, 128]
    for side in (0, 1):
        for kernel, wanted in zip(ours[side], expected[side], strict=True):
            assert wanted.std() > 0.01
            torch.testing.assert_close(kernel, wanted, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_final_and_mask_layers_give_the_release_s_values(release: Release) -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(2, 32, 6, 5, generator=generator).double()
    ours = torch.tanh(release.network.idn.final(x))
    torch.testing.assert_close(ours, release.final(x), rtol=1e-9, atol=1e-9)
    deep = torch.randn(2, 512, 1, 2, generator=generator).double()
    mask = release.network.fusion(deep)
    torch.testing.assert_close(mask, release.mask(deep), rtol=1e-9, atol=1e-9)
    assert mask.std() > 0.001
    assert ours.std() > 0.001


@torch.no_grad()
def test_a_whole_swap_is_the_release_s(release: Release, identity: IdentityFeatures) -> None:
    target = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(5)).double()
    encoder, decoder = release.kernels(identity.feature_map)
    x, skips = (target - 0.5) / 0.5, []
    for i, kernel in enumerate(encoder):
        x = functional.conv2d(x, kernel[0].unsqueeze(1), stride=2, padding=1, groups=x.shape[1])
        x = functional.leaky_relu(functional.conv2d(x, release.modulated("Encoder", i, identity.embedding[0])), 0.1)
        skips.append(x)
    mask = release.mask(x)
    for i, kernel in enumerate(decoder):
        x = functional.conv2d(_up(x), kernel[0].unsqueeze(1), padding=1, groups=x.shape[1])
        x = functional.leaky_relu(functional.conv2d(x, release.modulated("Decoder", i, identity.embedding[0])), 0.1)
        x = x if i == 3 else torch.cat((x, skips[3 - i]), dim=1)
    raw = (1 + release.final(x)) / 2
    ours = release.network(target, identity)
    torch.testing.assert_close(ours.raw, raw, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.mask, mask, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.result, raw * mask + (1 - mask) * target, rtol=1e-9, atol=1e-9)
    other = IdentityFeatures(identity.embedding.roll(1, dims=1), identity.feature_map.flip(1))
    assert (release.network(target, other).raw - ours.raw).abs().max() > 0.01


def test_what_is_missing_left_over_or_misshapen_is_named(tmp_path: Path) -> None:
    path = tmp_path / "part.pdparams"
    tiny = {name: np.zeros((1,), np.float32) for name in ("mask.5.bias", "final.7.bias", "surprise")}
    path.write_bytes(pickle.dumps(tiny))
    with pytest.raises(AssetError) as error:
        convert_mobilefaceswap(path)
    for part in (
        "missing: iin.encoder_modulation.0.weight",
        "and 161 more",
        "left over: surprise",
        "idn.final.7.bias (1,)",
    ):
        assert part in str(error.value)
    path.write_bytes(pickle.dumps({"mask.5.bias": np.zeros((1,), np.int64)}))
    with pytest.raises(AssetError, match=r"another type: fusion\.layers\.5\.bias"):
        convert_mobilefaceswap(path)
    path.write_bytes(pickle.dumps({"mask.5._variance": np.zeros(1), "mask.5.running_var": np.zeros(1)}))
    with pytest.raises(AssetError, match="two of its entries"):
        convert_mobilefaceswap(path)
