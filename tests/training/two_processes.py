"""What each of two processes does in the test of distributed training: `torchrun two_processes.py POOLS OUT`.

POOLS holds `teacher` and `student`, folders with the pools of the two experiments below; OUT gets what each process saw
and the folders of its runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from mfs_lib.training import gan, gan_data, prepare
from mfs_lib.training.config import experiment_from_dict
from mfs_lib.training.devices import Devices
from mfs_lib.training.gan import GanTrainer
from mfs_lib.training.gan_config import gan_experiment_from_dict
from mfs_lib.training.student import Trainer

WATCHED = 4
TEACHER: dict[str, Any] = {
    "seed": 5, "data": {"size": 32, "people": 6}, "batch": 3, "identity_samples": 1, "steps": 3, "checkpoints": 1,
    "discriminator": {"channels": [4, 8], "strided": 2, "norm": "batch"}, "match_from": 1, "ema": 0.5,
    "network": {"width": 2, "blocks": 1, "embedding_dim": 128},
}  # fmt: skip
STUDENT: dict[str, Any] = {
    "seed": 3, "code_steps": 2, "batch": {"sampled": 2}, "identity_samples": 1,
    "network": {
        "channels": [4, 8, 8, 8, 8], "mask_channels": [8, 8, 4, 4, 2], "embedding_dim": 128, "feature_channels": 1024,
        "predictor_width": 8, "code_dim": 6, "kernel_base": True,
    },
    "data": {"size": 32, "people": 3, "triplets": 6}, "loss": {"multiscale": 5.0, "adv": 0.1},
    "stages": [{"size": 32, "steps": 2}],
}  # fmt: skip


def state(trainer: GanTrainer) -> dict[str, Tensor]:
    """All that a run has learned."""
    parts = {"g": trainer.game.generator, "d": trainer.game.discriminators, "a": trainer.average}
    return {f"{part}.{k}": v.clone() for part, network in parts.items() for k, v in network.state_dict().items()}


def first_step(trainer: GanTrainer) -> dict[str, object]:
    """The generator before the first step, the batch that was drawn and what was learned."""
    drawn, draw, random = [], trainer.game.draw, trainer.random.get_state()

    def watched(*arguments: object) -> object:
        drawn.append(draw(*arguments))
        return drawn[-1]

    trainer.game.draw = watched
    trainer.train_step()
    trainer.game.draw = draw
    return {"random": random, "batch": [*drawn[0]], "state": state(trainer)}


def train_student(pools: Path, folder: Path, devices: Devices) -> dict[str, object]:
    """A student's whole run: all that was learned, and its batches."""
    experiment, drawn = experiment_from_dict(STUDENT), []
    trainer = Trainer(experiment, prepare.prepare(experiment, pools), folder, devices)
    trainer.begin()
    draw = trainer.sampler.draw
    trainer.sampler.draw = lambda *arguments: drawn.append(draw(*arguments)) or drawn[-1]
    trainer.fit(look_every=2)
    parts = {"s": trainer.student, "h": trainer.heads, "a": trainer.average, "d": trainer.adversary.network}
    learned = {f"{part}.{k}": v.clone() for part, network in parts.items() for k, v in network.state_dict().items()}
    return {"state": learned, "targets": [batch.target for batch in drawn]}


def main() -> None:
    """One process."""
    pools, out = (Path(argument) for argument in sys.argv[1:])
    gan_data.WATCHED = prepare._WATCHED = WATCHED
    settings, devices = gan_experiment_from_dict(TEACHER), Devices()
    with devices.first_goes_ahead():
        faces, watch = gan_data.prepare_faces(settings, pools / "teacher")

    def begin(name: str) -> GanTrainer:
        trainer = GanTrainer(settings, faces, watch, out / name, devices)
        trainer.resume()
        return trainer

    found: dict[str, object] = {"rank": devices.rank, "count": devices.count}
    found["agreed"] = [devices.agree(True), devices.agree(devices.first)]
    found["first"] = first_step(begin("one_step"))
    straight = begin("straight")
    straight.fit(look_every=2)
    found["straight"] = state(straight)
    broken = begin("broken")
    broken.train_step()
    broken.save()
    devices.agree(True)  # nobody reads before the first process has written
    again = begin("broken")
    found["resumed_at"] = again.step
    again.fit(look_every=2)
    found["broken"] = state(again)
    found["student"] = train_student(pools / "student", out / "student", devices)
    torch.save(found, out / f"rank_{devices.rank}.pt")
    experiment = out / "teacher.yaml"
    with devices.first_goes_ahead():
        if devices.first:
            experiment.write_text(yaml.safe_dump(TEACHER))
    sys.argv = ["gan", str(experiment), "--run", str(pools / "teacher"), "--device", "cpu", "--look-every", "2"]
    gan.main()


if __name__ == "__main__":
    main()
