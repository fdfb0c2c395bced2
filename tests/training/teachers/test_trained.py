"""Teachers from files: what was written is read back and swaps the same; damaged or foreign files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.errors import AssetError, ConfigError, InputError
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.networks.faceshifter import AEINetConfig
from mfs_lib.networks.faceshifter_aad import AADOptions
from mfs_lib.networks.simswap import SimSwapGenerator
from mfs_lib.training.teachers import generators
from mfs_lib.training.teachers.generators import GeneratorConfig, SimSwapConfig, build_generator, render
from mfs_lib.training.teachers.trained import load_trained, save_teacher
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.safe_io import load_weights, save_weights

SIMSWAP = SimSwapConfig(width=2, blocks=1, embedding_dim=128)
SHIFTER = AEINetConfig(aad=AADOptions(id_dim=128), encoder_channels=(4,) * 4, hidden_channels=(4,) * 5)
BOTH = pytest.mark.parametrize("config", [SIMSWAP, SHIFTER], ids=["simswap", "faceshifter"])


def _faces(size: int, seed: int = 0) -> Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


def _identities() -> Tensor:
    return F.normalize(torch.randn(2, 128, generator=torch.Generator().manual_seed(1)), dim=1)


@BOTH
def test_a_teacher_comes_back_from_its_file(config: GeneratorConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, path = build_generator(config), tmp_path / "teacher.safetensors"
    save_teacher(path, network, config, crop_size=32, progress=0.25, metadata={"seed": "7"})
    teacher = load_trained(path)
    assert (teacher.config, teacher.crop_size, teacher.progress) == (config, 32, 0.25)
    assert teacher.metadata["seed"] == "7" and teacher.metadata["teacher"] == generators.kind_of(config)
    target, z = _faces(32), _identities()
    result = teacher.swap(None, target, embedding=z)
    with torch.no_grad():
        expected = render(network.eval(), target, z)
    torch.testing.assert_close(result, expected)
    assert not result.requires_grad and not teacher.network.training
    assert not torch.allclose(teacher.swap(None, target, embedding=-z), result)  # identity matters
    assert not torch.allclose(teacher.swap(None, target.flip(3), embedding=z), result)  # and so does the target


def test_other_sizes_are_resized_and_sources_are_described(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    save_teacher(path, build_generator(SHIFTER), SHIFTER, crop_size=32, progress=1.0)
    teacher, source, target = load_trained(path), _faces(64, 3), _faces(64)
    with torch.no_grad():
        z = load_sface()(arcface_view(source)).embedding
    result = teacher.swap(source, target)
    assert result.shape == (2, 3, 64, 64) and float(result.min()) >= 0 and float(result.max()) <= 1
    torch.testing.assert_close(result, teacher.swap(None, target, embedding=z))
    small = teacher.swap(None, F.avg_pool2d(target, 2), embedding=z)
    torch.testing.assert_close(result, F.interpolate(small, size=(64, 64), mode="bilinear"))


def test_what_it_needs_must_be_there_and_fit(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    save_teacher(path, build_generator(SIMSWAP), SIMSWAP, crop_size=32, progress=1.0)
    teacher = load_trained(path)
    with pytest.raises(InputError, match="source_face"):
        teacher.swap(None, _faces(32))
    with pytest.raises(InputError, match=r"\(2,128\)"):
        teacher.swap(None, _faces(32), embedding=_identities()[:1])
    with pytest.raises(InputError, match="square RGB"):
        teacher.swap(None, _faces(32)[0], embedding=_identities())


@pytest.mark.parametrize(
    "changed",
    [
        {"teacher": "hififace"},
        {"teacher": None},
        {"config": "no json"},
        {"config": json.dumps({"width": 4, "blocks": 1, "embedding_dim": 128})},
        {"config": json.dumps({"widht": 2})},
        {"crop_size": "33"},
        {"progress": "1.5"},
        {"progress": "nan"},
    ],
)
def test_files_that_are_no_teachers_are_refused(changed: dict[str, str | None], tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    save_teacher(path, build_generator(SIMSWAP), SIMSWAP, crop_size=32, progress=1.0)
    state, header = load_weights(path)
    merged = {**header, **changed}
    save_weights(path, state, {k: v for k, v in merged.items() if v is not None})
    with pytest.raises(AssetError, match=r"teacher\.safetensors"):
        load_trained(path)


def test_configurations_survive_json() -> None:
    for config in (SIMSWAP, SHIFTER, SimSwapConfig(), AEINetConfig.maum_ai()):
        kind = generators.kind_of(config)
        plain = json.loads(json.dumps(generators.plain_config(config)))
        assert generators.generator_config(kind, plain) == config
    with pytest.raises(ConfigError, match="layers"):
        generators.generator_config("faceshifter", {"layers": 3})
    with pytest.raises(ConfigError, match="mapping"):
        generators.generator_config("faceshifter", 3)  # type: ignore[arg-type]


def test_sizes_and_defaults_are_the_networks_own() -> None:
    assert [generators.fits_size(SIMSWAP, s) for s in (8, 16, 32, 36)] == [False, True, True, False]
    assert not generators.fits_size(SimSwapConfig(deep=True), 24)
    assert [generators.fits_size(SHIFTER, s) for s in (16, 32, 64)] == [False, True, False]
    with torch.device("meta"):
        made, own = build_generator(SimSwapConfig()).state_dict(), SimSwapGenerator().state_dict()
    assert {k: v.shape for k, v in made.items()} == {k: v.shape for k, v in own.items()}
    assert generators.identity_size(SHIFTER) == generators.identity_size(SIMSWAP) == 128
