"""What every metric says of swaps whose worth is known: `python -m mfs_lib.evaluation.baselines`.

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
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from mfs_lib.evaluation.evaluate import Backends, evaluate
from mfs_lib.evaluation.folders import SwapSet
from mfs_lib.evaluation.student_report import WORLD_SEED, Pairs, world_pairs
from mfs_lib.results import append_record
from mfs_lib.runinfo import file_digest
from mfs_lib.weights.shipped import load_student, student_path

SYSTEMS = ("truth", "blurred", "half", "student", "target", "source")
EXPERIMENT = "baselines"


def baseline_swaps(pairs: Pairs) -> dict[str, Tensor]:
    """Swaps (N, 3, S, S) in [0, 1] of every system, on the same pairs; `pairs` must hold the truth."""
    assert pairs.truth is not None
    return {
        "truth": pairs.truth,
        "blurred": functional.avg_pool2d(pairs.truth, 5, 1, 2, count_include_pad=False),
        "half": (pairs.truth + pairs.target) / 2,
        "student": pairs.result,
        "target": pairs.target,
        "source": pairs.gallery[pairs.owner],
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200, help="sampled pairs, a multiple of 25")
    parser.add_argument("--output", type=Path, default=Path("results/baselines.jsonl"))
    options = parser.parse_args()
    student, backends = load_student(), Backends.load()
    student.network.use_backend("matmul")
    pairs = world_pairs(student.network, options.pairs, student.crop_size)
    for name, swaps in baseline_swaps(pairs).items():
        begun = time.perf_counter()
        found = evaluate(SwapSet.of_pairs(swaps, pairs.gallery, pairs.target, pairs.truth), backends=backends)
        record = found.record(
            f"{EXPERIMENT}/{name}", wall_seconds=time.perf_counter() - begun, seed=WORLD_SEED,
            data_digest=file_digest(student_path()),
        )  # fmt: skip
        append_record(options.output, record)


if __name__ == "__main__":
    main()
