"""Trains a student: `python -m mfs_lib.training.student experiments/first_student.yaml --run runs/first`.

Run again with the same folder, it resumes. Writes `log.jsonl` and `tensorboard` (losses and what the swap does),
`samples_*.png` and `state.pt` (to resume); `mfs_lib.training.ship` makes weights to publish of it. Several processes
(`torchrun`, see ``mfs_lib.training.devices``) train one student; each draws its own batches.
"""

from __future__ import annotations

import copy
import math
import time
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from mfs_lib.errors import ConfigError
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.resizing import resized
from mfs_lib.networks.frozen import without_blas
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, SwapOutput
from mfs_lib.networks.mobilenet_v2 import MobileNetV2Features
from mfs_lib.networks.sface import SFace
from mfs_lib.networks.vgg import VGG19Features
from mfs_lib.training import losses
from mfs_lib.training.adversarial import Adversary, middle
from mfs_lib.training.averaging import update_average
from mfs_lib.training.backbone import take_backbone
from mfs_lib.training.batches import Batch, Sampler
from mfs_lib.training.collapse import CollapseDetector, take_look
from mfs_lib.training.config import LossConfig, StageConfig, StudentExperiment, load_experiment
from mfs_lib.training.devices import Devices, as_float32
from mfs_lib.training.distillation_losses import PERCEPTUAL_TAPS, full_mask_loss, perceptual_to_teacher
from mfs_lib.training.enlarging import swap_enlarged
from mfs_lib.training.identity_code import explained_by_embedding, learn_code
from mfs_lib.training.loop import Rhythm, read_arguments, train
from mfs_lib.training.multiscale import MultiScaleHeads
from mfs_lib.training.norms import freeze_norms
from mfs_lib.training.prepare import Pools, prepare
from mfs_lib.training.runlog import forget_log_after, log_entry
from mfs_lib.training.samples import write_samples
from mfs_lib.weights.models import load_mobilenet_v2, load_sface, load_vgg19
from mfs_lib.weights.safe_io import write_atomically
from mfs_lib.weights.shipped import load_student

_CHECKPOINT_STEPS = 500
_AVERAGED = 400
"""Source pictures that a backbone's average person is taken over."""
_CALIBRATED = 64
"""Targets that AdaIN's beginnings are measured on."""
_Network = TypeVar("_Network", bound=nn.Module)
_FROM_TEACHER = ("rec", "raw", "laplacian", "multiscale", "per", "per_squared")
"""Losses that α weighs: they compare with the teacher's picture."""


def _first_weights(experiment: StudentExperiment, pools: Pools) -> MobileFaceSwap:
    """The experiment's network at random, on another's backbone, or with the weights that it begins from.

    Raises:
        ConfigError: those are of another network.
    """
    if experiment.backbone:
        student, size = MobileFaceSwap(experiment.network), experiment.crop_size
        people = pools.bank[torch.arange(min(_AVERAGED, len(pools.bank)))]
        targets = resized(pools.sampled.target[:_CALIBRATED] / 255.0, size)
        take_backbone(student, load_student(experiment.backbone).network, people, targets)
        return student
    if not experiment.start:
        return MobileFaceSwap(experiment.network)
    first = load_student(experiment.start)
    if first.network.config != experiment.network:
        raise ConfigError(f"the weights of {first.name} are those of another network than the experiment's")
    return first.network.train()


class Trainer:
    """A run: networks, optimiser, data and where it stands. Without `devices` it is one process on the CPU."""

    def __init__(
        self, experiment: StudentExperiment, pools: Pools, folder: Path, devices: Devices | None = None
    ) -> None:
        torch.manual_seed(experiment.seed)
        self.devices = devices or Devices(experiment.precision)
        self.experiment, self.folder = experiment, folder
        self.student = _first_weights(experiment, pools)
        self.student.use_backend("matmul")
        self._keep_code()
        self.heads = MultiScaleHeads(experiment.network.channels[-2::-1])
        self.adversary = Adversary()
        self.sface: SFace = self._judging(load_sface())
        self._networks = (self.student, self.heads, self.adversary.network)
        for network in self._networks:
            self.devices.place(network)
        self.adversary.optimiser.register_step_pre_hook(self._average_rival)
        self.generator = torch.Generator().manual_seed(self.devices.seed(experiment.seed))
        self.sampler = Sampler(pools.sampled, pools.reverse, pools.bank, generator=self.generator)
        self.pools = pools
        self.parameters = [*self.student.parameters(), *self.heads.parameters()]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
        self.average = copy.deepcopy(self.student).eval().requires_grad_(False)
        self.detector = CollapseDetector()
        self._targets: dict[int, Tensor] = {}
        self.step = 0
        if experiment.perceptual == "vgg19":
            self._perception  # noqa: B018 - now: if its weights are missing, that is said before the first step
        folder.mkdir(parents=True, exist_ok=True)

    def _judging(self, network: _Network) -> _Network:
        """A network that losses are read from, where they are computed."""
        if self.devices.device.type == "cpu":
            without_blas(network)
        return self.devices.place(network)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.experiment.steps

    def _average_rival(self, *_: object) -> None:
        """Before the discriminator takes a step of its own: by the mean gradient of all processes."""
        self.devices.average_gradients(self.adversary.network.parameters())

    def _stage(self) -> tuple[StageConfig, int]:
        """The present stage and the steps already made in it."""
        done = self.step
        for stage in self.experiment.stages:
            if done < stage.steps:
                return stage, done
            done -= stage.steps
        return self.experiment.stages[-1], done

    def _weights(self, stage: StageConfig) -> LossConfig:
        return stage.loss or self.experiment.loss

    def _rate(self, stage: StageConfig, in_stage: int) -> float:
        schedule = self.experiment.schedule
        begun, end = self.experiment.cycle(self.step)
        progress = (self.step - begun) / (end - begun)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        rate = schedule.final_lr + (stage.lr - schedule.final_lr) * cosine
        return rate * min(1.0, (in_stage + 1) / schedule.warm_up)

    def begin(self) -> None:
        """Resume, or do what comes before the first step."""
        if (self.folder / "state.pt").is_file():
            self.resume()
        elif self.experiment.code_steps:
            if self.devices.first:
                self._learn_code()
            self.devices.take_from_first(self.student)
            self.average.load_state_dict(self.student.state_dict())
            self.save()

    def _learn_code(self) -> None:
        """Before the first picture; on the CPU, where the bank is."""
        forget_log_after(self.folder, -1)
        assert self.student.iin.code is not None  # checked with the experiment
        found = learn_code(
            self.student.iin.code.cpu(), self.sampler.bank, self.pools.codes, steps=self.experiment.code_steps,
            generator=self.generator,
        )  # fmt: skip
        self.devices.place(self.student)
        known = explained_by_embedding(self.sampler.bank, self.pools.codes)
        log_entry(self.folder, {"step": 0, "code_explained": found, "embedding_explained": known})

    def _keep_code(self) -> None:
        """Leave an identity code that was learned beforehand as it is: drawing would make it forget."""
        if self.experiment.code_steps and self.student.iin.code is not None:
            self.student.iin.code.eval().requires_grad_(False)

    def losses(self, batch: Batch, out: SwapOutput, levels: list[Tensor], stage: StageConfig) -> dict[str, Tensor]:
        """Every loss of a batch in a stage, unweighted, as scalars."""
        samples = self.experiment.identity_samples if stage.identity_samples is None else stage.identity_samples
        known, wanted = batch.known, self._weights(stage)
        weight = losses.difference_weight(batch.target, batch.truth, self.experiment.difference_gain)[:known]
        face, truth = batch.face[:known], batch.truth[:known]
        values = {
            "rec": losses.reconstruction_loss(out.result[:known], truth, weight),
            "raw": losses.reconstruction_loss(out.raw[:known], truth, weight * (0.1 + face)),
            "laplacian": losses.laplacian_loss(out.result[:known], truth, weight),
            "mask": losses.mask_loss(out.mask, batch.face),
            "cover": losses.cover_loss(out.mask, batch.face),
        }
        if wanted.multiscale:
            values["multiscale"] = self.heads.loss([x[:known] for x in levels], truth, face, weight)
        if wanted.full_mask:
            values["full_mask"] = full_mask_loss(out.mask, batch.face)
        shown = self._shown(batch, samples) if samples else None  # drawn in any case: runs without L_id see the same
        if shown is not None and wanted.id:
            values["id"] = self._identity(batch, out.result, shown)
        if wanted.per or wanted.per_squared:
            values |= self._perceptual(out.result[:known], truth, wanted)
        if wanted.adv:
            values["adv"] = self.adversary.loss(out.result)
        if batch.free:
            values["tone"] = losses.tone_loss(out.result[known:], batch.target[known:], batch.face[known:])
            values["background"] = losses.background_loss(out.result[known:], batch.target[known:], batch.face[known:])
        alpha = batch.alpha[:known]
        return {name: (alpha * value if name in _FROM_TEACHER else value).mean() for name, value in values.items()}

    def _shown(self, batch: Batch, samples: int) -> Tensor:
        """Indices of the pictures that the identity loss sees: all without truth and some with it."""
        known = batch.known
        some = torch.randperm(known, generator=self.generator)[: max(0, samples - batch.free)]
        return torch.cat([some, torch.arange(known, known + batch.free)])

    def _identity(self, batch: Batch, result: Tensor, shown: Tensor) -> Tensor:
        features = self.sface(arcface_view(result[shown]))
        return losses.identity_loss(features.embedding, batch.source.embedding[shown])

    @cached_property
    def _perception(self) -> MobileNetV2Features | VGG19Features:
        """MobileNetV2 is loaded by the first stage that wants it; VGG-19 isn't fetched, it must be there."""
        if self.experiment.perceptual == "vgg19":
            return self._judging(load_vgg19(offline=True))
        return self._judging(load_mobilenet_v2())

    def _seen(self, picture: Tensor) -> list[Tensor]:
        """Maps of the middle of pictures (B,3,S,S) in [0,1] that L_per compares."""
        if isinstance(self._perception, VGG19Features):
            return self._perception(middle(picture))  # type: ignore[no-any-return]
        return self._perception(middle(picture), taps=PERCEPTUAL_TAPS)  # type: ignore[no-any-return]

    def _perceptual(self, result: Tensor, truth: Tensor, weights: LossConfig) -> dict[str, Tensor]:
        with torch.no_grad():
            theirs = self._seen(truth)
        mine = self._seen(result)
        values = {"per": losses.perceptual_loss(mine, theirs)} if weights.per else {}
        return values | ({"per_squared": perceptual_to_teacher(mine, theirs)} if weights.per_squared else {})

    def train_step(self) -> dict[str, float]:
        """One optimiser step; returns the unweighted losses."""
        stage, in_stage = self._stage()
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(stage, in_stage)
        experiment = self.experiment
        batch = self.devices.place(self.sampler.draw(stage.size, stage.batch or experiment.batch))
        self.student.train()
        if self.step >= experiment.freeze_norms_at:
            freeze_norms(self.student)
        self._keep_code()
        out, levels = self._swap(batch)
        values = self.losses(batch, out, levels, stage)
        weights = self._weights(stage)
        total = torch.stack([getattr(weights, name) * value for name, value in values.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.devices.average_gradients(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.experiment.clip)
        self.optimiser.step()
        self.devices.average_buffers(*self._networks)
        update_average(self.average, self.student, self.experiment.ema, self.step)
        self.step += 1
        measured = {**{k: v.item() for k, v in values.items()}, "total": total.item(), "gradient": norm.item()}
        if weights.adv:
            # Where the truth is known nothing but how they were made tells the two apart; a teacher's picture isn't real.
            real = batch.truth if self.experiment.teacher.name == "oracle" else batch.target
            measured["discriminator"] = self.adversary.learn(out.result[: batch.known], real[: batch.known])
        return measured

    def _swap(self, batch: Batch) -> tuple[SwapOutput, list[Tensor]]:
        """The student's pictures and its decoder's levels, in float32: landmarks are placed on them, and losses small."""
        levels: list[Tensor] = []
        with self.devices.autocast():
            size = batch.target.shape[-1] * self.experiment.enlarge
            out = swap_enlarged(self.student, batch.target, batch.source, size, levels=levels)
        return as_float32(out), as_float32(levels)

    @torch.no_grad()
    def look(self) -> dict[str, float]:
        """What the averaged student does on pictures it never trains on; tells the collapse detector."""
        stage, _ = self._stage()
        place, watched = self.devices.place, self.pools.watch.at(stage.size)
        result = self._averaged(watched.target, watched.source)
        seen = self.sface(arcface_view(place(result))).embedding.cpu()
        write_samples(self.folder / f"samples_{self.step:06d}.png", watched, result)
        source = watched.source.embedding
        change = (result - watched.target).abs().mean((1, 2, 3))
        own, progress = self._watched_targets(stage.size), self.step / self.experiment.steps
        self.detector.add(take_look(progress, result=seen, source=source, target=own, change=change))
        last = self.detector.looks[-1]
        retrieved = (seen @ source.T).argmax(1) == torch.arange(len(seen))
        return {
            "cos_source": last.cos_source,
            "cos_target": last.cos_target,
            "cos_source_of_target": last.cos_before,
            "collapsed": self.detector.collapsed,
            "error_ratio": losses.error_ratio(result, watched.target, watched.truth),
            "error_ratio_taught": self._error_taught(stage.size, len(result)),
            "retrieval": float(retrieved.float().mean()),
        }

    def _watched_targets(self, size: int) -> Tensor:
        """Identities of the watched targets, which are the same at every look."""
        if size not in self._targets:
            target = self.devices.place(self.pools.watch.at(size).target)
            self._targets[size] = self.sface(arcface_view(target)).embedding.cpu()
        return self._targets[size]

    def _averaged(self, target: Tensor, source: IdentityFeatures) -> Tensor:
        """Swaps of the averaged student, on the CPU."""
        place, size = self.devices.place, target.shape[-1] * self.experiment.enlarge
        return swap_enlarged(self.average, place(target), place(source), size).result.cpu()

    def _error_taught(self, size: int, count: int) -> float:
        """The error ratio on sampled triplets that it learns from: how much better, tells what it learned by heart."""
        pool, some = self.pools.sampled, slice(0, count)
        target, truth = (resized(x[some] / 255.0, size) for x in (pool.target, pool.truth))
        source = self.sampler.bank[pool.source[some, 0]]
        result = self._averaged(target, source)
        return losses.error_ratio(result, target, truth)

    def save(self) -> None:
        """Everything needed to go on, under its final name only when complete."""
        state = {
            "student": self.student.state_dict(), "heads": self.heads.state_dict(), "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(), "adversary": self.adversary.state_dict(),
            "generator": self.devices.random_states(self.generator), "step": self.step, "detector": self.detector.state_dict(),
        }  # fmt: skip
        if self.devices.first:
            write_atomically(self.folder / "state.pt", lambda temporary: torch.save(state, temporary))

    def resume(self) -> None:
        """Go on from `state.pt` if it is there.

        Raises:
            ConfigError: another number of processes left it.
        """
        path = self.folder / "state.pt"
        if path.is_file():
            state = torch.load(path, weights_only=True, map_location="cpu")
            self.student.load_state_dict(state["student"])
            self.heads.load_state_dict(state["heads"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.adversary.load_state_dict(state["adversary"])
            self.devices.restore_random(self.generator, state["generator"])
            self.step = state["step"]
            self.detector.load_state_dict(state["detector"])
            if self.devices.first:
                forget_log_after(self.folder, self.step)

    def fit(self, *, look_every: int, until: float = math.inf) -> None:
        """Train to the last step, or until a time (seconds since the epoch)."""
        rhythm = Rhythm(look_every, save_every=_CHECKPOINT_STEPS, smoothing=0.02, keep_absent=False)
        train(self, rhythm, until=until)


def main() -> None:
    """Command line."""
    begun, arguments = time.time(), read_arguments(__doc__, look_every=500)
    experiment = load_experiment(arguments.experiment)
    devices = Devices(experiment.precision, device=arguments.device)
    with devices.first_goes_ahead():
        pools = prepare(experiment, arguments.run)
    trainer = Trainer(experiment, pools, arguments.run, devices)
    trainer.begin()
    trainer.fit(look_every=arguments.look_every, until=begun + 60 * arguments.minutes)


if __name__ == "__main__":
    main()
