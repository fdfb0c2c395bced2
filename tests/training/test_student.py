"""The trainer: repeatable, resumable to the bit, and able to tell a student that swaps from one that doesn't."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from mfs_lib.errors import AssetError, ConfigError
from mfs_lib.networks.vgg import VGG19Features
from mfs_lib.training import ship
from mfs_lib.training import student as module
from mfs_lib.training.config import experiment_from_dict
from mfs_lib.training.distillation_losses import perceptual_to_teacher
from mfs_lib.training.prepare import Pools, prepare
from mfs_lib.training.student import Trainer
from mfs_lib.weights.models import load_vgg19
from mfs_lib.weights.shipped import load_student
from tests.training.conftest import TINY, WATCHED


def _state(trainer: Trainer) -> dict[str, Tensor]:
    parts = {"student": trainer.student, "average": trainer.average}
    return {f"{part}.{k}": v.clone() for part, network in parts.items() for k, v in network.state_dict().items()}


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture(scope="module")
def straight(tiny_pools: tuple[Pools, Path], tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run of all eight steps without a break."""
    trainer = Trainer(experiment_from_dict(TINY), tiny_pools[0], tmp_path_factory.mktemp("straight"))
    trainer.fit(look_every=3)
    return trainer


def test_a_run_with_breaks_ends_in_the_same_bits(
    straight: Trainer, tiny_pools: tuple[Pools, Path], tmp_path: Path
) -> None:
    before = None
    for steps in (3, 3, 2):  # the second stretch crosses from 32 to 64 pixels
        trainer = Trainer(experiment_from_dict(TINY), tiny_pools[0], tmp_path)
        trainer.resume()
        torch.manual_seed(99)  # what else happens in a process must not matter
        for _ in range(steps):
            trainer.train_step()
        trainer.save()
        assert before is None or not _same(before, _state(trainer))
        before = _state(trainer)
    assert trainer.step == straight.step == 8
    assert _same(_state(trainer), _state(straight))
    assert torch.equal(trainer.generator.get_state(), straight.generator.get_state())
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_another_seed_is_another_run(straight: Trainer, tiny_pools: tuple[Pools, Path], tmp_path: Path) -> None:
    trainer = Trainer(experiment_from_dict({**TINY, "seed": 4}), tiny_pools[0], tmp_path)
    trainer.train_step()
    assert not _same(_state(trainer), _state(straight))


def test_every_loss_is_measured_and_steps_reduce_their_sum(
    tiny_pools: tuple[Pools, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [{"size": 64, "steps": 100, "lr": 1.0e-2, "loss": {"per": 1.0, "adv": 0.1}}]
    trainer = Trainer(experiment_from_dict({**TINY, "stages": stages, "identity_samples": 9}), tiny_pools[0], tmp_path)
    batch = trainer.sampler.draw(64, trainer.experiment.batch)
    monkeypatch.setattr(trainer.sampler, "draw", lambda size, counts: batch)
    values = [trainer.train_step() for _ in range(15)]
    names = {"rec", "raw", "laplacian", "multiscale", "id", "mask", "cover", "tone", "background", "per", "adv"}
    assert set(values[0]) == {*names, "total", "gradient", "discriminator"}
    weights = trainer.experiment.stages[0].loss
    expected = sum(getattr(weights, name) * values[0][name] for name in names)
    assert values[0]["total"] == pytest.approx(expected, rel=1e-4)
    assert values[-1]["total"] < 0.85 * values[0]["total"]
    assert values[-1]["rec"] < values[0]["rec"]


def test_vgg_stands_in_mobilenets_place(
    tiny_pools: tuple[Pools, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    vgg = VGG19Features(width=4).eval().requires_grad_(False)
    monkeypatch.setattr(module, "load_vgg19", lambda *, offline: vgg if offline else None)
    seen: list[Tensor] = []
    vgg.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    stages = [{"size": 64, "steps": 4, "loss": {"per": 1.0, "per_squared": 1.0}}]
    values = {**TINY, "stages": stages, "perceptual": "vgg19"}
    trainer = Trainer(experiment_from_dict(values), tiny_pools[0], tmp_path / "vgg")
    batch = trainer.sampler.draw(64, trainer.experiment.batch)
    monkeypatch.setattr(trainer.sampler, "draw", lambda size, counts: batch)
    measured = trainer.train_step()
    theirs, mine = seen
    # The middle three quarters, in the [0, 1] that the weights were trained on.
    torch.testing.assert_close(theirs, batch.truth[: batch.known, :, 8:-8, 8:-8], atol=1e-6, rtol=0)
    expected = perceptual_to_teacher(vgg(mine), vgg(theirs))  # all five maps
    assert measured["per_squared"] == pytest.approx(float(expected.mean()), rel=1e-4)
    assert measured["per"] > 0 and len(vgg(mine)) == 5
    assert trainer.train_step()["per_squared"] < measured["per_squared"]


def test_mobilenet_sees_the_middle_as_it_was_trained(tiny_pools: tuple[Pools, Path], tmp_path: Path) -> None:
    stages = [{"size": 64, "steps": 1, "loss": {"per_squared": 1.0}}]
    trainer = Trainer(experiment_from_dict({**TINY, "stages": stages}), tiny_pools[0], tmp_path / "mobilenet")
    seen: list[Tensor] = []
    trainer._perception.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    batch = trainer.sampler.draw(64, trainer.experiment.batch)
    trainer.sampler.draw = lambda size, counts: batch  # type: ignore[method-assign]
    trainer.train_step()
    assert torch.equal(seen[0], batch.truth[: batch.known, :, 8:-8, 8:-8]) and len(seen) == 2


def test_vgg_without_its_weights_is_said_before_the_first_step(
    tiny_pools: tuple[Pools, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*, offline: bool) -> VGG19Features:
        monkeypatch.setenv("MFS_CACHE", str(tmp_path / "cache"))  # from here on: the recogniser is loaded by now
        monkeypatch.delenv("MFS_MIRROR", raising=False)
        return load_vgg19(offline=offline)

    monkeypatch.setattr(module, "load_vgg19", load)
    with pytest.raises(AssetError, match="mfs fetch vgg19"):
        Trainer(experiment_from_dict({**TINY, "perceptual": "vgg19"}), tiny_pools[0], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_bfloat16_is_for_the_student_alone(tiny_pools: tuple[Pools, Path], tmp_path: Path) -> None:
    kinds: dict[str, dict[str, set[torch.dtype]]] = {}
    stages = [{"size": 64, "steps": 4, "loss": {"per": 1.0, "adv": 0.1}}]
    for precision in ("32-true", "bf16-mixed"):
        values = {**TINY, "stages": stages, "precision": precision}
        trainer = Trainer(experiment_from_dict(values), tiny_pools[0], tmp_path / precision)
        kinds[precision] = {}
        parts = {"student": trainer.student, "heads": trainer.heads, "sface": trainer.sface}
        for part, network in parts.items():
            seen = kinds[precision].setdefault(part, set())
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.register_forward_hook(lambda layer, given, made, seen=seen: seen.add(made.dtype))
        measured = trainer.train_step() | trainer.train_step()
        assert {"rec", "id", "per", "adv", "multiscale", "discriminator"} <= set(measured)
        assert {p.dtype for p in trainer.parameters} == {torch.float32}
        assert isinstance(trainer.look()["retrieval"], float)
    single, half = {torch.float32}, {torch.bfloat16}
    assert kinds["32-true"] == {"student": single, "heads": single, "sface": single}
    assert kinds["bf16-mixed"] == {"student": half, "heads": single, "sface": single}


def test_the_code_is_learned_before_the_first_step_once_and_then_kept(
    tiny_pools: tuple[Pools, Path], tmp_path: Path
) -> None:
    def code(trainer: Trainer) -> dict[str, Tensor]:
        return {k: v.clone() for k, v in trainer.student.state_dict().items() if k.startswith("iin.code.")}

    experiment = experiment_from_dict({**TINY, "code_steps": 3})
    trainer = Trainer(experiment, tiny_pools[0], tmp_path)
    before = code(trainer)
    trainer.begin()
    learned = code(trainer)
    assert not torch.equal(before["iin.code.code.weight"], learned["iin.code.code.weight"])
    assert all(torch.equal(trainer.average.state_dict()[k], v) for k, v in learned.items())
    (entry,) = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert entry["step"] == 0 and {"code_explained", "embedding_explained"} < set(entry)
    again = Trainer(experiment, tiny_pools[0], tmp_path)
    again.begin()  # resumes instead
    again.train_step()
    assert all(torch.equal(code(again)[k], v) for k, v in learned.items())
    assert all(torch.allclose(again.average.state_dict()[k], v, atol=1e-6) for k, v in learned.items())


def test_a_stage_without_identity_samples_leaves_the_recogniser_out(
    tiny_pools: tuple[Pools, Path], tmp_path: Path
) -> None:
    stages = [{"size": 32, "steps": 1, "identity_samples": 0, "batch": {"sampled": 2}}, {"size": 32, "steps": 1}]
    trainer = Trainer(experiment_from_dict({**TINY, "stages": stages}), tiny_pools[0], tmp_path)
    assert "id" not in trainer.train_step()
    assert "id" in trainer.train_step()


def test_the_average_follows_the_student(tiny_pools: tuple[Pools, Path], tmp_path: Path) -> None:
    trainer = Trainer(experiment_from_dict(TINY), tiny_pools[0], tmp_path)
    start = {k: v.clone() for k, v in trainer.average.state_dict().items()}
    trainer.train_step()
    for key, new in trainer.student.state_dict().items():
        kept = trainer.average.state_dict()[key]
        expected = 0.1 * start[key] + 0.9 * new if new.is_floating_point() else new  # decay (1 + 0) / (10 + 0)
        torch.testing.assert_close(kept, expected, atol=1e-6, rtol=1e-5)


def test_the_learning_rate_warms_up_in_each_stage_and_falls(tiny_pools: tuple[Pools, Path], tmp_path: Path) -> None:
    trainer, rates = Trainer(experiment_from_dict(TINY), tiny_pools[0], tmp_path), []
    for trainer.step in range(8):
        rates.append(trainer._rate(*trainer._stage()))
    peak, final = 2e-3, 1e-4
    assert rates[0] == pytest.approx(peak / 2)  # a warm-up of two steps
    assert rates[1] > rates[2] > rates[3] > rates[4] * 1.5 and rates[5] > rates[4]
    assert rates[5] > rates[6] > rates[7] > final


def test_a_restart_lengthens_a_run_without_changing_it(tiny_pools: tuple[Pools, Path], tmp_path: Path) -> None:
    longer = {**TINY, "stages": [*TINY["stages"], {"size": 64, "steps": 6, "restart": True}]}
    rates = {}
    for name, values, steps in (("short", TINY, 8), ("long", longer, 14)):
        trainer = Trainer(experiment_from_dict(values), tiny_pools[0], tmp_path)
        rates[name] = []
        for trainer.step in range(steps):
            rates[name].append(trainer._rate(*trainer._stage()))
    assert rates["long"][:8] == rates["short"]
    assert rates["long"][9] > 2 * rates["long"][7] and rates["long"][9] > rates["long"][13]
    assert experiment_from_dict(longer).cycle(7) == (0, 8) and experiment_from_dict(longer).cycle(8) == (8, 14)


def _numbers(trainer: Trainer, result: Tensor) -> dict[str, float]:
    """What the trainer sees when its student answers with `result`."""

    class _Answer(nn.Module):
        def inject(self, _: Any) -> None:
            """Whoever the source is."""

        def apply_weights(self, *_: Any, **__: Any) -> Any:
            return SimpleNamespace(result=result)

    trainer.average = _Answer()  # type: ignore[assignment]
    return trainer.look()


def test_a_look_tells_swapping_from_collapse(tiny_pools: tuple[Pools, Path], tmp_path: Path) -> None:
    experiment = experiment_from_dict({**TINY, "stages": [{"size": 64, "steps": 4}]})
    trainer = Trainer(experiment, tiny_pools[0], tmp_path)
    fresh = trainer.look()
    assert fresh["cos_source"] == pytest.approx(fresh["cos_source_of_target"], abs=0.15)  # untrained: nobody is swapped
    assert fresh["retrieval"] <= 0.5 and fresh["error_ratio"] > 0.9
    nothing = _numbers(trainer, trainer.pools.watch.target)
    assert nothing["error_ratio"] == 1
    assert nothing["cos_target"] == pytest.approx(1)
    assert nothing["cos_source"] == pytest.approx(nothing["cos_source_of_target"])
    perfect = _numbers(trainer, trainer.pools.watch.truth)
    assert perfect["error_ratio"] == 0
    assert perfect["cos_source"] > nothing["cos_source"] + 0.25
    assert perfect["retrieval"] >= 0.75 > nothing["retrieval"]


def test_a_run_leaves_a_log_and_pictures(straight: Trainer) -> None:
    lines = [json.loads(line) for line in (straight.folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6, 8]
    assert {"rec", "id", "total", "cos_source", "retrieval"} <= set(lines[0])
    assert len(list((straight.folder / "tensorboard").iterdir())) == 1
    with Image.open(straight.folder / "samples_000008.png") as sheet:
        assert sheet.size == (64 * WATCHED, 64 * 4)
    with Image.open(straight.folder / "samples_000003.png") as sheet:
        assert sheet.size == (32 * WATCHED, 32 * 4)


def test_time_that_is_up_stops_a_run(tiny_pools: tuple[Pools, Path], tmp_path: Path) -> None:
    trainer = Trainer(experiment_from_dict(TINY), tiny_pools[0], tmp_path)
    trainer.fit(look_every=3, until=0.0)
    assert trainer.step == 0 and (tmp_path / "state.pt").is_file()


def test_the_commands_train_and_ship(small_world: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {**TINY, "data": {"size": 32, "people": 2, "triplets": 4}, "stages": [{"size": 32, "steps": 2}]}
    file, run, shipped = tmp_path / "tiny.yaml", tmp_path / "run", tmp_path / "tiny.safetensors"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(AssetError, match="no checkpoint"):
        ship.ship(run, file, shipped)
    monkeypatch.setattr(sys, "argv", ["student", str(file), "--run", str(run), "--look-every", "2"])
    module.main()
    monkeypatch.setattr(sys, "argv", ["ship", str(run), "--experiment", str(file), "--output", str(shipped)])
    ship.main()
    student = load_student(str(shipped))
    assert student.crop_size == 32
    assert (
        student.metadata["pictures"] == "32" and "London Set, neutral (CC-BY-4.0)" in student.metadata["learned_from"]
    )
    seen = ship.learned_from(experiment_from_dict({**values, "data": {"photos": ["london", "sfhq"]}}))
    assert (
        seen.count("London") == 2
        and "London" in student.metadata["learned_from"]
        and "(MIT)" in seen
        and "shards" not in seen
    )
    assert student.metadata["steps"] == "2" and student.metadata["seed"] == "3"
    assert student.metadata["perceptual"] == "mobilenet-v2"
    assert len(student.metadata["data_morphable_sha256"]) == 64
    kept = torch.load(run / "state.pt", weights_only=True)["average"]
    for key, value in student.network.state_dict().items():
        torch.testing.assert_close(value, kept[key], atol=1e-3, rtol=2e-3)
    begun = Trainer(
        experiment_from_dict({**values, "start": str(shipped)}), prepare(experiment_from_dict(values), run), run
    )
    assert torch.equal(begun.student.idn.final[1].weight, student.network.idn.final[1].weight)
    other = {**values, "start": str(shipped), "network": {**TINY["network"], "code_dim": 7}}
    with pytest.raises(ConfigError, match="another network"):
        Trainer(experiment_from_dict(other), begun.pools, run)
