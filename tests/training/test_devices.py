"""Processes and precision: two processes train one network; a single one needs nothing and changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from mfs_lib.errors import ConfigError
from mfs_lib.training import gan, gan_data, prepare
from mfs_lib.training.config import experiment_from_dict
from mfs_lib.training.devices import Devices, as_float32
from mfs_lib.training.gan import GanTrainer
from mfs_lib.training.gan_config import GanExperiment, gan_experiment_from_dict
from mfs_lib.training.gan_data import Faces, prepare_faces
from mfs_lib.training.prepare import Watched
from tests.training.two_processes import STUDENT, TEACHER, WATCHED, state


class _Pair(NamedTuple):
    first: Tensor
    second: list[Tensor]


def test_one_process_in_float32_is_left_alone() -> None:
    devices, layer = Devices(), nn.BatchNorm1d(2)
    assert (devices.count, devices.rank, devices.first, devices.mixed) == (1, 0, True, False)
    assert devices.device == torch.device("cpu") and devices.seed(7) == 7
    assert devices.agree(True) and not devices.agree(False)
    numbers = torch.ones(2)
    assert devices.place(numbers) is numbers and devices.place(layer) is layer
    layer.weight.grad = torch.tensor([1.0, 2.0])
    devices.average_gradients(layer.parameters())
    devices.average_buffers(layer)
    assert layer.weight.grad.tolist() == [1, 2] and layer.bias.grad is None and layer.running_var.tolist() == [1, 1]
    with devices.autocast(), devices.first_goes_ahead():
        assert nn.functional.linear(torch.ones(1, 2), torch.ones(2, 2)).dtype == torch.float32
    program = "import sys; from mfs_lib.training.devices import Devices; Devices(); assert 'lightning_fabric' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_bfloat16_is_for_layers() -> None:
    devices = Devices("bf16-mixed")
    assert devices.mixed and devices.count == 1
    with devices.autocast():
        made = nn.functional.linear(torch.ones(1, 2), torch.ones(2, 2))
    assert made.dtype == torch.bfloat16
    index = torch.arange(2)
    back = as_float32(_Pair(made, [made, index]))
    assert isinstance(back, _Pair) and back.first.dtype == back.second[0].dtype == torch.float32
    assert back.second[1] is index and as_float32((made, "text"))[1] == "text"


def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="16-mixed"):
        Devices("16-mixed")
    with pytest.raises(ConfigError, match="tpu"):
        Devices(device="tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA card"):
        Devices(device="cuda")
    assert Devices(device="auto").device.type == "cpu"


def test_random_states_come_back_and_belong_to_a_number_of_processes() -> None:
    devices, generator = Devices(), torch.Generator().manual_seed(3)
    stored = devices.random_states(generator)
    expected = torch.rand(4, generator=generator)
    for states in (stored, stored[0]):  # with and without the axis of processes
        devices.restore_random(generator, states)
        assert torch.equal(torch.rand(4, generator=generator), expected)
    with pytest.raises(ConfigError, match="3 processes"):
        devices.restore_random(generator, stored.repeat(3, 1))


Data = tuple[GanExperiment, Faces, Watched]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Data, Path]:
    """The teacher's experiment with its pools, and the folder that they and the student's are in."""
    folder, experiment = tmp_path_factory.mktemp("pools"), gan_experiment_from_dict(TEACHER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan_data, "WATCHED", WATCHED)
        patch.setattr(prepare, "_WATCHED", WATCHED)
        prepare.prepare(experiment_from_dict(STUDENT), folder / "student")
        return (experiment, *prepare_faces(experiment, folder / "teacher")), folder


@pytest.fixture(scope="module")
def processes(data: tuple[Data, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Path]:
    """What two processes found, in the order of their ranks, and the folder with their runs."""
    out, script = tmp_path_factory.mktemp("two"), Path(__file__).with_name("two_processes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[2])}
    done = subprocess.run(
        [*command, str(data[1]), str(out)], capture_output=True, text=True, env=environment, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(out / f"rank_{rank}.pt", weights_only=True) for rank in (0, 1)], out


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_two_processes_draw_their_own_batches_and_stay_the_same(
    processes: tuple[list[dict[str, Any]], Path], data: tuple[Data, Path], tmp_path: Path
) -> None:
    first, second = processes[0]
    assert [(r["rank"], r["count"], r["agreed"]) for r in (first, second)] == [
        (0, 2, [True, False]),
        (1, 2, [True, False]),
    ]
    assert not torch.equal(first["first"]["batch"][0], second["first"]["batch"][0])
    assert not torch.equal(first["first"]["batch"][1], second["first"]["batch"][1])
    for part in ("straight", "broken"):
        assert _same(first[part], second[part])
    assert _same(first["first"]["state"], second["first"]["state"])
    alone = GanTrainer(*data[0], tmp_path)
    assert torch.equal(alone.random.get_state(), first["first"]["random"])  # the first draws as one process would


def test_two_processes_take_the_step_of_their_mean_gradient(
    processes: tuple[list[dict[str, Any]], Path], data: tuple[Data, Path], tmp_path: Path
) -> None:
    trainers = [GanTrainer(*data[0], tmp_path) for _ in processes[0]]
    for trainer, found in zip(trainers, processes[0], strict=True):
        game, weights = trainer.game, trainer.game.weights(0)
        trainer.random.set_state(found["first"]["random"])
        batch = game.draw(trainer.faces, 0, trainer.random)
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(batch, found["first"]["batch"], strict=True))
        game.generator.train()
        game.discriminators.train().requires_grad_(False)
        result, values = game.losses(batch, weights)
        gan._weighted(values, weights).backward()
        game.discriminators.requires_grad_(True)
        gan._weighted(game.rival_losses(result, batch.target, trainer.random, weights), weights).backward()
    networks = [(t.game.generator, t.game.discriminators) for t in trainers]
    gradients = [[p.grad for network in pair for p in network.parameters()] for pair in networks]
    assert any(not torch.allclose(g, h) for g, h in zip(*gradients, strict=True))
    expected = trainers[0]
    for g, h in zip(*gradients, strict=True):
        g.copy_((g + h) / 2)
    expected.optimiser.step()
    expected.rival.step()
    for mine, theirs in zip(*(pair for pair in networks), strict=True):
        for b, c in zip(mine.buffers(), theirs.buffers(), strict=True):
            if b.is_floating_point():
                b.copy_((b + c) / 2)
    after = processes[0][0]["first"]["state"]
    for name, value in state(expected).items():
        if not name.startswith("a."):
            torch.testing.assert_close(after[name], value, atol=1e-6, rtol=1e-5)
    alone = GanTrainer(*data[0], tmp_path)
    alone.train_step()
    learned = [k for k in after if k.startswith("g.") and not torch.allclose(after[k], state(alone)[k], atol=1e-5)]
    assert learned


def test_only_the_first_process_writes_and_a_break_changes_nothing(
    processes: tuple[list[dict[str, Any]], Path], data: tuple[Data, Path]
) -> None:
    found, out = processes
    assert [r["resumed_at"] for r in found] == [1, 1]
    assert _same(found[0]["straight"], found[0]["broken"])
    for folder in (out / "straight", data[1] / "teacher"):  # by the trainer, and by the command
        lines = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
        assert lines == [2, 3]
        assert len(list((folder / "tensorboard").iterdir())) == 1
        assert (folder / "teacher.safetensors").is_file()
    stored = torch.load(out / "straight" / "state.pt", weights_only=True)
    assert len(stored["random"]) == 2 and not torch.equal(*stored["random"])
    by_command = torch.load(data[1] / "teacher" / "state.pt", weights_only=True)
    assert all(torch.equal(v, by_command["generator"][k]) for k, v in stored["generator"].items())


def test_two_processes_train_one_student(processes: tuple[list[dict[str, Any]], Path]) -> None:
    (first, second), out = [found["student"] for found in processes[0]], processes[1]
    assert _same(first["state"], second["state"])
    assert len(first["targets"]) == 2
    assert not any(torch.equal(mine, theirs) for mine, theirs in zip(first["targets"], second["targets"], strict=True))
    lines = [json.loads(line) for line in (out / "student" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 2]  # the code, then the pictures
    assert {"code_explained"} < set(lines[0]) and {"rec", "discriminator", "gradient", "cos_source"} < set(lines[1])
