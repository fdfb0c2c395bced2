"""The assembled model: batched injection against baked weights, options, gradients, sizes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks import idn
from mfs_lib.networks.depthwise import Backend
from mfs_lib.networks.identity import IdentityFeatures, IdentityNetwork
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.networks.modulation import WeightModulation
from tests.networks.conftest import SMALL, random_identities, randomise_norms


class ConvolutionCounter(TorchDispatchMode):
    """Counts the convolutions that are run while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.calls += func.overloadpacket in (torch.ops.aten.convolution, torch.ops.aten.mkldnn_convolution)
        return func(*args, **(kwargs or {}))


def one(identity: IdentityFeatures, index: int) -> IdentityFeatures:
    return IdentityFeatures(identity.embedding[index : index + 1], identity.feature_map[index : index + 1])


@torch.no_grad()
def test_specialised_network_is_the_same_function(small_model: MobileFaceSwap) -> None:
    identity, target = random_identities(3), torch.rand(3, 3, 64, 96)
    batched = small_model(target, identity)
    for i in range(3):
        static = small_model.specialise(one(identity, i))
        for expected, got in zip(batched, static(target[i : i + 1]), strict=True):
            torch.testing.assert_close(got, expected[i : i + 1], rtol=0, atol=1e-5)


@torch.no_grad()
def test_specialised_network_at_full_width() -> None:
    torch.manual_seed(3)
    config = MobileFaceSwapConfig(
        embedding_dim=128, feature_channels=64, predictor_width=32, kernel_base=True, kernel_scale=0.3, code_dim=16
    )
    model = MobileFaceSwap(config).eval()
    randomise_norms(model)
    identity, target = random_identities(2, config=config), torch.rand(2, 3, 128, 128)
    batched = model(target, identity)
    static = model.specialise(one(identity, 1))
    for expected, got in zip(batched, static(target[1:]), strict=True):
        torch.testing.assert_close(got, expected[1:], rtol=0, atol=1e-5)


@torch.no_grad()
def test_specialised_network_keeps_the_first_skip() -> None:
    torch.manual_seed(4)
    model = MobileFaceSwap(dataclasses.replace(SMALL, first_skip=True)).eval()
    randomise_norms(model)
    identity, target = random_identities(1, config=model.config), torch.rand(1, 3, 64, 64)
    expected = model(target, identity)
    torch.testing.assert_close(model.specialise(identity)(target).raw, expected.raw, rtol=0, atol=1e-5)
    plain = MobileFaceSwap(SMALL).eval()
    own = plain.state_dict()
    plain.load_state_dict({k: v if v.shape == own[k].shape else own[k] for k, v in model.state_dict().items()})
    assert (plain(target, identity).raw - expected.raw).abs().max() > 1e-3


@torch.no_grad()
def test_a_mask_that_grows_once_is_coarse_and_can_be_specialised() -> None:
    torch.manual_seed(5)
    model = MobileFaceSwap(dataclasses.replace(SMALL, mask_upsampling="once")).eval()
    randomise_norms(model)
    identity, target = random_identities(1), torch.rand(2, 3, 64, 64)
    output = model(target, identity)
    torch.testing.assert_close(model.specialise(identity)(target).mask, output.mask, rtol=0, atol=1e-6)
    logits = torch.logit(output.mask.double())
    # Two coarse pixels a side, enlarged 32 times: outer quarters are flat, between them every line is straight.
    assert logits[:, :, :16].sub(logits[:, :, :1]).abs().max() < 1e-3
    assert logits[:, :, 16:48].diff(n=2, dim=2).abs().max() < 1e-3 < logits[:, :, 16:48].diff(dim=2).abs().max()
    features = 1000 * torch.randn(2, SMALL.channels[-1], 2, 2)  # narrow layers let little through
    assert (model.fusion(features)[0] - model.fusion(features)[1]).abs().max() > 1e-3
    model.use_backend("matmul")
    assert torch.equal(model(target, identity).mask, output.mask)


def test_specialised_network_is_plain_and_leaves_the_model_alone(small_model: MobileFaceSwap) -> None:
    small_model.train()
    before = {name: value.clone() for name, value in small_model.state_dict().items()}
    static = small_model.specialise(random_identities(1))
    plain = (nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU)
    leaves = [m for m in static.modules() if not list(m.children()) and list(m.parameters())]
    assert all(isinstance(leaf, plain) for leaf in leaves)
    assert small_model.training and small_model.iin.training and not static.training
    assert all(torch.equal(before[name], value) for name, value in small_model.state_dict().items())


def test_specialise_wants_one_identity(small_model: MobileFaceSwap) -> None:
    with pytest.raises(InputError, match="one identity"):
        small_model.specialise(random_identities(2))


@torch.no_grad()
def test_one_pass_replaces_a_loop_over_identities(small_model: MobileFaceSwap) -> None:
    identity, target = random_identities(16), torch.rand(16, 3, 32, 32)
    with ConvolutionCounter() as batched:
        together = small_model(target, identity).result
    with ConvolutionCounter() as looped:
        parts = [small_model(target[i : i + 1], one(identity, i)).result for i in range(16)]
    torch.testing.assert_close(together, torch.cat(parts), rtol=0, atol=1e-5)
    assert batched.calls > 0
    assert looped.calls >= 5 * batched.calls


@torch.no_grad()
def test_one_identity_serves_many_targets(small_model: MobileFaceSwap) -> None:
    identity, target = random_identities(1), torch.rand(4, 3, 32, 32)
    shared = small_model(target, identity).result
    repeated = IdentityFeatures(identity.embedding.repeat(4, 1), identity.feature_map.repeat(4, 1, 1, 1))
    torch.testing.assert_close(shared, small_model(target, repeated).result, rtol=0, atol=1e-5)


@torch.no_grad()
def test_weights_can_be_selected(small_model: MobileFaceSwap) -> None:
    weights, target = small_model.inject(random_identities(3)), torch.rand(2, 3, 32, 32)
    assert len(weights) == 3 and len(weights[-1]) == 1
    chosen = small_model.apply_weights(target, weights[torch.tensor([2, 0])]).result
    for row, index in enumerate((2, 0)):
        alone = small_model.apply_weights(target[row : row + 1], weights[index]).result
        torch.testing.assert_close(chosen[row : row + 1], alone, rtol=0, atol=1e-5)


def test_wrong_numbers_of_identities_and_sizes(small_model: MobileFaceSwap) -> None:
    with pytest.raises(InputError, match="2 identities for 3 targets"):
        small_model(torch.rand(3, 3, 32, 32), random_identities(2))
    for shape in ((1, 3, 100, 96), (1, 1, 32, 32), (3, 32, 32)):
        with pytest.raises(InputError, match="multiples of 32"):
            small_model(torch.rand(*shape), random_identities(1))
    with pytest.raises(InputError, match="112"):
        IdentityNetwork(layers=(1, 1, 1, 1))(torch.rand(1, 3, 128, 128))


@pytest.mark.parametrize("plus_one", [True, False])
def test_demodulation_matches_the_written_equation(plus_one: bool) -> None:
    torch.manual_seed(0)
    modulation = WeightModulation(inputs=7, outputs=5, embedding_dim=6, plus_one=plus_one).double()
    embedding = torch.randn(4, 6, dtype=torch.float64)
    baked = modulation(embedding).baked()
    for b in range(4):
        s = modulation.style.weight @ embedding[b] + modulation.style.bias
        w = modulation.weight[:, :, 0, 0] * (s + 1 if plus_one else s)
        expected = w / (w.square().sum(dim=1, keepdim=True) + 1e-16).sqrt()
        torch.testing.assert_close(baked[b, :, :, 0, 0], expected)


def test_embedding_alone_can_drive_the_predictor() -> None:
    config = dataclasses.replace(SMALL, predictor_input="embedding")
    model = MobileFaceSwap(config).eval()
    identity, other = random_identities(2, config=config), random_identities(2, config=config, seed=9)
    same_embedding = IdentityFeatures(identity.embedding, other.feature_map)
    target = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        result = model(target, identity).raw
        assert torch.equal(result, model(target, same_embedding).raw)
        assert not torch.allclose(result, model(target, other).raw, atol=1e-6)


@torch.no_grad()
def test_a_code_brings_the_feature_map_to_the_modulation() -> None:
    config = dataclasses.replace(SMALL, code_dim=5)
    model = MobileFaceSwap(config).eval()
    identity, other = random_identities(2, config=config), random_identities(2, config=config, seed=9)
    weights = [model.inject(IdentityFeatures(identity.embedding, who.feature_map)) for who in (identity, other)]
    first, second = (w.encoder[0].pointwise.scale for w in weights)
    assert not torch.allclose(first, second, atol=1e-4)
    style = model.iin.style(identity)
    assert torch.equal(style[:, :-5], identity.embedding)
    torch.testing.assert_close(style[:, -5:].norm(dim=1), torch.ones(2))
    assert torch.equal(MobileFaceSwap(SMALL).iin.style(identity), identity.embedding)


@torch.no_grad()
def test_levels_are_the_decoders_features(small_model: MobileFaceSwap) -> None:
    identity, target = random_identities(2), torch.rand(2, 3, 64, 64)
    levels: list[Tensor] = []
    with_levels = small_model.apply_weights(target, small_model.inject(identity), levels=levels)
    assert torch.equal(with_levels.raw, small_model(target, identity).raw)
    assert [tuple(x.shape[1:]) for x in levels] == [
        (c, s, s) for c, s in zip(small_model.config.channels[-2::-1], (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("detach", [True, False])
def test_mask_head_gradient_into_the_encoder(detach: bool) -> None:
    model = MobileFaceSwap(dataclasses.replace(SMALL, detach_mask_input=detach)).eval()
    model(torch.rand(2, 3, 64, 64), random_identities(2)).mask.sum().backward()
    touched = model.iin.encoder_modulation[0].weight.grad  # type: ignore[union-attr]
    assert (touched is None) == detach
    assert all(p.grad is not None for p in model.fusion.parameters())


def test_every_parameter_is_trained() -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, predictor_width=6, kernel_base=True, code_dim=4)
    model = MobileFaceSwap(config).train()
    output = model(torch.rand(4, 3, 64, 64), random_identities(4, config=config))
    (output.result.square().mean() + output.raw.mean()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@torch.no_grad()
def test_output_is_the_composite(small_model: MobileFaceSwap) -> None:
    target = torch.rand(2, 3, 32, 64)
    out = small_model(target, random_identities(2))
    assert out.raw.shape == target.shape and out.mask.shape == (2, 1, 32, 64)
    assert all(float(v.min()) >= 0 and float(v.max()) <= 1 for v in out)
    torch.testing.assert_close(out.result, out.raw * out.mask + (1 - out.mask) * target)


@pytest.mark.parametrize("kind", ["rough", "smooth"])
def test_signal_keeps_its_size_at_the_start(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    config = MobileFaceSwapConfig(embedding_dim=128, feature_channels=64, predictor_width=32, kernel_base=True)
    model = MobileFaceSwap(config)
    noise = torch.randn(4, 3, 128, 128) if kind == "rough" else torch.randn(4, 3, 4, 4)
    signal = nn.functional.interpolate(noise, size=128, mode="bilinear", align_corners=True)
    sizes: list[float] = []
    original = idn.injected_layer

    def recorded(x: Tensor, *args: object, **kwargs: object) -> Tensor:
        y = original(x, *args, **kwargs)  # type: ignore[arg-type]
        sizes.append(float(y.std()))
        return y

    monkeypatch.setattr(idn, "injected_layer", recorded)
    with torch.no_grad():
        model((signal / signal.std() + 1) / 2, random_identities(4, config=config))
    assert len(sizes) == 9
    assert all(0.1 <= size <= 10 for size in sizes), sizes


def test_config_round_trip_and_errors() -> None:
    config = dataclasses.replace(SMALL, predictor_width=8, kernel_base=True, predictor_input="embedding")
    assert MobileFaceSwapConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match="unknown network options"):
        MobileFaceSwapConfig.from_dict({"chanels": [1]})
    for wrong in (
        {"channels": [1, 2]},
        {"feature_size": 3},
        {"predictor_input": "z"},
        {"predictor_width": 0},
        {"mask_upsampling": "twice"},
    ):
        with pytest.raises(ConfigError):
            MobileFaceSwapConfig.from_dict(wrong)


def test_backends_are_the_same_function(small_model: MobileFaceSwap) -> None:
    model = small_model.double()
    identity = IdentityFeatures(*(v.double().requires_grad_() for v in random_identities(2)))
    target = torch.rand(2, 3, 64, 32, dtype=torch.float64, requires_grad=True)

    def run(name: Backend) -> list[Tensor]:
        model.use_backend(name)
        inputs = [target, *identity, *model.parameters()]
        out = model(target, identity)
        loss = out.result.square().sum() + out.raw.sin().sum() + out.mask.sum()
        return [*out, *torch.autograd.grad(loss, inputs)]

    for expected, got in zip(run("reference"), run("matmul"), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_backends_share_one_identity_and_specialise(small_model: MobileFaceSwap) -> None:
    identity, target = random_identities(1), torch.rand(3, 3, 32, 64)
    expected = small_model(target, identity).result
    small_model.use_backend("matmul")
    torch.testing.assert_close(small_model(target, identity).result, expected, rtol=0, atol=1e-5)
    static = small_model.specialise(identity)
    assert static.fusion.backend == "reference"
    torch.testing.assert_close(static(target).result, expected, rtol=0, atol=1e-5)


def test_unknown_backend(small_model: MobileFaceSwap) -> None:
    with pytest.raises(ConfigError, match="backend"):
        small_model.use_backend("fast")  # type: ignore[arg-type]
