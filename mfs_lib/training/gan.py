"""Trains a teacher on the face world: `python -m mfs_lib.training.gan experiments/teachers/simswap_64.yaml --run DIR`.

Run again with the same folder, it resumes, and ends in the same weights as without the break. It writes:

| file                          | what                                                                                |
|-------------------------------|-------------------------------------------------------------------------------------|
| checkpoints/NNNNNNN.safetensors | the generator after so many steps, a teacher each; the quality scorer learns from them |
| teacher.safetensors           | the last of them, when the run is done                                                |
| log.jsonl, tensorboard        | losses, and what the swap does to pairs that it never trains on (collapse detector)   |
| samples_NNNNNN.png            | source, target, exact swap and result of some of these pairs                          |
| state.pt, pools.pt            | what is needed to go on                                                               |

Several processes (`torchrun`, see ``mfs_lib.training.devices``) train one generator; each draws its own batches.
"""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from mfs_lib.errors import ConfigError
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.morphable.model import MODEL_FILE
from mfs_lib.networks.sface import SFace
from mfs_lib.runinfo import file_digest
from mfs_lib.training.averaging import update_average
from mfs_lib.training.collapse import CollapseDetector, take_look
from mfs_lib.training.devices import Devices, InFloat32, as_float32
from mfs_lib.training.gan_config import GanExperiment, load_gan_experiment
from mfs_lib.training.gan_data import Faces, prepare_faces
from mfs_lib.training.gan_systems import GAMES
from mfs_lib.training.loop import Rhythm, read_arguments, train
from mfs_lib.training.losses import error_ratio
from mfs_lib.training.norms import freeze_norms
from mfs_lib.training.prepare import Watched
from mfs_lib.training.runlog import forget_log_after
from mfs_lib.training.samples import write_samples
from mfs_lib.training.teachers.generators import plain_config, render
from mfs_lib.training.teachers.trained import save_teacher
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.safe_io import write_atomically

STATE_STEPS = 200
"""Steps between what can be resumed from."""

_LOOKED_AT = 16  # pictures of a batch when a run is looked at


class GanTrainer:
    """A run: networks, optimisers, data and where it stands. Without `devices` it is one process on the CPU."""

    def __init__(
        self, experiment: GanExperiment, faces: Faces, watch: Watched, folder: Path, devices: Devices | None = None
    ) -> None:
        torch.manual_seed(experiment.seed)
        self.devices = devices or Devices(experiment.precision)
        self.experiment, self.folder, self.faces, self.watch = experiment, folder, faces, watch
        self.game = GAMES[experiment.teacher](experiment, load_sface())
        for network in (self.game.generator, self.game.discriminators, self.game.sface):
            self.devices.place(network)
        if self.devices.mixed:  # landmarks are placed on the pictures, and who is seen is judged: that needs all digits
            self.game.generator.register_forward_hook(lambda network, inputs, output: as_float32(output))
            self.game.sface = cast(SFace, InFloat32(self.game.sface))
        optimiser, betas = experiment.optimiser, (experiment.optimiser.betas[0], experiment.optimiser.betas[1])
        self.optimiser = torch.optim.Adam(self.game.generator.parameters(), lr=optimiser.lr, betas=betas)
        self.rival = torch.optim.Adam(self.game.discriminators.parameters(), lr=optimiser.lr_discriminator, betas=betas)
        self.random = torch.Generator().manual_seed(self.devices.seed(experiment.seed))
        self.detector = CollapseDetector()
        self.average = copy.deepcopy(self.game.generator).requires_grad_(False)
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.experiment.steps

    @property
    def progress(self) -> float:
        """Share of the training that is done."""
        return self.step / self.steps

    def train_step(self) -> dict[str, float]:
        """One step of the generator and one of the discriminators; returns the unweighted losses."""
        game, devices, weights = self.game, self.devices, self.game.weights(self.step)
        batch = devices.place(game.draw(self.faces, self.step, self.random))
        game.generator.train()
        if 0 < self.experiment.freeze_norms_at <= self.step:
            freeze_norms(game.generator)
        game.discriminators.train().requires_grad_(False)
        with devices.autocast():
            result, values = game.losses(batch, weights)
        total = _weighted(values, weights)
        self._descend(self.optimiser, game.generator, total)
        game.discriminators.requires_grad_(True)
        with devices.autocast():
            rivals = game.rival_losses(result, batch.target, self.random, weights)
        if rivals:
            self._descend(self.rival, game.discriminators, _weighted(rivals, weights))
        devices.average_buffers(game.generator, game.discriminators)
        update_average(self.average, game.generator, self.experiment.ema, self.step)
        self.step += 1
        if not math.isfinite(total.item()):
            raise ConfigError(f"training diverged at step {self.step}: lower the learning rates of the experiment")
        if "rec" in values:  # what other samples would add is no reconstruction
            values["rec"] = values["rec"][batch.same]
        measured = {name: value.mean().item() for name, value in {**values, **rivals}.items() if len(value)}
        return {"total": total.item(), **measured}

    def _descend(self, optimiser: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> None:
        """A step of a network down the mean gradient of all processes' losses."""
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.devices.average_gradients(network.parameters())
        optimiser.step()

    @torch.no_grad()
    def results(self, target: Tensor, embedding: Tensor) -> Tensor:
        """What the averaged generator makes of targets (N,3,S,S) for identities (N,E), a few at a time, in eval mode."""
        generator, place = self.average.eval(), self.devices.place
        pairs = zip(target.split(_LOOKED_AT), embedding.split(_LOOKED_AT), strict=True)  # type: ignore[no-untyped-call]
        return torch.cat([render(generator, place(t), place(z)).cpu() for t, z in pairs]).clamp(0, 1)

    @torch.no_grad()
    def look(self) -> dict[str, float | bool | str]:
        """What the generator does on people that it never trains on; tells the collapse detector."""
        watch, sface = self.watch, self.game.sface
        result = self.results(watch.target, watch.source.embedding)

        def identity(pictures: Tensor) -> Tensor:
            parts = pictures.split(_LOOKED_AT)  # type: ignore[no-untyped-call]
            return torch.cat([sface(arcface_view(self.devices.place(part))).embedding.cpu() for part in parts])

        seen, source = identity(result), watch.source.embedding
        change = (result - watch.target).abs().mean((1, 2, 3))
        self.detector.add(
            take_look(self.progress, result=seen, source=source, target=identity(watch.target), change=change)
        )
        partial = self.folder / ".samples.png"
        write_samples(partial, watch, result)
        partial.replace(self.folder / f"samples_{self.step:06d}.png")
        retrieved = ((seen @ source.T).argmax(1) == torch.arange(len(seen))).float().mean()
        ratio = error_ratio(result, watch.target, watch.truth)
        return {**self.detector.summary(), "retrieval": float(retrieved), "error_ratio": ratio}

    def keep_checkpoint(self) -> Path | None:
        """Keep the generator if this step is one of those to be kept."""
        kept = self.experiment.checkpoints
        if self.step * kept // self.experiment.steps == (self.step - 1) * kept // self.experiment.steps:
            return None
        path = self.folder / "checkpoints" / f"{self.step:07d}.safetensors"
        self._save_teacher(path)
        if self.step == self.experiment.steps:
            self._save_teacher(self.folder / "teacher.safetensors")
        return path

    def _save_teacher(self, path: Path) -> None:
        experiment = self.experiment
        about = {
            "step": str(self.step), "steps": str(experiment.steps), "seed": str(experiment.seed),
            "data_morphable_sha256": file_digest(MODEL_FILE),
        }  # fmt: skip
        save_teacher(
            path, self.average, experiment.network, crop_size=experiment.data.size, progress=self.progress,
            metadata=about,
        )  # fmt: skip

    def save(self) -> None:
        """Everything needed to go on, under its final name only when complete."""
        state = {
            "generator": self.game.generator.state_dict(), "average": self.average.state_dict(),
            "discriminators": self.game.discriminators.state_dict(),
            "optimiser": self.optimiser.state_dict(), "rival": self.rival.state_dict(),
            "random": self.devices.random_states(self.random),
            "detector": self.detector.state_dict(), "step": self.step,
            "network": json.dumps(plain_config(self.experiment.network)),
        }  # fmt: skip
        if self.devices.first:
            write_atomically(self.folder / "state.pt", lambda temporary: torch.save(state, temporary))

    def resume(self) -> None:
        """Go on from `state.pt` if it is there.

        Raises:
            ConfigError: it is a state of another network, or of another number of processes.
        """
        path = self.folder / "state.pt"
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True, map_location="cpu")
        if state["network"] != json.dumps(plain_config(self.experiment.network)):
            raise ConfigError(f"{self.folder} holds a run of another network: choose a new run folder")
        self.game.generator.load_state_dict(state["generator"])
        self.average.load_state_dict(state["average"])
        self.game.discriminators.load_state_dict(state["discriminators"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rival.load_state_dict(state["rival"])
        self.devices.restore_random(self.random, state["random"])
        self.detector.load_state_dict(state["detector"])
        self.step = state["step"]
        if self.devices.first:
            forget_log_after(self.folder, self.step)

    def fit(self, *, look_every: int, until: float = math.inf) -> None:
        """Train to the last step, or until a time (seconds since the epoch)."""
        rhythm = Rhythm(look_every, save_every=STATE_STEPS, smoothing=0.05, title=self.experiment.teacher)
        train(self, rhythm, until=until, after_step=self.keep_checkpoint)


def _weighted(values: dict[str, Tensor], weights: object) -> Tensor:
    """The sum that is lowered: the mean of each loss times its weight; the discriminators' own hinge has none."""
    return torch.stack([getattr(weights, name, 1.0) * value.mean() for name, value in values.items()]).sum()


def main() -> None:
    """Command line."""
    begun, arguments = time.time(), read_arguments(__doc__, look_every=100)
    experiment = load_gan_experiment(arguments.experiment)
    devices = Devices(experiment.precision, device=arguments.device)
    with devices.first_goes_ahead():
        faces, watch = prepare_faces(experiment, arguments.run)
    trainer = GanTrainer(experiment, faces, watch, arguments.run, devices)
    trainer.resume()
    trainer.fit(look_every=arguments.look_every, until=begun + 60 * arguments.minutes)


if __name__ == "__main__":
    main()
