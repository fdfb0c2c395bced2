"""Trains a student: `python -m mfs_lib.training.student experiments/first_student.yaml --run runs/first`.

Run again with the same folder, it resumes. Writes `log.jsonl` (losses and what the swap does), `samples_*.png` and
`state.pt` (to resume); `mfs_lib.training.ship` makes weights to publish of it.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from mfs_lib.errors import ConfigError
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, SwapOutput
from mfs_lib.networks.mobilenet_v2 import MobileNetV2Features
from mfs_lib.networks.sface import SFace
from mfs_lib.training import losses
from mfs_lib.training.adversarial import Adversary, middle
from mfs_lib.training.averaging import update_average
from mfs_lib.training.batches import Batch, Sampler
from mfs_lib.training.collapse import CollapseDetector, take_look
from mfs_lib.training.config import LossConfig, StageConfig, StudentExperiment, load_experiment
from mfs_lib.training.distillation_losses import full_mask_loss, perceptual_to_teacher
from mfs_lib.training.identity_code import explained_by_embedding, learn_code
from mfs_lib.training.multiscale import MultiScaleHeads
from mfs_lib.training.prepare import Pools, prepare
from mfs_lib.training.runlog import forget_log_after, log_entry
from mfs_lib.training.samples import write_samples
from mfs_lib.weights.models import load_mobilenet_v2, load_sface
from mfs_lib.weights.shipped import load_student

_CHECKPOINT_STEPS = 500
_PERCEPTUAL_TAPS = 3
_FROM_TEACHER = ("rec", "raw", "laplacian", "multiscale", "per", "per_squared")
"""Losses that α weighs: they compare with the teacher's picture."""


def freeze_norms(network: nn.Module) -> None:
    """Let batch normalisation use its running statistics, its scale and shift still learning.

    The statistics of a small batch depend on who else is in it, and some of these layers lie right before the picture.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eval()


def _first_weights(experiment: StudentExperiment) -> MobileFaceSwap:
    """The experiment's network at random, or with the weights that it begins from.

    Raises:
        ConfigError: those are of another network.
    """
    if not experiment.start:
        return MobileFaceSwap(experiment.network)
    student = load_student(experiment.start)
    if student.network.config != experiment.network:
        raise ConfigError(f"the weights of {student.name} are those of another network than the experiment's")
    return student.network.train()


class Trainer:
    """A run: networks, optimiser, data and where it stands."""

    def __init__(self, experiment: StudentExperiment, pools: Pools, folder: Path) -> None:
        torch.manual_seed(experiment.seed)
        self.experiment, self.folder = experiment, folder
        self.student = _first_weights(experiment)
        self.student.use_backend("matmul")
        self._keep_code()
        self.heads = MultiScaleHeads(experiment.network.channels[-2::-1])
        self.adversary = Adversary()
        self.sface: SFace = load_sface()
        self.generator = torch.Generator().manual_seed(experiment.seed)
        self.sampler = Sampler(pools.sampled, pools.reverse, pools.bank, generator=self.generator)
        self.pools = pools
        self.parameters = [*self.student.parameters(), *self.heads.parameters()]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
        self.average = copy.deepcopy(self.student).eval().requires_grad_(False)
        self.detector = CollapseDetector()
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)

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
            forget_log_after(self.folder, -1)
            assert self.student.iin.code is not None  # checked with the experiment
            found = learn_code(
                self.student.iin.code, self.sampler.bank, self.pools.codes, steps=self.experiment.code_steps,
                generator=self.generator,
            )  # fmt: skip
            self.average.load_state_dict(self.student.state_dict())
            known = explained_by_embedding(self.sampler.bank, self.pools.codes)
            log_entry(self.folder, {"step": 0, "code_explained": found, "embedding_explained": known})
            self.save()

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
        if samples and wanted.id:
            values["id"] = self._identity(batch, out.result, samples)
        if wanted.per or wanted.per_squared:
            values |= self._perceptual(out.result[:known], truth, wanted)
        if wanted.adv:
            values["adv"] = self.adversary.loss(out.result)
        if batch.free:
            values["tone"] = losses.tone_loss(out.result[known:], batch.target[known:], batch.face[known:])
            values["background"] = losses.background_loss(out.result[known:], batch.target[known:], batch.face[known:])
        alpha = batch.alpha[:known]
        return {name: (alpha * value if name in _FROM_TEACHER else value).mean() for name, value in values.items()}

    def _identity(self, batch: Batch, result: Tensor, samples: int) -> Tensor:
        """Identity loss of all pictures without truth and of some with it."""
        count = len(result)
        shown = torch.randperm(count - batch.free, generator=self.generator)[: max(0, samples - batch.free)]
        index = torch.cat([shown, torch.arange(count - batch.free, count)])
        features = self.sface(arcface_view(result[index]))
        return losses.identity_loss(features.embedding, batch.source.embedding[index])

    @cached_property
    def _perception(self) -> MobileNetV2Features:
        """Loaded by the first stage that wants it."""
        return load_mobilenet_v2()

    def _perceptual(self, result: Tensor, truth: Tensor, weights: LossConfig) -> dict[str, Tensor]:
        with torch.no_grad():
            theirs = self._perception(middle(truth), taps=_PERCEPTUAL_TAPS)
        mine = self._perception(middle(result), taps=_PERCEPTUAL_TAPS)
        values = {"per": losses.perceptual_loss(mine, theirs)} if weights.per else {}
        return values | ({"per_squared": perceptual_to_teacher(mine, theirs)} if weights.per_squared else {})

    def train_step(self) -> dict[str, float]:
        """One optimiser step; returns the unweighted losses."""
        stage, in_stage = self._stage()
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(stage, in_stage)
        experiment = self.experiment
        batch = self.sampler.draw(stage.size, stage.batch or experiment.batch)
        self.student.train()
        if self.step >= experiment.freeze_norms_at:
            freeze_norms(self.student)
        self._keep_code()
        levels: list[Tensor] = []
        out = self.student.apply_weights(batch.target, self.student.inject(batch.source), levels=levels)
        values = self.losses(batch, out, levels, stage)
        weights = self._weights(stage)
        total = torch.stack([getattr(weights, name) * value for name, value in values.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, self.experiment.clip)
        self.optimiser.step()
        update_average(self.average, self.student, self.experiment.ema, self.step)
        self.step += 1
        measured = {**{k: v.item() for k, v in values.items()}, "total": total.item(), "gradient": norm.item()}
        if weights.adv:
            # Where the truth is known nothing but how they were made tells the two apart; a teacher's picture isn't real.
            real = batch.truth if self.experiment.teacher.name == "oracle" else batch.target
            measured["discriminator"] = self.adversary.learn(out.result[: batch.known], real[: batch.known])
        return measured

    @torch.no_grad()
    def look(self) -> dict[str, float]:
        """What the averaged student does on pictures it never trains on; tells the collapse detector."""
        stage, _ = self._stage()
        watched = self.pools.watch.at(stage.size)
        result = self.average(watched.target, watched.source).result
        seen, own = (self.sface(arcface_view(x)).embedding for x in (result, watched.target))
        write_samples(self.folder / f"samples_{self.step:06d}.png", watched, result)
        source = watched.source.embedding
        change = (result - watched.target).abs().mean((1, 2, 3))
        self.detector.add(
            take_look(self.step / self.experiment.steps, result=seen, source=source, target=own, change=change)
        )
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

    def _error_taught(self, size: int, count: int) -> float:
        """The error ratio on sampled triplets that it learns from: how much better, tells what it learned by heart."""
        pool, some = self.pools.sampled, slice(0, count)
        target, truth = (
            F.interpolate(x[some] / 255.0, size=(size, size), mode="area") for x in (pool.target, pool.truth)
        )
        result = self.average(target, self.sampler.bank[pool.source[some, 0]]).result
        return losses.error_ratio(result, target, truth)

    def save(self) -> None:
        """Everything needed to go on, under its final name only when complete."""
        state = {
            "student": self.student.state_dict(), "heads": self.heads.state_dict(), "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(), "adversary": self.adversary.state_dict(),
            "generator": self.generator.get_state(), "step": self.step, "detector": self.detector.state_dict(),
        }  # fmt: skip
        partial = self.folder / "state.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "state.pt")

    def resume(self) -> None:
        """Go on from `state.pt` if it is there."""
        path = self.folder / "state.pt"
        if path.is_file():
            state = torch.load(path, weights_only=True)
            self.student.load_state_dict(state["student"])
            self.heads.load_state_dict(state["heads"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.adversary.load_state_dict(state["adversary"])
            self.generator.set_state(state["generator"])
            self.step = state["step"]
            self.detector.load_state_dict(state["detector"])
            forget_log_after(self.folder, self.step)

    def fit(self, *, look_every: int, until: float = math.inf) -> None:
        """Train to the last step, or until a time (seconds since the epoch)."""
        begun, mean = time.time(), dict[str, float]()
        with tqdm(total=self.experiment.steps, initial=self.step, desc="training") as bar:
            while self.step < self.experiment.steps and time.time() < until:
                values = self.train_step()
                mean = {k: 0.98 * mean.get(k, v) + 0.02 * v for k, v in values.items()}
                bar.update()
                if self.step % look_every == 0 or self.step == self.experiment.steps:
                    log_entry(self.folder, {"step": self.step, "seconds": time.time() - begun, **mean, **self.look()})
                if self.step % _CHECKPOINT_STEPS == 0:
                    self.save()
        self.save()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="YAML file")
    parser.add_argument("--run", type=Path, required=True, help="folder of this run; resumes what it holds")
    parser.add_argument("--look-every", type=int, default=500, help="steps between pictures and log lines")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop (resumably) after this long")
    arguments = parser.parse_args()
    begun = time.time()
    experiment = load_experiment(arguments.experiment)
    trainer = Trainer(experiment, prepare(experiment, arguments.run), arguments.run)
    trainer.begin()
    trainer.fit(look_every=arguments.look_every, until=begun + 60 * arguments.minutes)


if __name__ == "__main__":
    main()
