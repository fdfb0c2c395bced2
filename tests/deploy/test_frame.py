"""Every layout is the network: same image, same mask, for every shape of it."""

from __future__ import annotations

import pytest
import torch

from mfs_lib.deploy.frame import (
    GROUP,
    LAYOUTS,
    Layout,
    OpenFrame,
    SpecialisedFrame,
    WithOutputs,
    injected_weights,
    person_weights,
    specialised,
    weight_names,
)
from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.injection import layer_channels
from mfs_lib.weights.shipped import load_student
from tests.deploy.conftest import SHAPES, lively_model, lively_static, picture
from tests.networks.conftest import random_identities

REWRITTEN: tuple[Layout, ...] = ("folded", "packed")


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_the_same_function(name: str, layout: Layout) -> None:
    static = lively_static(name)
    target = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(7))
    wanted = static(target)
    raw, mask = specialised(static, layout=layout)(target)
    torch.testing.assert_close(raw, wanted.raw, atol=1e-5, rtol=0)
    torch.testing.assert_close(mask, wanted.mask, atol=1e-5, rtol=0)
    assert (wanted.result - target).abs().mean() > 0.02


@torch.no_grad()
@pytest.mark.parametrize("layout", REWRITTEN)
def test_the_trained_students_rewrites_are_exact(layout: Layout) -> None:
    student = load_student().network
    config = student.config
    static = student.specialise(random_identities(1, config=config))
    wanted = static(picture(size=128))
    raw, mask = specialised(static, layout=layout)(picture(size=128))
    # Its mask is a steep function (its logits reach far beyond ±10): the same rounding is seen through it.
    assert (raw - wanted.raw).abs().max() < 1e-5
    assert (mask - wanted.mask).abs().max() < 5e-5


@torch.no_grad()
@pytest.mark.parametrize("layout", REWRITTEN)
def test_weights_as_arguments_give_the_specialised_network(layout: Layout) -> None:
    model = lively_model()
    people = [random_identities(1, seed=seed) for seed in (0, 1)]
    frame = OpenFrame(model.specialise(people[0]), layout=layout)
    results = []
    for person in people:
        raw, mask = frame(picture(), *injected_weights(model.inject(person)))
        baked = specialised(model.specialise(person), layout=layout)(picture())
        torch.testing.assert_close((raw, mask), baked, atol=1e-5, rtol=0)
        results.append(raw)
    assert (results[0] - results[1]).abs().mean() > 1e-3


def test_names_follow_the_layers() -> None:
    static = lively_static()
    assert tuple(person_weights(static)) == weight_names(5, 4) == OpenFrame(static, layout="folded").names
    encoder, _ = layer_channels((4, 6, 8, 10, 12))
    assert person_weights(static)["encoder_1_pointwise"].shape == (encoder[1][1], encoder[1][0], 1, 1)


def test_the_last_decoder_layer_is_split_into_groups() -> None:
    static = lively_static("wide")
    sizes = [part.shape[1] for part in SpecialisedFrame(static)._encode(picture(), _pairs(static))[1]]
    assert sizes == [GROUP, GROUP, 6]


def _pairs(static: object) -> list[tuple[torch.Tensor, torch.Tensor]]:
    weights = list(person_weights(static).values())  # type: ignore[arg-type]
    return [(weights[i], weights[i + 1]) for i in range(0, 10, 2)]


def test_outputs_are_what_was_asked_for(static: torch.nn.Module) -> None:
    target = picture()
    with torch.no_grad():
        wanted = static(target)
        mask, result = WithOutputs(specialised(static), ("mask", "result"))(target)  # type: ignore[arg-type]
    torch.testing.assert_close(result, wanted.result, atol=1e-5, rtol=0)
    torch.testing.assert_close(mask, wanted.mask, atol=1e-5, rtol=0)
    for outputs in ((), ("mask", "mask"), ("face",)):
        with pytest.raises(ConfigError, match="outputs must be"):
            WithOutputs(specialised(static), outputs)  # type: ignore[arg-type]


def test_what_cannot_be_rewritten_is_refused() -> None:
    model = lively_model(pointwise="adain")
    adain = model.specialise(random_identities(1))
    with pytest.raises(ConfigError, match="layout 'released'"):
        specialised(adain)
    assert specialised(adain, layout="released")(picture())[0].shape == (1, 3, 64, 64)
    with pytest.raises(ConfigError, match="folded"):
        OpenFrame(lively_static(), layout="released")
    with pytest.raises(ConfigError, match="half-size mask"):
        specialised(lively_static(), layout="released", half_mask=True)
    with pytest.raises(ConfigError, match="modulated"):
        injected_weights(model.inject(random_identities(1)))
    with pytest.raises(InputError, match="18 weights"):
        OpenFrame(lively_static(), layout="folded")(picture(), torch.zeros(1))
