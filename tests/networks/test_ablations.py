"""The network variants of the paper's ablation: each works on every path, and the defaults are what they were."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks import idn
from mfs_lib.networks.adain import Adapted, AdaptiveInstanceNorm, StaticAdaIN
from mfs_lib.networks.depthwise import Backend
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.injection import layer_channels
from mfs_lib.networks.learned_kernels import LearnedKernels
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig, StaticSwapper
from mfs_lib.networks.plain_pointwise import PlainPointwise
from mfs_lib.networks.simswap import inject
from tests.networks.conftest import SMALL, random_identities, randomise_norms

VARIANTS = {
    "learned": "{depthwise: learned}",
    "adain": "{pointwise: adain}",
    "learned-adain": "{depthwise: learned, pointwise: adain}",
    "plain": "{pointwise: plain}",
    "autoencoder": "{architecture: autoencoder}",
    "no-fusion": "{fusion_mask: false}",
    "learned-adain-autoencoder-no-fusion": (
        "{depthwise: learned, pointwise: adain, architecture: autoencoder, fusion_mask: false}"
    ),
    "plain-compact": "{pointwise: plain, predictor_input: embedding, predictor_width: 6, code_dim: 4}",
    "adain-first-skip": "{pointwise: adain, first_skip: true, plus_one: false, mask_upsampling: once}",
}
every_variant = pytest.mark.parametrize("name", VARIANTS)


# Common kernels keep the signal of an untrained network up.
LIVELY = dataclasses.replace(SMALL, kernel_base=True)


def configured(name: str) -> MobileFaceSwapConfig:
    """The small network with the options of one line of YAML."""
    return MobileFaceSwapConfig.from_dict({**LIVELY.to_dict(), **yaml.safe_load(VARIANTS[name])})


def built(name: str) -> MobileFaceSwap:
    """An untrained variant in which identity and target count: statistics of its own features, stronger predictions."""
    torch.manual_seed(2)
    model = MobileFaceSwap(configured(name))
    randomise_norms(model)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.mul_(3 if ".style." in key or ".head." in key else 1)
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None  # the average of all batches, and there is one
        model.train()(torch.rand(8, 3, 64, 64), random_identities(8, config=model.config, seed=3))
    return model.eval()


def one(identity: IdentityFeatures, index: int) -> IdentityFeatures:
    return IdentityFeatures(identity.embedding[index : index + 1], identity.feature_map[index : index + 1])


@every_variant
@torch.no_grad()
def test_specialised_network_is_the_same_function(name: str) -> None:
    model = built(name)
    identity, target = random_identities(3, config=model.config), torch.rand(3, 3, 64, 96)
    batched = model(target, identity)
    for i in range(3):
        static = model.specialise(one(identity, i))
        for expected, got in zip(batched, static(target[i : i + 1]), strict=True):
            torch.testing.assert_close(got, expected[i : i + 1], rtol=0, atol=2e-5)
        # another picture has other statistics: what is baked may not depend on them
        brighter = 0.3 + 0.5 * target[i : i + 1]
        expected = model(brighter, one(identity, i)).result
        torch.testing.assert_close(static(brighter).result, expected, rtol=0, atol=2e-5)


@every_variant
def test_specialised_network_is_plain_and_leaves_the_model_alone(name: str) -> None:
    model = built(name).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    static = model.specialise(random_identities(1, config=model.config))
    leaves = [m for m in static.modules() if not list(m.children()) and list(m.parameters())]
    assert all(isinstance(leaf, nn.Conv2d | nn.BatchNorm2d | nn.InstanceNorm2d) for leaf in leaves)
    norms = sum(isinstance(leaf, nn.InstanceNorm2d) for leaf in leaves)
    assert norms == (9 if model.config.pointwise == "adain" else 0)
    assert model.training and model.iin.training and not static.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    with pytest.raises(InputError, match="one identity"):
        model.specialise(random_identities(2, config=model.config))


@every_variant
@torch.no_grad()
def test_one_identity_serves_many_targets_and_weights_can_be_selected(name: str) -> None:
    model = built(name)
    identity, target = random_identities(3, config=model.config), torch.rand(3, 3, 64, 64)
    weights = model.inject(identity)
    assert len(weights) == 3 and len(weights[-1]) == len(weights[:1]) == 1 and len(weights[3:]) == 0
    shared = model.apply_weights(target, weights[1]).result
    torch.testing.assert_close(shared, model(target, one(identity, 1)).result, rtol=0, atol=2e-5)
    repeated = model.apply_weights(target, weights[torch.tensor([1, 1, 1])])
    torch.testing.assert_close(shared, repeated.result, rtol=0, atol=2e-5)
    chosen = model.apply_weights(target[:2], weights[torch.tensor([2, 0])]).result
    for row, index in enumerate((2, 0)):
        alone = model.apply_weights(target[row : row + 1], weights[index]).result
        torch.testing.assert_close(chosen[row : row + 1], alone, rtol=0, atol=2e-5)
    with pytest.raises(InputError, match="3 identities for 2 targets"):
        model.apply_weights(target[:2], weights)


@every_variant
@torch.no_grad()
def test_identity_and_target_change_the_output(name: str) -> None:
    model = built(name)
    config = model.config
    identity, other = (random_identities(2, config=config, seed=s) for s in (0, 9))
    target = torch.rand(2, 3, 64, 64)
    raw = model(target, identity).raw
    assert (raw - model(target, other).raw).abs().mean() > 2e-2
    assert (raw - model(1 - target, identity).raw).abs().mean() > 2e-3
    # Who the source is enters by the ways that the options leave open, and by no other.
    by_embedding = model(target, IdentityFeatures(other.embedding, identity.feature_map)).raw
    by_map = model(target, IdentityFeatures(identity.embedding, other.feature_map)).raw
    reads_embedding = config.pointwise != "plain" or config.predictor_input == "embedding"
    reads_map = bool(config.code_dim) or (config.depthwise == "predicted" and config.predictor_input == "feature_map")
    assert torch.equal(raw, by_embedding) != reads_embedding
    assert torch.equal(raw, by_map) != reads_map


@every_variant
def test_every_parameter_is_trained(name: str) -> None:
    model = built(name).train()
    identity, target = random_identities(4, config=model.config), torch.rand(4, 3, 64, 64)
    levels: list[Tensor] = []
    output = model.apply_weights(target, model.inject(identity), levels=levels)
    (output.result.square().mean() + output.raw.sin().mean()).backward()
    gradients = {key: p.grad for key, p in model.named_parameters()}
    assert [key for key, grad in gradients.items() if grad is None or not grad.isfinite().all()] == []
    # A bias before a batch normalisation is the one thing that may not matter.
    still = [key for key, grad in gradients.items() if not grad.abs().max() > 0 and not key.endswith("bias")]  # type: ignore[union-attr]
    assert still == []
    assert [tuple(x.shape[1:]) for x in levels] == [(10, 4, 4), (8, 8, 8), (6, 16, 16), (4, 32, 32)]


@every_variant
def test_backends_are_the_same_function(name: str) -> None:
    model = built(name).double()
    identity = IdentityFeatures(*(v.double().requires_grad_() for v in random_identities(2, config=model.config)))
    target = torch.rand(2, 3, 64, 96, dtype=torch.float64, requires_grad=True)

    def run(backend: Backend) -> list[Tensor]:
        model.use_backend(backend)
        levels: list[Tensor] = []
        out = model.apply_weights(target, model.inject(identity), levels=levels)
        loss = out.result.square().sum() + out.raw.sin().sum() + out.mask.sum() + levels[0].sum()
        return [*out, *levels, *torch.autograd.grad(loss, [target, *model.parameters()])]

    for expected, got in zip(run("reference"), run("matmul"), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8)


@torch.no_grad()
def test_learned_kernels_are_shared_and_not_copied() -> None:
    model = built("learned")
    weights = model.inject(random_identities(5))
    assert isinstance(model.iin.predictor, LearnedKernels)
    parameters = [*model.iin.predictor.encoder, *model.iin.predictor.decoder]
    layers = [*weights.encoder, *weights.decoder]
    assert [layer.depthwise.data_ptr() for layer in layers] == [p.data_ptr() for p in parameters]
    assert [tuple(p.shape) for p in parameters] == [
        *((1, c, 4, 4) for c in (3, 4, 6, 8, 10)), *((1, c, 3, 3) for c in (12, 20, 16, 12)),
    ]  # fmt: skip
    assert all(layer.identities == 5 for layer in layers)


@torch.no_grad()
def test_plain_layer_is_an_ordinary_convolution() -> None:
    torch.manual_seed(0)
    layer, x = PlainPointwise(inputs=5, outputs=7), torch.randn(2, 5, 4, 3)
    plain = layer(torch.randn(2, 16))
    torch.testing.assert_close(plain.run(x), torch.einsum("oi,bihw->bohw", layer.weight[:, :, 0, 0], x))
    kernel = torch.randn(2, 5, 3, 3)
    assert plain.fold(kernel) is kernel


@torch.no_grad()
def test_adain_is_simswaps_after_a_pointwise_layer() -> None:
    torch.manual_seed(0)
    layer, x = AdaptiveInstanceNorm(inputs=5, outputs=7, embedding_dim=16), torch.randn(3, 5, 8, 6)
    embedding = functional.normalize(torch.randn(3, 16), dim=1)
    adapted: Adapted = layer(embedding)
    y = adapted.run(x)
    style = layer.style(embedding).view(3, 2, 7)
    torch.testing.assert_close(y, inject(functional.conv2d(x, layer.weight), style))
    # Whatever comes in, each channel leaves with the identity's mean and deviation.
    torch.testing.assert_close(y.mean((2, 3)), style[:, 1], rtol=0, atol=1e-5)
    torch.testing.assert_close(y.std((2, 3), correction=0), (style[:, 0] + 1).abs(), rtol=1e-4, atol=1e-5)
    static = nn.Sequential(nn.Conv2d(5, 7, 1, bias=False), StaticAdaIN(7))
    adapted.select(slice(2, 3)).write(static)
    torch.testing.assert_close(static(x[2:]), y[2:])


@torch.no_grad()
def test_adain_wants_more_than_one_place() -> None:
    model = built("adain")
    identity = random_identities(1, config=model.config)
    for network in (lambda x: model(x, identity), model.specialise(identity)):
        with pytest.raises(InputError, match="64 or more"):
            network(torch.rand(1, 3, 32, 32))
        assert network(torch.rand(1, 3, 32, 64)).result.isfinite().all()


@pytest.mark.parametrize("architecture", ["unet", "autoencoder"])
@torch.no_grad()
def test_an_autoencoder_knows_the_target_by_its_deepest_features_alone(architecture: str) -> None:
    torch.manual_seed(0)
    config = MobileFaceSwapConfig.from_dict({**SMALL.to_dict(), "architecture": architecture})
    model = MobileFaceSwap(config).eval()
    identity, target = random_identities(1), torch.rand(2, 3, 64, 64)
    nn.init.zeros_(model.iin.encoder_modulation[-1].weight)  # type: ignore[arg-type]
    for network in (lambda x: model(x, identity), model.specialise(identity)):
        raw = network(target).raw
        assert torch.equal(raw[0], raw[1]) == (architecture == "autoencoder")


def test_an_autoencoders_decoder_reads_half_as_much() -> None:
    encoder, decoder = layer_channels((32, 64, 128, 256, 512), architecture="autoencoder")
    assert encoder == layer_channels((32, 64, 128, 256, 512))[0]
    assert decoder == ((512, 256), (256, 128), (128, 64), (64, 32))


@torch.no_grad()
def test_without_fusion_the_result_is_the_raw_image() -> None:
    model = built("no-fusion")
    identity, target = random_identities(2), torch.rand(2, 3, 64, 96)
    for output in (model(target, identity), model.specialise(one(identity, 0))(target)):
        assert torch.equal(output.result, output.raw)
        assert torch.equal(output.mask, torch.ones(2, 1, 64, 96))
    assert not [key for key in model.state_dict() if key.startswith("fusion.")]
    fused = built("learned")
    assert not torch.equal(*fused(target, identity)[:2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depthwise": "learned", "pointwise": "plain"}, "no way into the network"),
        ({"pointwise": "plain", "code_dim": 4}, "nothing reads the code"),
        ({"architecture": "autoencoder", "first_skip": True}, "no skip connections"),
        ({"depthwise": "fixed"}, "depthwise must be one of"),
        ({"pointwise": "spade"}, "pointwise must be one of"),
        ({"architecture": "resnet"}, "architecture must be one of"),
    ],
)
def test_options_that_make_no_network(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MobileFaceSwapConfig.from_dict(options)


@every_variant
def test_variants_survive_a_file_and_old_headers_mean_the_full_method(name: str) -> None:
    config = configured(name)
    assert MobileFaceSwapConfig.from_dict(config.to_dict()) == config != LIVELY
    state = built(name).state_dict()
    again = MobileFaceSwap(config)
    again.load_state_dict(state)
    old = {
        k: v for k, v in SMALL.to_dict().items() if k not in ("depthwise", "pointwise", "architecture", "fusion_mask")
    }
    assert MobileFaceSwapConfig.from_dict(old) == SMALL


@pytest.mark.parametrize("options", ["{depthwise: learned}", "{pointwise: adain}", "{pointwise: plain}"])
def test_signal_keeps_its_size_at_the_start(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    sizes = {"embedding_dim": 128, "feature_channels": 64, "predictor_width": 32, "kernel_base": True}
    config = MobileFaceSwapConfig.from_dict({**sizes, **yaml.safe_load(options)})
    recorded: list[float] = []
    original = idn.injected_layer

    def watched(x: Tensor, *args: object, **kwargs: object) -> Tensor:
        y = original(x, *args, **kwargs)  # type: ignore[arg-type]
        recorded.append(float(y.std()))
        return y

    monkeypatch.setattr(idn, "injected_layer", watched)
    signal = functional.interpolate(torch.randn(4, 3, 8, 8), size=128, mode="bilinear", align_corners=True)
    with torch.no_grad():
        MobileFaceSwap(config)((signal / signal.std() + 1) / 2, random_identities(4, config=config))
    assert len(recorded) == 9
    assert all(0.1 <= size <= 10 for size in recorded), recorded


def wave(*shape: int, phase: float = 0.0) -> Tensor:
    """Numbers that are the same on every machine."""
    return torch.sin(0.7 * torch.arange(torch.Size(shape).numel(), dtype=torch.float64) + phase).view(shape)


def layout(model: nn.Module) -> tuple[int, str]:
    """How many entries a state dict has, and a digest of their names, order and shapes."""
    lines = "\n".join(f"{key} {tuple(value.shape)}" for key, value in model.state_dict().items())
    return len(model.state_dict()), hashlib.sha256(lines.encode()).hexdigest()[:16]


COMPACT = {
    "first_skip": True, "predictor_width": 6, "kernel_base": True, "code_dim": 4, "mask_upsampling": "once",
    "predictor_input": "embedding",
}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "means", "levels", "layouts"),
    [
        (
            {}, (0.524055074754, 0.535652897762, 0.725473513758),
            (36272.83097, 203955.5366, 950570.5863, 849183.4181), ((185, "f9f67b07dc1c4bf7"), (81, "d5c2e8c77ed45e58")),
        ),
        (
            COMPACT, (0.252998397551, 0.161065330515, 0.724834583215),
            (78.05512215, 105.0714277, 225.0375154, 125.4419341), ((203, "e672b48070286869"), (81, "ef7996ff454e5c70")),
        ),
    ],
)  # fmt: skip
@torch.no_grad()
def test_the_full_method_is_what_it_was_before_there_were_variants(
    options: dict[str, object],
    means: tuple[float, ...],
    levels: tuple[float, ...],
    layouts: tuple[tuple[int, str], ...],
) -> None:
    """The numbers were written down by the code without these options."""
    model = MobileFaceSwap(dataclasses.replace(SMALL, **options)).eval().double()  # type: ignore[arg-type]
    for i, (key, value) in enumerate(model.state_dict().items()):
        if not key.endswith("num_batches_tracked"):
            new = wave(*value.shape, phase=i) * (value[0].numel() if value.ndim > 1 else 1) ** -0.5
            value.copy_(1 + 0.5 * new.abs() if key.endswith("running_var") else new)
    identity = IdentityFeatures(functional.normalize(wave(2, 16), dim=1), wave(2, 20, 7, 7, phase=1))
    features: list[Tensor] = []
    output = model.apply_weights((1 + wave(2, 3, 64, 64, phase=2)) / 2, model.inject(identity), levels=features)
    assert [float(x.mean()) for x in output] == pytest.approx(means, rel=1e-7)
    assert [float(x.std()) for x in features] == pytest.approx(levels, rel=1e-7)
    assert layouts == (layout(model), layout(model.specialise(one(identity, 0))))


def test_the_releases_state_dicts_are_what_they_were() -> None:
    with torch.device("meta"):
        assert layout(MobileFaceSwap()) == (185, "a840e3cd76ca2642")
        assert layout(StaticSwapper()) == (81, "6b0b59ab4b857d41")
        assert layout(StaticSwapper(declare_biases=True)) == (99, "739ce205ff0419ea")
