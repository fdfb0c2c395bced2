"""DeepFakes' autoencoder pair: its size, its padding, and which decoder paints."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.deepfakes import DeepFakes


@pytest.fixture
def small() -> DeepFakes:
    torch.manual_seed(2)
    return DeepFakes(width=8, code=16).eval()


def face(seed: int = 0) -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def test_size() -> None:
    with torch.device("meta"):
        model = DeepFakes()
        assert count_parameters(model.encoder) == 69_662_976
        assert count_parameters(model.decoder_a) == count_parameters(model.decoder_b) == 6_199_747
        assert count_parameters(model) == 82_062_470
        assert count_parameters(model.encoder) + count_parameters(model.decoder_a) == 75_862_723
        macs = count_macs(model, torch.empty(1, 3, 64, 64), "a")
        assert macs == count_macs(model, torch.empty(1, 3, 64, 64), "b") == 1_900_150_784  # 1,900,151k


@torch.no_grad()
def test_one_path_layer_by_layer(small: DeepFakes) -> None:
    state = small.state_dict()

    def parameters(name: str) -> tuple[Tensor, Tensor]:
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def grow(x: Tensor, name: str) -> Tensor:
        y = functional.leaky_relu(functional.conv2d(x, *parameters(f"{name}.0"), padding=1), 0.1)
        large = torch.empty(y.shape[0], y.shape[1] // 4, 2 * y.shape[2], 2 * y.shape[3])
        for row in (0, 1):
            for column in (0, 1):
                large[:, :, row::2, column::2] = y[:, 2 * row + column :: 4]
        return large

    x = face()
    for i in (0, 2, 4, 6):
        # TensorFlow's "same" at stride 2: one before, two after.
        x = functional.conv2d(functional.pad(x, (1, 2, 1, 2)), *parameters(f"encoder.convolutions.{i}.conv"), stride=2)
        x = functional.leaky_relu(x, 0.1)
    assert x.shape == (2, 64, 4, 4)
    x = functional.linear(x.flatten(1), *parameters("encoder.code"))
    x = functional.linear(x, *parameters("encoder.expand.0")).view(2, 64, 4, 4)
    x = grow(x, "encoder.grow")
    for i in (0, 1, 2):
        x = grow(x, f"decoder_b.layers.{i}")
    x = torch.sigmoid(functional.conv2d(x, *parameters("decoder_b.layers.3"), padding=2))
    assert x.std() > 1e-3
    assert torch.allclose(small(face(), "b"), x, atol=1e-6)


@torch.no_grad()
def test_first_layer_reads_further_right_and_below_than_left_and_above(small: DeepFakes) -> None:
    layer = small.encoder.convolutions[0]
    quiet = layer(torch.zeros(1, 3, 64, 64))

    def touched(row: int) -> list[int]:
        spot = torch.zeros(1, 3, 64, 64)
        spot[:, :, row, row] = 1.0
        return sorted(set((layer(spot) - quiet).abs().amax(dim=(0, 1, 3)).nonzero().flatten().tolist()))

    # Output i reads inputs 2i-1 to 2i+3.
    assert touched(0) == [0]
    assert touched(1) == [0, 1]
    assert touched(8) == [3, 4]
    assert touched(9) == [3, 4, 5]


@torch.no_grad()
def test_output_depends_on_person_and_face(small: DeepFakes) -> None:
    image = small(face(), "a")
    assert image.shape == (2, 3, 64, 64)
    assert image.min() >= 0 and image.max() <= 1
    assert (small(face(), "b") - image).abs().mean() > 1e-3
    assert (small(face(1), "a") - image).abs().max() > 1e-6


def test_people_share_the_encoder_only(small: DeepFakes) -> None:
    small(face(), "a").mean().backward()
    assert all(p.grad is not None for p in small.encoder.parameters())
    assert all(p.grad is not None for p in small.decoder_a.parameters())
    assert all(p.grad is None for p in small.decoder_b.parameters())


def test_other_sizes_and_people_are_refused(small: DeepFakes) -> None:
    for shape in ((1, 3, 128, 128), (3, 64, 64), (1, 1, 64, 64)):
        with pytest.raises(InputError, match="align and resize"):
            small(torch.zeros(shape), "a")
    with pytest.raises(InputError, match="not 'c'"):
        small(face(), "c")  # type: ignore[arg-type]
