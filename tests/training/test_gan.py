"""Training teachers: draws, losses and their reach, exact resuming, and what a run leaves behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from mfs_lib.errors import ConfigError
from mfs_lib.networks.sface import SFace
from mfs_lib.training import gan, gan_data
from mfs_lib.training.gan import GanTrainer
from mfs_lib.training.gan_config import GanLossConfig, gan_experiment_from_dict
from mfs_lib.training.gan_data import Faces, prepare_faces
from mfs_lib.training.prepare import Watched
from mfs_lib.training.teachers import load_teacher
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.safe_io import load_weights

WATCHED = 4
COMMON: dict[str, Any] = {
    "seed": 5, "data": {"size": 32, "people": 6}, "batch": 3, "identity_samples": 1, "steps": 4, "checkpoints": 2,
    "discriminator": {"channels": [4, 8], "strided": 2, "norm": "none", "spectral": True}, "match_from": 1,
}  # fmt: skip
TINY: dict[str, dict[str, Any]] = {
    "simswap": {**COMMON, "network": {"width": 2, "blocks": 1, "embedding_dim": 128}},
    "faceshifter": {
        **COMMON, "teacher": "faceshifter", "same": 0.5, "loss": {"penalty": 0.1},
        "network": {"aad": {"id_dim": 128}, "encoder_channels": [4] * 4, "hidden_channels": [4] * 5},
    },
}  # fmt: skip

Data = tuple[Faces, Watched]


@pytest.fixture(scope="module")
def sface() -> SFace:
    return load_sface()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, sface: SFace) -> None:
    """Few watched pairs, and the recogniser read once for all trainers."""
    monkeypatch.setattr(gan_data, "WATCHED", WATCHED)
    monkeypatch.setattr(gan, "load_sface", lambda: sface)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan_data, "WATCHED", WATCHED)
        return prepare_faces(gan_experiment_from_dict(TINY["simswap"]), tmp_path_factory.mktemp("pools"))


def _trainer(kind: str, data: Data, folder: Path, **changed: Any) -> GanTrainer:
    return GanTrainer(gan_experiment_from_dict({**TINY[kind], **changed}), *data, folder)


def _state(trainer: GanTrainer) -> dict[str, Tensor]:
    parts = {"g": trainer.game.generator, "d": trainer.game.discriminators}
    return {f"{part}.{k}": v.clone() for part, network in parts.items() for k, v in network.state_dict().items()}


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_pictures_come_in_pairs_of_the_same_person(data: Data) -> None:
    faces, watch = data
    assert faces.pictures.shape == (12, 3, 32, 32) and faces.people == 6 and watch.target.shape == (WATCHED, 3, 32, 32)
    torch.testing.assert_close(faces.embedding.norm(dim=1), torch.ones(12))
    cosine = faces.embedding @ faces.embedding.T
    own, strangers = cosine[:6, 6:].diag().mean(), cosine[:6, 6:][~torch.eye(6, dtype=torch.bool)].mean()
    assert own > strangers + 0.1
    assert (watch.truth - watch.target).abs().mean() > 0.005


def test_sources_are_the_same_person_or_another() -> None:
    faces, generator = (
        Faces(torch.zeros(12, 3, 8, 8, dtype=torch.uint8), torch.eye(12)),
        torch.Generator().manual_seed(0),
    )
    target, same = torch.arange(12).repeat(50), (torch.arange(600) // 12) % 2 == 0
    for kind, own in (("person", (target + 6) % 12), ("picture", target)):
        source = faces.sources(target, same, kind, generator)  # type: ignore[arg-type]
        assert torch.equal(source[same], own[same])
        assert bool((source[~same] % 6 != target[~same] % 6).all())
        assert set(source[~same].tolist()) == set(range(12))
    batch = faces.draw(torch.tensor([True, False]), "person", generator)
    assert batch.target.shape == (2, 3, 8, 8) and batch.embedding.shape == (2, 12)


def test_who_is_drawn_alternates_or_is_thrown(data: Data, tmp_path: Path) -> None:
    game = _trainer("simswap", data, tmp_path).game
    generator = torch.Generator().manual_seed(0)
    batches = [game.draw(data[0], step, generator).same for step in range(8)]
    assert [bool(b.all()) for b in batches] == [False, True] * 4 and [bool(b.any()) for b in batches] == [
        False,
        True,
    ] * 4
    shifter = _trainer("faceshifter", data, tmp_path).game
    drawn = torch.cat([shifter.draw(data[0], step, generator).same for step in range(60)])
    assert 0.3 < drawn.float().mean() < 0.7


@pytest.mark.parametrize(
    ("kind", "names"),
    [("simswap", {"rec", "adv", "features", "id"}), ("faceshifter", {"rec", "adv", "attributes", "id"})],
)
def test_every_loss_teaches_the_generator_and_no_other(kind: str, names: set[str], data: Data, tmp_path: Path) -> None:
    game = _trainer(kind, data, tmp_path).game
    batch = game.draw(data[0], 1, torch.Generator().manual_seed(2))._replace(same=torch.tensor([True, True, False]))
    game.discriminators.requires_grad_(False)
    weights = GanLossConfig(features=1.0, attributes=float(kind == "faceshifter"), penalty=1.0)
    _, values = game.losses(batch, weights)
    assert set(values) == names
    for name, value in values.items():
        assert value.shape == ((1,) if name == "id" else (3,))
        slopes = torch.autograd.grad(
            value.sum(), list(game.generator.parameters()), retain_graph=True, allow_unused=True
        )
        assert sum(float(s.abs().sum()) for s in slopes if s is not None) > 0, name
    assert values["rec"][2] == 0 and values["rec"][0] > 0
    game.discriminators.requires_grad_(True)
    rivals = game.rival_losses(game.losses(batch, weights)[0], batch.target, torch.Generator(), weights)
    assert set(rivals) == {"discriminator", "penalty"}
    torch.stack([v.mean() for v in rivals.values()]).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in game.generator.parameters())
    assert any(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in game.discriminators.parameters())


def test_what_has_no_weight_is_not_computed(data: Data, tmp_path: Path) -> None:
    nothing = {"adv": 0.0, "id": 0.0, "features": 0.0, "penalty": 0.0}
    trainer = _trainer("simswap", data, tmp_path, loss=nothing)
    assert set(trainer.train_step()) == {"total"}  # strangers: nothing to reconstruct
    assert set(trainer.train_step()) == {"total", "rec"}


@pytest.mark.parametrize("kind", ["simswap", "faceshifter"])
def test_a_warm_up_only_reconstructs(kind: str, data: Data, tmp_path: Path) -> None:
    trainer = _trainer(kind, data, tmp_path, warm_up=2)
    rivals = {k: v.clone() for k, v in trainer.game.discriminators.state_dict().items()}
    assert [set(trainer.train_step()) for _ in range(2)] == [{"total", "rec"}] * 2
    assert _same(rivals, trainer.game.discriminators.state_dict())
    generator = torch.Generator().manual_seed(0)
    assert bool(torch.cat([trainer.game.draw(data[0], step, generator).same for step in (0, 1)]).all())
    assert {"total", "adv", "id", "discriminator"} <= set(trainer.train_step())


def test_normalisation_freezes_at_its_step(data: Data, tmp_path: Path) -> None:
    trainer = _trainer("simswap", data, tmp_path, freeze_norms_at=2)
    norms = [part for part in trainer.game.generator.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    means = []
    for _ in range(4):
        trainer.train_step()
        means.append(torch.cat([norm.running_mean.clone() for norm in norms if norm.running_mean is not None]))
    assert not torch.equal(means[0], means[1]) and torch.equal(means[1], means[3])
    assert not any(norm.training for norm in norms)
    assert all(norm.weight.grad is not None for norm in norms)  # their scales still learn


def test_simswap_begins_as_an_autoencoder_and_learns_who_is_meant(data: Data, tmp_path: Path) -> None:
    trainer = _trainer("simswap", data, tmp_path, warm_up=0)
    pictures, sources = data[0].pictures[:2] / 255.0, data[0].embedding
    generator = trainer.game.generator.eval()
    with torch.no_grad():
        assert torch.equal(generator(pictures, sources[:2]), generator(pictures, sources[2:4]))
    for _ in range(3):
        trainer.train_step()
    generator.eval()
    with torch.no_grad():
        assert not torch.equal(generator(pictures, sources[:2]), generator(pictures, sources[2:4]))


@pytest.mark.parametrize("kind", ["simswap", "faceshifter"])
def test_a_run_with_breaks_ends_in_the_same_bits(kind: str, data: Data, tmp_path: Path) -> None:
    straight = _trainer(kind, data, tmp_path / "straight")
    straight.fit(look_every=2)
    for steps in (1, 3):
        trainer = _trainer(kind, data, tmp_path / "broken")
        trainer.resume()
        torch.manual_seed(99)  # what else happens in a process must not matter
        for _ in range(steps):
            trainer.train_step()
            trainer.keep_checkpoint()
            if trainer.step % 2 == 0:
                trainer.look()
        trainer.save()
    assert trainer.step == straight.step == 4
    assert _same(_state(trainer), _state(straight))
    assert trainer.detector.state_dict() == straight.detector.state_dict()
    for name in ("0000002", "0000004"):
        kept = [load_weights(tmp_path / run / "checkpoints" / f"{name}.safetensors") for run in ("straight", "broken")]
        assert _same(kept[0][0], kept[1][0]) and kept[0][1] == kept[1][1]
    other = _trainer(kind, data, tmp_path / "other", seed=6)
    other.fit(look_every=4)
    assert not _same(_state(other), _state(straight))


def test_a_run_leaves_teachers_a_log_and_pictures(data: Data, tmp_path: Path) -> None:
    trainer = _trainer("simswap", data, tmp_path)
    trainer.fit(look_every=3)
    names = sorted(p.name for p in tmp_path.rglob("*") if p.is_file() and p.parent.name != "tensorboard")
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert names == [
        "0000002.safetensors", "0000004.safetensors", "log.jsonl", "samples_000003.png", "samples_000004.png",
        "state.pt", "teacher.safetensors",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 4]
    assert {"total", "rec", "id", "cos_source", "cos_target", "change", "status", "collapsed", "retrieval"} <= set(
        lines[0]
    )
    assert lines[0]["collapsed"] is False
    with Image.open(tmp_path / "samples_000004.png") as sheet:
        assert sheet.size == (32 * WATCHED, 32 * 4)
    shares = [load_teacher(str(p)).progress for p in sorted((tmp_path / "checkpoints").iterdir())]  # type: ignore[attr-defined]
    assert shares == pytest.approx([1 / 2, 1])
    watch = data[1]
    taught = load_teacher(str(tmp_path / "teacher.safetensors"))
    expected = trainer.results(watch.target, watch.source.embedding)
    torch.testing.assert_close(taught.swap(None, watch.target, embedding=watch.source.embedding), expected)


@pytest.mark.parametrize("kind", ["simswap", "faceshifter"])
def test_bfloat16_computes_the_layers_and_leaves_pictures_and_weights_alone(
    kind: str, data: Data, tmp_path: Path
) -> None:
    seen: dict[str, set[tuple[bool, torch.dtype]]] = {}
    ends = {}
    for precision in ("32-true", "bf16-mixed"):
        trainer, kinds = _trainer(kind, data, tmp_path / precision, precision=precision), set()
        game, hooks = trainer.game, []
        for learns, network in ((True, game.generator), (True, game.discriminators), (False, game.sface)):
            for layer in network.modules():
                if isinstance(layer, torch.nn.Conv2d):
                    note = lambda layer, given, made, learns=learns, kinds=kinds: kinds.add((learns, made.dtype))  # noqa: E731
                    hooks.append(layer.register_forward_hook(note))
        values = trainer.train_step() | trainer.train_step()
        assert {"rec", "id", "adv", "discriminator", "penalty"} <= set(values)
        for hook in hooks:  # the recogniser is shared
            hook.remove()
        seen[precision], ends[precision] = kinds, _state(trainer)
        pictures = trainer.results(data[1].target, data[1].source.embedding)
        assert pictures.dtype == torch.float32
        assert {v.dtype for v in _state(trainer).values() if v.is_floating_point()} == {torch.float32}
    single, half = torch.float32, torch.bfloat16
    assert seen == {"32-true": {(True, single), (False, single)}, "bf16-mixed": {(True, half), (False, single)}}
    assert not _same(ends["32-true"], ends["bf16-mixed"])
    moved = torch.cat([(ends["32-true"][k] - v).flatten() for k, v in ends["bf16-mixed"].items()])
    assert float(moved.abs().max()) < 0.05  # two steps of Adam, not another training


def test_steps_lower_the_losses_of_a_batch(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lone = {"adv": 0.0, "features": 0.0, "penalty": 0.0, "id": 2.0}
    trainer = _trainer("simswap", data, tmp_path, loss=lone, steps=40, optimiser={"lr": 1e-2})
    batch = trainer.game.draw(data[0], 1, torch.Generator().manual_seed(0))
    monkeypatch.setattr(trainer.game, "draw", lambda *_: batch)
    values = [trainer.train_step() for _ in range(20)]
    assert values[-1]["rec"] < 0.8 * values[0]["rec"] and values[-1]["id"] < values[0]["id"]
    assert values[-1]["total"] < 0.85 * values[0]["total"]
    expected = 10 * values[0]["rec"] + 2 * values[0]["id"]
    assert values[0]["total"] == pytest.approx(expected, rel=1e-4)


def test_a_generator_that_hands_back_the_target_is_flagged(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = _trainer("simswap", data, tmp_path)
    monkeypatch.setattr(trainer, "results", lambda target, embedding: target)
    for trainer.step in (1, 2, 3):
        found = trainer.look()
    assert found["collapsed"] is True and found["status"] == "collapsed"
    assert found["cos_target"] == pytest.approx(1) and found["change"] == 0 and found["error_ratio"] == 1
    monkeypatch.setattr(trainer, "results", lambda target, embedding: data[1].truth)
    trainer.step = 4
    found = trainer.look()
    assert found["status"] == "recovered" and found["error_ratio"] == 0


def test_folders_of_other_runs_are_refused(data: Data, tmp_path: Path) -> None:
    experiment = gan_experiment_from_dict(TINY["simswap"])
    prepare_faces(experiment, tmp_path)
    again, _ = prepare_faces(experiment, tmp_path)
    assert torch.equal(again.pictures, data[0].pictures) and torch.equal(again.embedding, data[0].embedding)
    with pytest.raises(ConfigError, match="other data settings"):
        prepare_faces(gan_experiment_from_dict({**TINY["simswap"], "seed": 9}), tmp_path)
    _trainer("simswap", data, tmp_path).save()
    with pytest.raises(ConfigError, match="another network"):
        _trainer("simswap", data, tmp_path, network={"width": 4, "blocks": 1, "embedding_dim": 128}).resume()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    state["random"] = state["random"].repeat(2, 1)  # as two processes leave it
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(ConfigError, match="begun by 2 processes"):
        _trainer("simswap", data, tmp_path).resume()


def test_the_command_trains_stops_in_time_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {**TINY["simswap"], "data": {"size": 32, "people": 2}, "steps": 3}
    file, run = tmp_path / "tiny.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(values))
    command = ["gan", str(file), "--run", str(run), "--look-every", "2"]
    monkeypatch.setattr(sys, "argv", [*command, "--minutes", "0"])
    gan.main()
    assert (run / "state.pt").is_file() and not (run / "teacher.safetensors").exists()
    (run / "log.jsonl").write_text('{"step": 2}\n')  # of steps after the last state: forgotten
    monkeypatch.setattr(sys, "argv", command)
    gan.main()
    assert (run / "teacher.safetensors").is_file()
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3] and len(lines[0]) > 5
