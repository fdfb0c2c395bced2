"""Measures teachers on sampled pairs with exact truth: `python -m mfs_lib.reproduction.teacher_report`.

It appends to `results/teachers.jsonl`:

| experiment                | what                                                                               |
|---------------------------|------------------------------------------------------------------------------------|
| teachers/NAME             | the whole evaluation suite on what a teacher makes of the pairs                    |
| teachers/target           | the same for the untouched targets: what doing nothing is worth                    |
| teachers/NAME/at_005 ...  | identity and error to the truth of the checkpoints that a run kept, at 5 % and so on |

    python -m mfs_lib.reproduction.teacher_report --teachers oracle warp faceshifter_64
    python -m mfs_lib.reproduction.teacher_report --teachers mine=DIR/teacher.safetensors --curve mine=DIR

`--stages` keeps pictures of some of these checkpoints in a file, for the book.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from tqdm import tqdm

from mfs_lib.errors import ConfigError
from mfs_lib.evaluation.evaluate import Backends, evaluate
from mfs_lib.evaluation.folders import SwapSet
from mfs_lib.evaluation.identity_metrics import embed
from mfs_lib.evaluation.metrics.identity import identity_metrics
from mfs_lib.evaluation.metrics.recognisers import DEFAULT_JUDGE, load_recogniser
from mfs_lib.evaluation.metrics.retrieval import retrieval_metric
from mfs_lib.evaluation.metrics.samples import SampleMean
from mfs_lib.evaluation.metrics.truth import truth_metrics
from mfs_lib.faces.identity import identity_of
from mfs_lib.reproduction.measure import swaps_of, teacher_system
from mfs_lib.reproduction.rank_statistics import Estimate, estimate_rows
from mfs_lib.reproduction.sampled_pairs import PAIRS_SEED, SampledPairs, draw_pairs
from mfs_lib.reproduction.stages import keep_stages
from mfs_lib.results import Metric, Record, append_record
from mfs_lib.runinfo import file_digest
from mfs_lib.training.collapse import CollapseDetector, take_look
from mfs_lib.training.quality import snapshots
from mfs_lib.training.teachers import Teacher, load_teacher
from mfs_lib.training.teachers.shipped import SHIPPED_TEACHERS, is_shipped, shipped_file
from mfs_lib.training.teachers.trained import TrainedTeacher

FILE = Path("results/teachers.jsonl")
CURVE = ("retrieval", "cos_source", "cos_target", "error", "error_ratio")
"""What is recorded of each checkpoint, beside its progress and the collapse detector's word."""


@dataclass(frozen=True)
class Named:
    """A name for the records and what it stands for: a teacher's name or file, or a run's folder."""

    name: str
    source: str

    @classmethod
    def parse(cls, text: str) -> Named:
        """From NAME=SOURCE, or a NAME alone, which then stands for itself.

        Raises:
            ConfigError: a file without a name: where it lies says nothing to a reader of the records.
        """
        name, _, source = text.rpartition("=")
        if not name and (source.endswith(".safetensors") or "/" in source):
            raise ConfigError(f"give {source} a name for the records: NAME={source}")
        return cls(name or source, source)

    @property
    def digest(self) -> str | None:
        """Of the teacher's file, where it has one."""
        if self.source in SHIPPED_TEACHERS:
            return file_digest(shipped_file(self.source))
        return file_digest(Path(self.source)) if self.source.endswith(".safetensors") else None


class Nobody:
    """Swaps nothing: what a teacher must beat."""

    name = "target"

    def swap(self, source_face: Tensor | None, target: Tensor, **_: object) -> Tensor:
        """The target."""
        del source_face
        return target


def usual_teachers() -> list[str]:
    """The oracle, the landmark warp and the trained teachers that come with the package."""
    return ["oracle", "warp", *(name for name in SHIPPED_TEACHERS if is_shipped(name))]


def measure_teacher(name: str, teacher: Teacher, pairs: SampledPairs, backends: Backends, digest: str | None) -> Record:
    """The evaluation suite on what a teacher makes of the pairs."""
    begun = time.perf_counter()
    swaps = swaps_of(teacher_system(teacher), pairs)
    found = evaluate(SwapSet.of_pairs(swaps, pairs.source, pairs.target, pairs.truth), backends=backends)
    seconds = time.perf_counter() - begun
    return found.record(f"teachers/{name}", wall_seconds=seconds, seed=PAIRS_SEED, data_digest=digest)


@dataclass(frozen=True)
class _Judged:
    """What the judge and SFace see in the pairs' pictures, which every checkpoint is held against."""

    judge: nn.Module
    source: Tensor
    target: Tensor
    target_sface: Tensor

    @classmethod
    def of(cls, pairs: SampledPairs) -> _Judged:
        judge = load_recogniser(DEFAULT_JUDGE)
        return cls(judge, embed(judge, pairs.source), embed(judge, pairs.target), identity_of(pairs.target).embedding)


def _checkpoint_metrics(swaps: Tensor, pairs: SampledPairs, seen: _Judged) -> list[Metric]:
    found, people = embed(seen.judge, swaps), range(len(pairs))
    samples: list[SampleMean] = [
        retrieval_metric(found, seen.source, people, people, backend=DEFAULT_JUDGE),
        *identity_metrics(found, seen.target, seen.source, backend=DEFAULT_JUDGE),
        *truth_metrics(swaps, pairs.truth, pairs.target),
    ]
    rows: list[Metric] = []
    for metric in samples:
        if metric.name in CURVE:
            ends = Estimate(metric.value, *metric.interval())
            rows += estimate_rows(
                metric.name, ends, metric.protocol, metric.n, backend=metric.backend, unit=metric.unit
            )
    return rows


def curve_records(
    name: str, teachers: Sequence[TrainedTeacher], pairs: SampledPairs, digest: str | None = None
) -> list[Record]:
    """One record for each checkpoint, in the order of their progress: identity, error, and whether the run collapsed."""
    seen, detector, records = _Judged.of(pairs), CollapseDetector(), []
    for teacher in tqdm(teachers, desc="checkpoints"):
        begun = time.perf_counter()
        swaps = swaps_of(teacher_system(teacher), pairs)
        change = (swaps - pairs.target).abs().mean((1, 2, 3))
        result = identity_of(swaps).embedding
        detector.add(
            take_look(
                teacher.progress,
                result=result,
                source=pairs.identity.embedding,
                target=seen.target_sface,
                change=change,
            )
        )
        n, backend = len(pairs), "sface"
        own = [
            Metric(name="progress", value=teacher.progress, protocol="share of the training that was done", n=1),
            Metric(name="collapsed", value=float(detector.collapsed), backend=backend, n=n,
                   protocol="1 where the run stays at 'output = target' (training.collapse)"),
        ]  # fmt: skip
        records.append(
            Record(
                experiment=f"teachers/{name}/at_{round(100 * teacher.progress):03d}", profile="mini", seed=PAIRS_SEED,
                metrics=(*own, *_checkpoint_metrics(swaps, pairs, seen)), device="cpu", data_digest=digest,
                wall_seconds=time.perf_counter() - begun,
            )
        )  # fmt: skip
    return records


def newest_curve(records: Sequence[Record], prefix: str) -> list[Record]:
    """The records PREFIX/at_... of the run that was measured last, by progress.

    Runs are told apart by the digest of their last checkpoint, so that a shorter run never borrows an older one's points.
    """
    found = [record for record in records if record.experiment.startswith(f"{prefix}/at_")]
    if not found:
        return []
    last = max(found, key=lambda record: record.created).data_digest
    newest = {r.experiment: r for r in sorted(found, key=lambda r: r.created) if r.data_digest == last}
    return sorted(newest.values(), key=lambda record: record.metric("progress").value)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--teachers", nargs="*", default=usual_teachers(), metavar="NAME[=FILE]", help="default: all of the package"
    )
    parser.add_argument("--curve", metavar="NAME=RUN", help="folder of a run whose checkpoints are measured as well")
    parser.add_argument("--stages", type=Path, metavar="FILE", help="keep pictures of some of them (.safetensors)")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--size", type=int, default=64, help="side of the crops: that of the trained teachers")
    parser.add_argument("--output", type=Path, default=FILE)
    options = parser.parse_args()
    chosen = [Named.parse(text) for text in options.teachers]
    pairs = draw_pairs(options.pairs, options.size)
    if chosen:
        backends = Backends.load()
        append_record(options.output, measure_teacher("target", Nobody(), pairs, backends, None))  # type: ignore[arg-type]
        for one in chosen:
            record = measure_teacher(one.name, load_teacher(one.source), pairs, backends, one.digest)
            append_record(options.output, record)
    if options.curve:
        run = Named.parse(options.curve)
        teachers = snapshots(Path(run.source))
        digest = file_digest(sorted(Path(run.source).glob("checkpoints/*.safetensors"))[-1])
        for record in curve_records(run.name, teachers, pairs, digest):
            append_record(options.output, record)
        if options.stages:
            keep_stages(options.stages, teachers, pairs)


if __name__ == "__main__":
    main()
