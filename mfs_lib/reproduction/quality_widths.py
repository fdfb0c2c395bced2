"""Does a larger scorer know more? `python -m mfs_lib.reproduction.quality_widths faceshifter_64 --run DIR`.

Scorers of several widths are fitted alike to what the checkpoints of a teacher's run made of the same pairs. For each,
`results/quality.jsonl` gets a record quality/NAME/width_08 and so on: the rank correlation with progress on pairs that
were held out, and with the final teacher's real errors, facts of the pair taken out (see ``examination``).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from mfs_lib.evaluation.metrics.samples import FloatArray
from mfs_lib.networks.common import count_parameters
from mfs_lib.networks.quality import QualityScorer
from mfs_lib.reproduction.examination import ERRORS, errors_of
from mfs_lib.reproduction.measure import swaps_of, teacher_system
from mfs_lib.reproduction.quality_report import FILE, SCORER, digest_of, record_of
from mfs_lib.reproduction.rank_statistics import bootstrap, estimate_rows, partial_spearman
from mfs_lib.reproduction.sampled_pairs import SampledPairs, draw_pairs
from mfs_lib.results import Metric, Record, append_record
from mfs_lib.training.quality import QualityConfig, fit_and_test, label_run, load_quality, score_images, snapshots
from mfs_lib.training.sampled import to_uint8

WIDTHS = (8, 16, 24, 32, 64)


def _errors_known(
    scorer: QualityScorer, pictures: Tensor, errors: dict[str, FloatArray], facts: FloatArray
) -> list[Metric]:
    """The metrics `error_by_q_given_facts` and so on of one scorer."""
    q, rows = score_images(scorer, to_uint8(pictures)).double().numpy(), []
    for kind in ERRORS:
        error = errors[kind]
        known = bootstrap(lambda i, e=error: partial_spearman(q[i], e[i], facts[i]), len(q))  # type: ignore[misc]
        protocol = "partial rank correlation over pairs, final teacher; facts of the pair taken out"
        rows += estimate_rows(f"{kind}_by_q_given_facts", known, protocol, len(q))
    return rows


def width_records(
    name: str, run: Path, config: QualityConfig, widths: Sequence[int], pairs: SampledPairs, folder: Path
) -> Iterator[Record]:
    """A record for each width as soon as its scorer is fitted; the scorers are kept in `folder`."""
    train, test = label_run(run, config)
    pictures = swaps_of(teacher_system(snapshots(run)[-1]), pairs)
    errors, facts = errors_of(pictures, pairs), pairs.fact_columns()
    for width in widths:
        begun, path = time.perf_counter(), folder / f"width_{width:02d}.safetensors"
        found = fit_and_test(train, test, replace(config, width=width), path)
        protocol = f"{config.steps} steps of {config.batch} pictures, {config.pairs} pairs, {config.held_out} held out"
        metrics = (
            Metric(name="spearman", value=found, backend="spearman", protocol=protocol, n=len(test)),
            Metric(
                name="parameters", value=count_parameters(QualityScorer(width=width)), protocol="of the scorer", n=1
            ),
            *_errors_known(load_quality(path), pictures, errors, facts),
        )
        yield record_of(f"quality/{name}/width_{width:02d}", metrics, time.perf_counter() - begun, digest_of(run))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the teacher, for the records")
    parser.add_argument("--run", type=Path, required=True, help="folder of the teacher's run, with its checkpoints")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--steps", type=int, default=SCORER.steps, help="of each fit")
    parser.add_argument("--pairs", type=int, default=300, help="that the final teacher swaps")
    parser.add_argument("--scorers", type=Path, help="folder that keeps them (default: widths in the run's folder)")
    parser.add_argument("--output", type=Path, default=FILE)
    options = parser.parse_args()
    pairs = draw_pairs(options.pairs, snapshots(options.run)[-1].crop_size)
    folder = options.scorers or options.run / "widths"
    config = replace(SCORER, steps=options.steps)
    for record in width_records(options.name, options.run, config, options.widths, pairs, folder):
        append_record(options.output, record)


if __name__ == "__main__":
    main()
