"""MobileFSGAN's checkpoints: synthetic ones in the originals' layout give the numbers of the originals' forward pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfs_lib.errors import AssetError
from mfs_lib.networks.mobilefsgan import MobileFSGAN
from mfs_lib.networks.mobilefsgan_identity import MobileFSGANIdentity
from mfs_lib.networks.patchgan import mobilefsgan_discriminators
from mfs_lib.weights.convert.mobilefsgan import (
    convert_mobilefsgan,
    convert_mobilefsgan_discriminators,
    convert_mobilefsgan_identity,
)

State = dict[str, Tensor]


class Layout:
    """Collects entries with random values, batch statistics included, under the originals' names."""

    def __init__(self) -> None:
        self.state: State = {}

    def matrix(self, name: str, *shape: int, bias: bool) -> None:
        fan = torch.Size(shape[1:]).numel()
        self.state[f"{name}.weight"] = torch.randn(shape) * (2.0 / fan) ** 0.5
        if bias:
            self.state[f"{name}.bias"] = torch.randn(shape[0]) * 0.1

    def norm(self, name: str, channels: int, *, affine: bool = True) -> None:
        if affine:
            self.state[f"{name}.weight"] = torch.rand(channels) + 0.5
            self.state[f"{name}.bias"] = torch.randn(channels) * 0.2
        self.state[f"{name}.running_mean"] = torch.randn(channels) * 0.2
        self.state[f"{name}.running_var"] = torch.rand(channels) + 0.5
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(1234)

    def scaled(self, name: str, *, kernel: int) -> None:
        """Downsample (4) or Upsample (3)."""
        self.norm(f"{name}.normalize", 64)
        self.matrix(f"{name}.conv", 64, 64, kernel, kernel, bias=False)

    def block(self, name: str) -> None:
        self.norm(f"{name}.normalize", 64)
        self.matrix(f"{name}.conv1x1", 64, 64, 1, 1, bias=True)
        self.matrix(f"{name}.conv3x3", 64, 64, 3, 3, bias=False)

    def identity_block(self, name: str) -> None:
        self.norm(f"{name}.normalize", 64, affine=False)
        self.matrix(f"{name}.fc_mean", 64, 512, bias=True)
        self.matrix(f"{name}.fc_var", 64, 512, bias=True)
        self.matrix(f"{name}.conv1x1", 64, 64, 1, 1, bias=True)
        self.matrix(f"{name}.conv3x3", 64, 64, 3, 3, bias=False)


@pytest.fixture(scope="module")
def generator() -> State:
    torch.manual_seed(0)
    layout = Layout()
    layout.matrix("encoder_head.conv_image", 64, 3, 3, 3, bias=True)
    layout.matrix("encoder_head.conv1x1", 64, 64, 1, 1, bias=True)
    layout.matrix("encoder_head.conv3x3", 64, 64, 3, 3, bias=False)
    for size in (256, 128, 64, 32, 16, 8):
        layout.identity_block(f"identity_encoder.b{size}_down")
    for size in (128, 64, 32, 16, 8):
        layout.scaled(f"identity_encoder.down{size}", kernel=4)
    for size in (16, 32, 64):
        layout.scaled(f"identity_encoder.up{size}", kernel=3)
        layout.identity_block(f"identity_encoder.b{size}_up")
    for size, steps in ((256, 2), (128, 3), (64, 4)):
        if size < 256:
            layout.scaled(f"attribute_encoder.downsample{size}", kernel=4)
        if size > 64:
            layout.scaled(f"decoder.up{size}", kernel=3)
        for step in range(1, steps + 1):
            layout.block(f"attribute_encoder.b{size}_{step}")
        for step in range(steps + 1):
            layout.matrix(f"decoder.b{size}_{step}.conv_attention", 1, 64, 1, 1, bias=True)
            layout.block(f"decoder.b{size}_{step}.basic_block")
        layout.matrix(f"decoder.image{size}_output.conv", 3, 64, 3, 3, bias=True)
    return layout.state


class Original:
    """The original's forward pass, by the names of its state dict."""

    def __init__(self, state: State) -> None:
        self.state = state

    def conv(self, name: str, x: Tensor, *, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, stride=stride, padding=padding, groups=groups)

    def norm(self, name: str, x: Tensor) -> Tensor:
        mean, variance = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        return F.batch_norm(x, mean, variance, self.state.get(f"{name}.weight"), self.state.get(f"{name}.bias"))

    def block(self, name: str, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.conv(f"{name}.conv1x1", self.norm(f"{name}.normalize", x)))
        return self.conv(f"{name}.conv3x3", y, padding=1)

    def identity_block(self, name: str, x: Tensor, z: Tensor) -> Tensor:
        mean, variance = (
            F.linear(z, self.state[f"{name}.{fc}.weight"], self.state[f"{name}.{fc}.bias"])[:, :, None, None]
            for fc in ("fc_mean", "fc_var")
        )
        y = F.leaky_relu(self.norm(f"{name}.normalize", x) * variance + mean)
        return x + self.conv(f"{name}.conv3x3", F.leaky_relu(self.conv(f"{name}.conv1x1", y)), padding=1)

    def down(self, name: str, x: Tensor) -> Tensor:
        return F.leaky_relu(self.conv(f"{name}.conv", self.norm(f"{name}.normalize", x), stride=2, padding=1))

    def up(self, name: str, x: Tensor) -> Tensor:
        grow = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        return F.leaky_relu(self.conv(f"{name}.conv", nn.ReflectionPad2d(1)(grow(self.norm(f"{name}.normalize", x)))))

    def attributes(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"256_0": x}
        for size, steps in ((256, 2), (128, 3), (64, 4)):
            if size < 256:
                x = maps[f"{size}_0"] = self.down(f"attribute_encoder.downsample{size}", x)
            for step in range(1, steps + 1):
                x = maps[f"{size}_{step}"] = x + self.block(f"attribute_encoder.b{size}_{step}", x)
        return maps

    def identity(self, x: Tensor, z: Tensor) -> Tensor:
        kept = {256: self.identity_block("identity_encoder.b256_down", x, z)}
        for size in (128, 64, 32, 16, 8):
            x = self.down(f"identity_encoder.down{size}", kept[2 * size])
            kept[size] = self.identity_block(f"identity_encoder.b{size}_down", x, z)
        x = kept[8]
        for size in (16, 32, 64):
            x = self.up(f"identity_encoder.up{size}", x) + kept[size]
            x = self.identity_block(f"identity_encoder.b{size}_up", x, z)
        return x

    def __call__(self, target: Tensor, z: Tensor) -> list[Tensor]:
        stem = F.leaky_relu(self.conv("encoder_head.conv_image", target, padding=1))
        x = F.leaky_relu(self.conv("encoder_head.conv1x1", stem))
        x = self.identity(self.conv("encoder_head.conv3x3", x, padding=1), z)
        maps, images = self.attributes(stem), []
        for size, steps in ((64, 4), (128, 3), (256, 2)):
            if size > 64:
                x = self.up(f"decoder.up{size}", x)
            for step in range(steps, -1, -1):
                name = f"decoder.b{size}_{step}"
                attention = self.conv(f"{name}.conv_attention", x)
                mixed = attention * x + (1.0 - attention) * maps[f"{size}_{step}"]
                x = x + self.block(f"{name}.basic_block", mixed)
            images.append(torch.tanh(self.conv(f"decoder.image{size}_output.conv", x, padding=1)))
        return images[::-1]


def test_generator_gives_the_originals_images(tmp_path: Path, generator: State) -> None:
    assert len(generator) == 365
    # The mixing multiplies maps with maps: keep them small, so that the images don't saturate.
    tame = {
        key: value * 0.3 if "conv3x3" in key or "conv_attention" in key else value for key, value in generator.items()
    }
    tame |= {key: value * 0.02 for key, value in tame.items() if "_output.conv.weight" in key}
    path = tmp_path / "200_G.pth"
    torch.save({f"module.{key}": value for key, value in tame.items()}, path)
    state = convert_mobilefsgan(path)
    network = MobileFSGAN(size=64).eval()  # the same weights; a quarter of the side is enough to compare
    network.load_state_dict(state)
    target, z = torch.rand(2, 3, 64, 64) * 2 - 1, F.normalize(torch.randn(2, 512), dim=1)
    with torch.no_grad():
        images, expected = network(target, z), Original(tame)(target, z)
    for image, other in zip(images, expected, strict=True):
        torch.testing.assert_close(image, other, atol=1e-4, rtol=1e-4)
        assert 0.01 < other.std() < 0.9
        assert (other[0] - other[1]).abs().max() > 0.01


def _identity_layout() -> State:
    torch.manual_seed(0)
    layout = Layout()

    def unit(name: str, outputs: int, inputs: int, kernel: int, *, prelu: bool = True) -> None:
        layout.matrix(f"{name}.conv", outputs, inputs, kernel, kernel, bias=False)
        layout.norm(f"{name}.bn", outputs)
        if prelu:
            layout.state[f"{name}.prelu.weight"] = torch.rand(outputs) * 0.5

    def bottleneck(name: str, outputs: int, inputs: int, wide: int) -> None:
        unit(f"{name}.conv", wide, inputs, 1)
        unit(f"{name}.conv_dw", wide, 1, 3)
        unit(f"{name}.project", outputs, wide, 1, prelu=False)

    unit("conv1", 64, 3, 3)
    unit("conv2_dw", 64, 1, 3)
    for name, outputs, inputs, wide in (
        ("conv_23", 64, 64, 128),
        ("conv_34", 128, 64, 256),
        ("conv_45", 128, 128, 512),
    ):
        bottleneck(name, outputs, inputs, wide)
    for name, channels, wide, blocks in (("conv_3", 64, 128, 4), ("conv_4", 128, 256, 6), ("conv_5", 128, 256, 2)):
        for index in range(blocks):
            bottleneck(f"{name}.model.{index}", channels, channels, wide)
    unit("conv_6_sep", 512, 128, 1)
    unit("conv_6_dw", 512, 1, 7, prelu=False)
    layout.matrix("linear", 512, 512, bias=False)
    layout.norm("bn", 512)
    return layout.state


def _identity(state: State, x: Tensor) -> Tensor:
    original = Original(state)

    def unit(name: str, x: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
        groups = x.shape[1] if state[f"{name}.conv.weight"].shape[1] == 1 else 1
        x = original.norm(f"{name}.bn", original.conv(f"{name}.conv", x, stride=stride, padding=padding, groups=groups))
        return F.prelu(x, state[f"{name}.prelu.weight"]) if f"{name}.prelu.weight" in state else x

    def bottleneck(name: str, x: Tensor, stride: int) -> Tensor:
        return unit(f"{name}.project", unit(f"{name}.conv_dw", unit(f"{name}.conv", x), stride=stride, padding=1))

    x = unit("conv2_dw", unit("conv1", x, stride=2, padding=1), padding=1)
    for single, repeated, blocks in (("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2)):
        x = bottleneck(single, x, 2)
        for index in range(blocks):
            x = x + bottleneck(f"{repeated}.model.{index}", x, 1)
    x = F.linear(unit("conv_6_dw", unit("conv_6_sep", x)).flatten(1), state["linear.weight"])
    x = original.norm("bn", x)
    return x / torch.norm(x, 2, 1, True)


def test_identity_network_gives_the_originals_numbers(tmp_path: Path) -> None:
    original = _identity_layout()
    assert len(original) == 333
    path = tmp_path / "RGB_model_mobilefacenet.pth"
    torch.save(original, path, _use_new_zipfile_serialization=False)
    network = MobileFSGANIdentity().eval()
    network.load_state_dict(convert_mobilefsgan_identity(path))
    faces = torch.rand(2, 3, 112, 112) * 2 - 1
    with torch.no_grad():
        identities, expected = network(faces), _identity(original, faces)
    torch.testing.assert_close(identities, expected, atol=1e-5, rtol=1e-3)
    assert (expected[0] - expected[1]).abs().max() > 1e-3


class OriginalDiscriminators(nn.Module):
    """Three plain sequences with the older spectral normalisation, under the originals' names."""

    def __init__(self) -> None:
        super().__init__()
        for size in (256, 128, 64):
            layers: list[nn.Module] = []
            widths = (3, 16, 32, 64, 128, 256)
            for index in range(5):
                conv = nn.Conv2d(widths[index], widths[index + 1], 4, stride=2 if index < 4 else 1, padding=2)
                layers.append(nn.utils.spectral_norm(conv))
                if index:
                    layers.append(nn.BatchNorm2d(widths[index + 1]))
                layers.append(nn.LeakyReLU(0.2))
            layers.append(nn.utils.spectral_norm(nn.Conv2d(256, 1, 4, padding=2)))
            self.add_module(f"discriminator_{size}", nn.Module())
            self.get_submodule(f"discriminator_{size}").add_module("model", nn.Sequential(*layers))

    def forward(self, images: list[Tensor]) -> list[Tensor]:
        names = [f"discriminator_{size}.model" for size in (256, 128, 64)]
        return [self.get_submodule(name)(image) for name, image in zip(names, images, strict=True)]


@pytest.fixture(scope="module")
def discriminators() -> OriginalDiscriminators:
    torch.manual_seed(0)
    original = OriginalDiscriminators()
    for key, value in original.state_dict().items():
        if key.endswith(("running_var", "weight")) and value.ndim == 1:
            value.uniform_(0.5, 1.5)
        elif key.endswith("running_mean"):
            value.normal_(std=0.2)
        elif key.endswith("weight_orig"):
            value.mul_(5.0)
    return original.eval()


def test_discriminators_give_the_originals_scores(tmp_path: Path, discriminators: OriginalDiscriminators) -> None:
    state = discriminators.state_dict()
    assert len(state) == 132
    path = tmp_path / "200_D.pth"
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    networks = mobilefsgan_discriminators().eval()
    networks.load_state_dict(convert_mobilefsgan_discriminators(path))
    images = [torch.rand(2, 3, size, size) * 2 - 1 for size in (64, 48, 32)]
    with torch.no_grad():
        for score, expected in zip(networks(images), discriminators(images), strict=True):
            torch.testing.assert_close(score, expected, atol=1e-5, rtol=1e-4)
            assert expected.std() > 0


def test_training_goes_on_where_the_originals_stopped(tmp_path: Path) -> None:
    # PyTorch's two forms of spectral normalisation step u and v in opposite orders, so they agree in training once the
    # vectors have settled, as they have in a trained checkpoint.
    torch.manual_seed(1)
    original = OriginalDiscriminators()
    images = [torch.rand(2, 3, size, size) * 2 - 1 for size in (64, 48, 32)]
    with torch.no_grad():
        for _ in range(100):
            original([image[..., :16, :16] for image in images])
        path = tmp_path / "001_D.pth"
        torch.save(original.state_dict(), path)
        networks = mobilefsgan_discriminators().train()
        networks.load_state_dict(convert_mobilefsgan_discriminators(path))
        for score, expected in zip(networks(images), original(images), strict=True):
            torch.testing.assert_close(score, expected, atol=2e-3, rtol=2e-2)
            assert expected.std() > 0.01
    counters = [value for key, value in networks.state_dict().items() if key.endswith("num_batches_tracked")]
    assert [int(value) for value in counters] == [101] * 12


def test_other_files_are_refused(tmp_path: Path, generator: State, discriminators: OriginalDiscriminators) -> None:
    path = tmp_path / "other.pth"
    torch.save({f"module.{key}": value for key, value in generator.items()}, path)
    with pytest.raises(AssetError, match=r"discriminators.*scales\.0\."):
        convert_mobilefsgan_discriminators(path)
    with pytest.raises(AssetError, match=r"identity network.*conv1\.conv\.weight"):
        convert_mobilefsgan_identity(path)
    torch.save(discriminators.state_dict(), path)
    with pytest.raises(AssetError, match=r"generator.*encoder_head\.conv_image\.weight"):
        convert_mobilefsgan(path)
    # A discriminator with one layer more has an entry without a place.
    torch.save({**discriminators.state_dict(), "discriminator_64.model.17.bias": torch.zeros(1)}, path)
    with pytest.raises(AssetError, match=r"left over: discriminator_64\.model\.17\.bias"):
        convert_mobilefsgan_discriminators(path)
    # A generator of half the width.
    torch.save({**generator, "decoder.up128.conv.weight": torch.zeros(32, 32, 3, 3)}, path)
    with pytest.raises(AssetError, match=r"of another shape: decoder\.up128\.conv\.weight \(32, 32, 3, 3\)"):
        convert_mobilefsgan(path)
