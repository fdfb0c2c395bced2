"""What every metric says of swaps whose worth is known: `python -m mfs_lib.reproduction.baselines`.

In the face world the exact swap is there, so that a metric can be judged itself. It measures, on the same pairs:

| system    | swaps                                                       | worth                             |
|-----------|-------------------------------------------------------------|-----------------------------------|
| truth     | the exact swaps                                             | the best that is possible         |
| blurred   | the exact swaps, seen through a box filter of 5 pixels      | right face, wrong sharpness       |
| half      | half truth, half target, pixel by pixel                     | half a swap                       |
| student   | those of the package's student                              | the question                      |
| target    | the untouched targets: nothing was swapped                  | worthless                         |
| source    | the source pictures in the target's place                   | right person, all else wrong      |
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.evaluation.evaluate import Backends, evaluate
from mfs_lib.evaluation.folders import SwapSet
from mfs_lib.reproduction.student_report import WORLD_SEED, world_swaps
from mfs_lib.results import append_record
from mfs_lib.runinfo import file_digest
from mfs_lib.weights.shipped import load_student, student_path

SYSTEMS = ("truth", "blurred", "half", "student", "target", "source")
EXPERIMENT = "baselines"


def baseline_swaps(student: SwapSet) -> dict[str, Tensor]:
    """Swaps (N, 3, S, S) in [0, 1] of every system, on the pairs of a student's.

    Raises:
        InputError: their exact swaps aren't known.
    """
    truth, target = student.truth, student.target[student.target_of]
    if truth is None:
        raise InputError("baselines need pairs whose exact swap is known: those of the face world")
    return {
        "truth": truth,
        "blurred": functional.avg_pool2d(truth, 5, 1, 2, count_include_pad=False),
        "half": (truth + target) / 2,
        "student": student.swap,
        "target": target,
        "source": student.source[student.source_of],
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200, help="sampled pairs")
    parser.add_argument("--output", type=Path, default=Path("results/baselines.jsonl"))
    options = parser.parse_args()
    student, backends = load_student(), Backends.load()
    student.network.use_backend("matmul")
    ours = world_swaps(student, options.pairs)
    for name, swaps in baseline_swaps(ours).items():
        begun = time.perf_counter()
        found = evaluate(replace(ours, swap=swaps), backends=backends)
        record = found.record(
            f"{EXPERIMENT}/{name}", wall_seconds=time.perf_counter() - begun, seed=WORLD_SEED,
            data_digest=file_digest(student_path()),
        )  # fmt: skip
        append_record(options.output, record)


if __name__ == "__main__":
    main()
