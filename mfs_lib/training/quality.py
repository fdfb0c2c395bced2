"""Fits the quality scorer Q of equation 4: `python -m mfs_lib.training.quality RUN --output FILE.safetensors`.

Every checkpoint that a teacher's run kept swaps the same pairs of sampled people; Q regresses, from such a picture alone,
the share of the training that its checkpoint had completed (L2 loss, as in the paper). Some pairs are held out: on them the
rank correlation of predicted and true share is measured (Spearman), and for each checkpoint the mean prediction, which a
calibration plot shows. Both go into the file's header and into FILE.json.

    scorer = load_quality(path)  # or load_quality("faceshifter_64"), which comes with the package
    q = score_images(scorer, teacher_output)  # (B,) in [0,1]
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from mfs_lib.errors import AssetError, ConfigError, InputError
from mfs_lib.networks.quality import QualityScorer
from mfs_lib.training.pools import describe
from mfs_lib.training.sampled import sampled_pool, to_uint8
from mfs_lib.training.teachers.interface import Teacher
from mfs_lib.training.teachers.shipped import SHIPPED_TEACHERS, shipped_file
from mfs_lib.training.teachers.trained import TrainedTeacher, load_trained
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.safe_io import load_weights, save_weights, write_text

PAIRS_SEED = 3_000_017
"""Of the pairs that the checkpoints swap: people whom neither training nor watching shows."""

_SPREAD = 1e-5
"""Predictions that lie closer together than this don't rank anything."""


@dataclass(frozen=True)
class QualityConfig:
    """How Q is fitted."""

    seed: int = 0
    width: int = 64  # of the ResNet-18; 64 is the paper's
    pairs: int = 200  # of people, each swapped by every checkpoint
    held_out: float = 0.2  # share of the pairs that only test
    steps: int = 1000
    batch: int = 32
    lr: float = 1e-3

    def __post_init__(self) -> None:
        """Raise ConfigError for values that nothing can be fitted with."""
        if min(self.width, self.pairs, self.steps, self.batch) < 1 or not 0 < self.held_out < 1 or self.lr <= 0:
            raise ConfigError(f"width, pairs, steps, batch and lr must be positive, held_out within (0,1): {self}")


@dataclass(frozen=True)
class Labelled:
    """Teachers' pictures (N,3,S,S) uint8, the share of its training that each one's teacher had completed (N,), pairs (N,)."""

    pictures: Tensor
    progress: Tensor
    pair: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: Tensor) -> Labelled:
        return Labelled(self.pictures[index], self.progress[index], self.pair[index])


@dataclass(frozen=True)
class Calibration:
    """Held-out predictions of the pictures of one checkpoint."""

    progress: float
    mean: float
    deviation: float
    count: int


def snapshots(run: Path) -> list[TrainedTeacher]:
    """The teachers that a run of ``mfs_lib.training.gan`` kept, from its beginning to its end.

    Raises:
        AssetError: the run kept fewer than two, or a file is damaged.
    """
    files = sorted((run / "checkpoints").glob("*.safetensors"))
    if len(files) < 2:
        raise AssetError(
            f"{run} holds {len(files)} checkpoints, which tell nothing of progress: train the teacher first"
        )
    return sorted((load_trained(file) for file in files), key=lambda teacher: teacher.progress)


def label(teachers: Sequence[tuple[Teacher, float]], target: Tensor, embedding: Tensor, batch: int = 16) -> Labelled:
    """Pictures that teachers, each with its progress, make of the same targets (N,3,S,S) and identities (N,E)."""
    pictures, progress = [], []
    for teacher, done in tqdm(teachers, desc="checkpoints"):
        pairs = zip(target.split(batch), embedding.split(batch), strict=True)  # type: ignore[no-untyped-call]
        pictures += [to_uint8(teacher.swap(None, t, embedding=z)) for t, z in pairs]
        progress.append(torch.full((len(target),), done))
    return Labelled(torch.cat(pictures), torch.cat(progress), torch.arange(len(target)).repeat(len(teachers)))


def split_pairs(data: Labelled, held_out: float, generator: torch.Generator) -> tuple[Labelled, Labelled]:
    """Pictures to learn from and pictures of other pairs to test with.

    Raises:
        InputError: too few pairs for both.
    """
    pairs = torch.unique(data.pair)
    count = round(held_out * len(pairs))
    if not 0 < count < len(pairs):
        raise InputError(f"{len(pairs)} pairs can't be parted with {held_out} of them held out: label more pairs")
    chosen = pairs[torch.randperm(len(pairs), generator=generator)[:count]]
    tests = torch.isin(data.pair, chosen)
    return data[~tests], data[tests]


def fit_quality(data: Labelled, config: QualityConfig) -> QualityScorer:
    """Q, fitted to labelled pictures, in eval mode; the same again from the same seed.

    Pictures are mirrored at random. The learning rate rises and falls once.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        scorer = QualityScorer(width=config.width)
    generator = torch.Generator().manual_seed(config.seed)
    optimiser = torch.optim.AdamW(scorer.parameters(), lr=config.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=config.steps + 1)
    scorer.train()
    for _ in tqdm(range(config.steps), desc="quality"):
        index = torch.randint(0, len(data), (config.batch,), generator=generator)
        mirrored = torch.rand((config.batch, 1, 1, 1), generator=generator) < 0.5
        picture = data.pictures[index].float() / 255
        loss = functional.mse_loss(scorer(torch.where(mirrored, picture.flip(3), picture)), data.progress[index])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return scorer.eval().requires_grad_(False)


@torch.no_grad()
def score_images(scorer: QualityScorer, images: Tensor, batch: int = 64) -> Tensor:
    """Q of pictures (N,3,S,S), in [0,1] or uint8 -> (N,) in [0,1]; in eval mode, a few pictures at a time."""
    mode = scorer.training
    scorer.eval()
    parts = images.split(batch)  # type: ignore[no-untyped-call]
    scores = [scorer(part if part.is_floating_point() else part.float() / 255) for part in parts]
    scorer.train(mode)
    return torch.cat(scores)


def rank_correlation(predicted: Tensor, true: Tensor) -> float:
    """Spearman's rank correlation of two lists (N,); 0 where the predictions are all alike, which rank nothing.

    Raises:
        InputError: lists of different lengths, or a truth without differences to rank.
    """
    if predicted.shape != true.shape or predicted.ndim != 1 or len(true) < 2 or float(true.min()) == float(true.max()):
        raise InputError(
            f"ranks need two lists of as many numbers, the true ones not all alike; got {tuple(predicted.shape)} and "
            f"{tuple(true.shape)}"
        )
    if float(predicted.max() - predicted.min()) < _SPREAD:
        return 0.0
    return float(spearmanr(predicted.numpy(), true.numpy()).statistic)


def calibrate(predicted: Tensor, true: Tensor) -> list[Calibration]:
    """Mean and deviation of the predictions (N,) for each true progress, in its order."""
    groups = [(float(value), predicted[true == value]) for value in torch.unique(true)]
    return [Calibration(v, float(g.mean()), float(g.std(correction=0)), len(g)) for v, g in groups]


def save_quality(path: Path, scorer: QualityScorer, metadata: Mapping[str, str] | None = None) -> None:
    """Write Q as safetensors (atomically); its width goes into the header."""
    save_weights(path, scorer.state_dict(), {**(metadata or {}), "network": "quality", "width": str(scorer.width)})


def load_quality(name: Path | str, *, device: torch.device | str = "cpu") -> QualityScorer:
    """Q from its file, or that of a shipped teacher by the teacher's name; in eval mode and frozen.

    Raises:
        AssetError: the file is missing or damaged, or holds something else.
    """
    path = shipped_file(str(name), "quality") if str(name) in SHIPPED_TEACHERS else Path(name)
    if not path.is_file():
        raise AssetError(f"there is no quality scorer {path}: fit one ('python -m mfs_lib.training.quality RUN')")
    state, metadata = load_weights(path)
    try:
        if metadata["network"] != "quality":
            raise AssetError(f"{path} holds {metadata['network']}, no quality scorer")
        scorer = QualityScorer(width=int(metadata["width"]))
        scorer.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError) as error:
        raise AssetError(f"{path} does not hold a quality scorer of this version ({str(error)[:80]})") from error
    return scorer.eval().requires_grad_(False).to(device)


def label_run(run: Path, config: QualityConfig) -> tuple[Labelled, Labelled]:
    """What the checkpoints of a teacher's run make of sampled pairs: pictures to learn from and pictures to test with."""
    teachers = snapshots(run)
    size, processes = teachers[0].crop_size, os.cpu_count() or 1
    pool = sampled_pool(people=config.pairs, count=config.pairs, size=size, seed=PAIRS_SEED, processes=processes)
    embedding = describe(pool.sources[pool.triplets.source[:, 0]], load_sface()).embedding
    target = pool.triplets.target.float() / 255
    data = label([(teacher, teacher.progress) for teacher in teachers], target, embedding)
    return split_pairs(data, config.held_out, torch.Generator().manual_seed(config.seed))


def fit_and_test(train: Labelled, test: Labelled, config: QualityConfig, output: Path) -> float:
    """Fit Q, write it with what the held-out pictures say of it, and return their rank correlation."""
    scorer = fit_quality(train, config)
    predicted = score_images(scorer, test.pictures)
    found = rank_correlation(predicted, test.progress)
    about = {
        "spearman": found, "held_out_pictures": len(test), "checkpoints": len(torch.unique(test.progress)),
        "config": asdict(config),
        "calibration": [asdict(point) for point in calibrate(predicted, test.progress)],
    }  # fmt: skip
    save_quality(output, scorer, {name: json.dumps(value) for name, value in about.items()})
    write_text(output.with_suffix(".json"), json.dumps(about, indent=1) + "\n")
    return found


def fit_from_run(run: Path, output: Path, config: QualityConfig) -> float:
    """Fit Q to the checkpoints of a teacher's run and write it; returns the held-out rank correlation."""
    train, test = label_run(run, config)
    return fit_and_test(train, test, config, output)


def main() -> None:
    """Command line."""
    usual = QualityConfig()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a teacher's run")
    parser.add_argument("--output", type=Path, required=True, help="file to write, ending in .safetensors")
    for name, value in asdict(usual).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = parser.parse_args()
    config = QualityConfig(**{name: getattr(arguments, name) for name in asdict(usual)})
    found = fit_from_run(arguments.run, arguments.output, config)
    tqdm.write(f"held-out rank correlation {found:.3f}")


if __name__ == "__main__":
    main()
