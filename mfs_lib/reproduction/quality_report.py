"""Examines a quality scorer: `python -m mfs_lib.reproduction.quality_report faceshifter_64 --run DIR`.

Pairs of sampled people, whom neither the teacher nor Q has seen, are swapped by the checkpoints of the teacher's run, and
every picture gets Q, cos², α, and its real errors to the exact truth (see ``examination``). It appends to
`results/quality.jsonl`:

| experiment               | what                                                                                 |
|--------------------------|--------------------------------------------------------------------------------------|
| quality/NAME             | what Q knows: of progress, of the final teacher's errors, of those across checkpoints |
| quality/NAME/at_005 ...  | calibration: what Q predicts for the checkpoint at 5 % of the training, and so on      |

The final teacher is the run's last checkpoint, or the one given by `--teacher` (the shipped file, whose kernels are
rounded). `--fit` fits Q first and writes it to `--scorer`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from mfs_lib.networks.quality import QualityScorer
from mfs_lib.reproduction.examination import (
    Scored,
    across_checkpoints,
    fact_correlations,
    means,
    score,
    weights_of,
    within_teacher,
)
from mfs_lib.reproduction.measure import swaps_of, teacher_system
from mfs_lib.reproduction.rank_statistics import bootstrap, estimate_rows, spearman
from mfs_lib.reproduction.sampled_pairs import PAIRS_SEED, SampledPairs, draw_pairs
from mfs_lib.results import Metric, Record, append_record
from mfs_lib.runinfo import file_digest
from mfs_lib.training.quality import QualityConfig, fit_from_run, load_quality, snapshots
from mfs_lib.training.teachers.trained import TrainedTeacher, load_trained

FILE = Path("results/quality.jsonl")
SCORER = QualityConfig(width=24, steps=800)
"""How the scorers of this book are fitted."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a run's K checkpoints made of the first pairs, and its final teacher of all of them."""

    progress: tuple[float, ...]
    every: list[Tensor]
    final: Tensor
    pairs: SampledPairs

    @property
    def few(self) -> SampledPairs:
        """The pairs that every checkpoint swapped."""
        return self.pairs.first(len(self.every[0]))


def ask(checkpoints: Sequence[TrainedTeacher], final: TrainedTeacher, pairs: SampledPairs, few: int) -> Answers:
    """Let the final teacher swap all pairs and each checkpoint the first `few`."""
    first = pairs.first(few)
    every = [swaps_of(teacher_system(one), first) for one in checkpoints]
    return Answers(tuple(one.progress for one in checkpoints), every, swaps_of(teacher_system(final), pairs), pairs)


def calibration_records(name: str, answers: Answers, scored: Scored, digest: str) -> list[Record]:
    """One record for each checkpoint: its progress, and Q's mean prediction with the middle nine tenths of pictures."""
    records = []
    for row, progress in enumerate(answers.progress):
        q, n = scored.weights["q"][row], len(answers.few)
        spread = np.quantile(q, [0.05, 0.95])
        values = {
            "progress": (progress, "share of the training that was done"), "q": (float(q.mean()), "mean of Q over pairs"),
            "q_5": (float(spread[0]), "5 % of the pictures are scored lower"),
            "q_95": (float(spread[1]), "95 % of the pictures are scored lower"),
            "cos2": (float(scored.weights["cos2"][row].mean()), "mean of SFace's squared cosine to the source"),
            "error": (float(scored.errors["error"][row].mean()), "mean absolute error to the truth, grey levels"),
        }  # fmt: skip
        metrics = tuple(Metric(name=k, value=v, protocol=text, n=n) for k, (v, text) in values.items())
        records.append(record_of(f"quality/{name}/at_{round(100 * progress):03d}", metrics, 0.0, digest))
    return records


def examination_metrics(answers: Answers, scored: Scored, scorer: QualityScorer) -> tuple[Metric, ...]:
    """Everything that is asked of Q, and of what it is multiplied by."""
    pairs, few = answers.pairs, answers.few
    final = score([answers.final], pairs, scorer)
    q, done = scored.weights["q"], np.array(answers.progress)
    true = np.repeat(done[:, None], q.shape[1], 1)
    rank = bootstrap(lambda i: spearman(q[:, i].ravel(), true[:, i].ravel()), len(few))
    error = bootstrap(lambda i: float(np.abs(q[:, i] - true[:, i]).mean()), len(few))
    single = {name: table[0] for name, table in final.weights.items()}
    facts, target = pairs.fact_columns(), weights_of(pairs.target, pairs, scorer)
    same = bootstrap(lambda i: spearman(single["q"][i], target["q"][i]), len(pairs))
    return (
        *estimate_rows("progress_by_q", rank, "rank correlation of Q and true progress, unseen pairs", q.size),
        *estimate_rows(
            "progress_error", error, "mean absolute difference of Q and true progress", q.size, backend="none"
        ),
        *within_teacher(final, facts),
        *fact_correlations(final, facts),
        *estimate_rows(
            "q_by_target", same, "rank correlation of Q of the swap and Q of the untouched target", len(pairs)
        ),
        *across_checkpoints(scored),
        *means("final", single, "the final teacher's swaps"),
        *means("truth", weights_of(pairs.truth, pairs, scorer), "the exact swaps"),
        *means("target", target, "the untouched targets"),
    )


def digest_of(run: Path) -> str:
    """Of a run's last checkpoint, which tells runs apart."""
    return file_digest(sorted(run.glob("checkpoints/*.safetensors"))[-1])


def record_of(experiment: str, metrics: tuple[Metric, ...], seconds: float, digest: str) -> Record:
    """A record of what was measured on the pairs of this report."""
    return Record(
        experiment=experiment, profile="mini", seed=PAIRS_SEED, metrics=metrics, device="cpu", wall_seconds=seconds,
        data_digest=digest,
    )  # fmt: skip


def examine(name: str, run: Path, scorer: QualityScorer, final: Path | None, *, pairs: int, few: int) -> list[Record]:
    """The main record and those of the calibration."""
    begun, checkpoints = time.perf_counter(), snapshots(run)
    teacher = checkpoints[-1] if final is None else load_trained(final)
    drawn = draw_pairs(pairs, teacher.crop_size)
    answers = ask(checkpoints, teacher, drawn, few)
    scored = score(answers.every, answers.few, scorer)
    digest = digest_of(run)
    calibration = calibration_records(name, answers, scored, digest)
    metrics = examination_metrics(answers, scored, scorer)
    return [*calibration, record_of(f"quality/{name}", metrics, time.perf_counter() - begun, digest)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the teacher, for the records")
    parser.add_argument("--run", type=Path, required=True, help="folder of the teacher's run, with its checkpoints")
    parser.add_argument("--scorer", type=Path, help="file of Q (default: quality.safetensors in the run's folder)")
    parser.add_argument("--fit", action="store_true", help=f"fit Q first, at a width of {SCORER.width}")
    parser.add_argument("--teacher", type=Path, help="the final teacher's file (default: the run's last checkpoint)")
    parser.add_argument("--pairs", type=int, default=500, help="that the final teacher swaps")
    parser.add_argument("--pairs-each", type=int, default=100, help="of them, those that every checkpoint swaps")
    parser.add_argument("--output", type=Path, default=FILE)
    options = parser.parse_args()
    path = options.scorer or options.run / "quality.safetensors"
    if options.fit:
        fit_from_run(options.run, path, SCORER)
    scorer = load_quality(path)
    found = examine(
        options.name,
        options.run,
        scorer,
        options.teacher,
        pairs=options.pairs,
        few=min(options.pairs_each, options.pairs),
    )
    for record in found:
        append_record(options.output, record)


if __name__ == "__main__":
    main()
