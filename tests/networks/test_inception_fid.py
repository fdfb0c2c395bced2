"""FID's Inception: sizes by a table of all layers, values by a second forward pass, and what its blocks pool."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.inception_blocks import block_a, block_c, block_e
from mfs_lib.networks.inception_fid import InceptionFID
from tests.networks.inception_layers import LAYERS, features, random_state


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return random_state()


@pytest.fixture(scope="module")
def network(state: dict[str, Tensor]) -> InceptionFID:
    with torch.device("meta"):
        made = InceptionFID()
    counters = {f"{name}.bn.num_batches_tracked": torch.tensor(0) for name in LAYERS}
    made.load_state_dict({**state, **counters}, assign=True)
    return made.eval().requires_grad_(False)


def test_counts() -> None:
    kernels = sum(math.prod(shape) for shape in LAYERS.values())
    channels = sum(shape[0] for shape in LAYERS.values())
    # torchvision publishes 27,161,264 for its own: with a classifier of 1000 and an auxiliary one.
    auxiliary = 128 * 768 + 2 * 128 + 768 * 128 * 25 + 2 * 768 + 769 * 1000
    assert kernels + 2 * channels == 27_161_264 - 2049 * 1000 - auxiliary == 21_785_568
    with torch.device("meta"):
        network = InceptionFID().eval()
        assert count_parameters(network) == kernels + 2 * channels
        macs = count_macs(network, torch.empty(1, 3, 96, 96))
    assert f"{(macs + 2048 * 1000) / 1e9:.3f}" == "5.713"  # as torchvision publishes, its classifier included
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(LAYERS) == 94 and len(shapes) == 6 * 94
    assert all(shapes[f"{name}.conv.weight"] == shape for name, shape in LAYERS.items())
    assert all(shapes[f"{name}.bn.running_var"] == shape[:1] for name, shape in LAYERS.items())


def test_values_equal_a_second_forward_pass(network: InceptionFID, state: dict[str, Tensor]) -> None:
    pictures = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(1))
    pictures[1] *= 0.3
    found, expected = network(pictures), features(state, pictures)
    assert found.shape == (2, 2048) and found.min() >= 0
    assert (expected[0] - expected[1]).abs().mean() > 0.05 * expected.mean() > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.max()))


def test_pictures_are_resized_without_smoothing_and_scaled(network: InceptionFID) -> None:
    seen: list[Tensor] = []
    hook = network.Conv2d_1a_3x3.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    ramp = torch.linspace(0, 1, 598).expand(1, 3, 598, 598).clone()
    ramp[:, 1] = (torch.arange(598) % 4 < 2).float()  # stripes of two pixels: gone if anything smooths them
    network(ramp)
    hook.remove()
    (made,) = seen
    assert made.shape == (1, 3, 299, 299)
    # Pixel k of the half as large picture lies between pixels 2k and 2k + 1.
    torch.testing.assert_close(made[0, 0, 0], ramp[0, 0, 0, ::2] + ramp[0, 0, 0, 1::2] - 1)
    assert made[0, 1, 0].tolist() == [1.0, -1.0] * 149 + [1.0]


def _pooled_alone(block: torch.nn.Module, x: Tensor) -> Tensor:
    """What the block's pooling makes of the first channel; its normalisation divides by sqrt(1 + 0.001)."""
    conv = block.branch_pool.conv
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0] = 1
        return block.eval()(x)[:, -conv.out_channels] * 1.001**0.5


def _dot(channels: int, row: int, column: int) -> Tensor:
    x = torch.zeros(1, channels, 5, 5)
    x[0, 0, row, column] = 9.0
    return x


@pytest.mark.parametrize("name", ["5b", "6b", "7b"])
def test_averages_leave_the_padding_out(name: str) -> None:
    with torch.device("meta"):
        inputs = InceptionFID().get_submodule(f"Mixed_{name}.branch_pool.conv").in_channels
    made = {"5b": lambda: block_a(inputs=192, pooled=32), "6b": lambda: block_c(inputs=768, narrow=128)}
    block = made.get(name, lambda: block_e(inputs=1280, pool="average"))()
    assert torch.allclose(_pooled_alone(block, torch.ones(1, inputs, 5, 5)), torch.ones(5, 5), atol=1e-5)
    corner = torch.zeros(5, 5)
    # 9 over the four neighbours that a corner has, the six at an edge, all nine inside.
    corner[:2, :2] = torch.tensor([[9 / 4, 9 / 6], [9 / 6, 1.0]])
    torch.testing.assert_close(_pooled_alone(block, _dot(inputs, 0, 0))[0], corner)


def test_the_last_block_takes_maxima_and_the_one_before_averages() -> None:
    with torch.device("meta"):
        whole = InceptionFID()
    assert (whole.Mixed_7b.pool, whole.Mixed_7c.pool) == ("average", "max")
    others = (whole.get_submodule(f"Mixed_{name}") for name in ("5b", "5c", "5d", "6b", "6c", "6d", "6e"))
    assert {block.pool for block in others} == {"average"}
    around = torch.zeros(5, 5)
    around[1:4, 1:4] = 1.0
    dot = _dot(64, 2, 2)
    torch.testing.assert_close(_pooled_alone(block_e(inputs=64, pool="max"), dot)[0], 9 * around)
    torch.testing.assert_close(_pooled_alone(block_e(inputs=64, pool="average"), dot)[0], around)


def test_sizes_inside(network: InceptionFID) -> None:
    sizes: dict[str, tuple[int, ...]] = {}
    hooks = [
        child.register_forward_hook(lambda _, __, made, name=name: sizes.update({name: tuple(made.shape[1:])}))
        for name, child in network.named_children()
    ]
    small = torch.rand(1, 3, 20, 30)
    assert network(small).shape == (1, 2048)
    torch.testing.assert_close(
        network(small), network(functional.interpolate(small, (299, 299), mode="bilinear")), rtol=1e-3, atol=1e-3
    )
    for hook in hooks:
        hook.remove()
    assert sizes["Conv2d_2b_3x3"] == (64, 147, 147) and sizes["Conv2d_4a_3x3"] == (192, 71, 71)
    blocks = {name: size for name, size in sizes.items() if name.startswith("Mixed")}
    assert list(blocks.values()) == [
        (256, 35, 35), *[(288, 35, 35)] * 2, *[(768, 17, 17)] * 5, (1280, 8, 8), *[(2048, 8, 8)] * 2
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(3, 299, 299), (1, 1, 299, 299)])
def test_other_shapes_are_refused(network: InceptionFID, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="Inception takes"):
        network(torch.zeros(shape))
