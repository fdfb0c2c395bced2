"""What a swap loses in fewer bits, or with a cheaper mask: every variant through the evaluation suite, on the same pairs.

`python -m mfs_lib.reproduction.variants_report` appends a record `variants/NAME` for each to `results/variants.jsonl`. Each
pair's own person is specialised, stored in the variant's form and run by ONNX Runtime, as an export would be.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor
from tqdm import tqdm

from mfs_lib.deploy.baking import bake
from mfs_lib.deploy.formats import format_named
from mfs_lib.deploy.frame import injected_weights, weight_names
from mfs_lib.deploy.onnx import frame_model, save_model
from mfs_lib.deploy.quantise import VARIANTS, Bits, quantised
from mfs_lib.deploy.sessions import RUNTIME, Runner, open_session, runner
from mfs_lib.evaluation.evaluate import Backends, evaluate
from mfs_lib.evaluation.folders import SwapSet
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.reproduction.sampled_pairs import SampledPairs, draw_pairs
from mfs_lib.results import Metric, append_record
from mfs_lib.runinfo import file_digest
from mfs_lib.weights.shipped import Student, load_student, student_path

PAIRS_SEED = 20_262
CALIBRATION_SEED = 20_263
CALIBRATION_FACES = 32
HALF_MASK = "half-mask"
"""The variant whose mask is found at half the size (see `deploy.heads.HalfMaskHead`), in 32 bits."""

BFLOAT = "bfloat16"
"""The variant that OpenVINO computes in bfloat16, where it is installed and the processor can."""

NAMES: tuple[str, ...] = (*VARIANTS, HALF_MASK, BFLOAT)
FloatArray = npt.NDArray[np.float32]


def calibration_faces(size: int, count: int = CALIBRATION_FACES) -> list[FloatArray]:
    """Target crops (1,3,S,S) in [0,1] of sampled people that no measurement uses."""
    generator = torch.Generator().manual_seed(CALIBRATION_SEED)
    return [face[None].numpy() for face in MorphableWorld.load().sample(count, generator, size=size).image]


def open_frame(student: Student, name: str) -> onnx.ModelProto:
    """The student's frame file that a variant begins with."""
    config = student.network.config
    size = config.feature_size
    nobody = IdentityFeatures(torch.zeros(1, config.embedding_dim), torch.zeros(1, config.feature_channels, size, size))
    static = student.network.specialise(nobody)
    half = name == HALF_MASK
    return frame_model(static, size=student.crop_size, layout="packed", outputs=("result",), half_mask=half)


@torch.no_grad()
def variant_swaps(student: Student, pairs: SampledPairs, name: str, faces: Sequence[FloatArray]) -> tuple[Tensor, int]:
    """Swaps (N,3,S,S) of all pairs by one variant, and the bytes of one person's file."""
    frame, names = open_frame(student, name), weight_names(5, 4)
    bits: Bits = name if name in VARIANTS else "float32"
    swaps, size = [], 0
    for index in tqdm(range(len(pairs)), desc=name):
        weights = injected_weights(student.network.inject(pairs.part(slice(index, index + 1)).identity))
        person = bake(frame, {key: value.numpy() for key, value in zip(names, weights, strict=True)})
        model = quantised(person, bits, faces=faces)
        size = model.ByteSize()
        run = _in_bfloat16(model) if name == BFLOAT else runner(open_session(model))
        swaps.append(torch.from_numpy(run({"target": pairs.target[index : index + 1].numpy()})["result"]))
    return torch.cat(swaps).clamp(0, 1), size


def _in_bfloat16(model: onnx.ModelProto) -> Runner:
    """A person's ONNX model run by OpenVINO (which reads such files, too) in bfloat16."""
    form = format_named("openvino-bf16")
    form.require()
    with tempfile.TemporaryDirectory() as folder:
        run = form.load(save_model(model, Path(folder) / "person.onnx"), 1)
    return lambda inputs: run(inputs["target"])


def difference_metrics(swaps: Tensor, reference: Tensor, size: int) -> list[Metric]:
    """How far a variant's swaps lie from the 32-bit network's, in grey levels, and what its file weighs."""
    difference = 255 * (swaps - reference).abs()
    protocol = "result of the crop against the float32 network's, same person, same runtime"
    values = {"largest_difference": difference.max(), "mean_difference": difference.mean()}
    found = [
        Metric(name=key, value=float(value), unit="grey levels", backend=RUNTIME, protocol=protocol, n=len(swaps))
        for key, value in values.items()
    ]
    return [*found, Metric(name="file_bytes", value=float(size), protocol="one person's ONNX file", n=1)]


def report(output: Path, *, count: int, names: Sequence[str], log: Callable[[str], None] = tqdm.write) -> None:
    """Measure the named variants on `count` sampled pairs and append their records."""
    student, backends = load_student(), Backends.load()
    pairs = draw_pairs(count, student.crop_size, PAIRS_SEED)
    faces = calibration_faces(student.crop_size)
    exact = variant_swaps(student, pairs, "float32", faces)
    for name in names:
        begun = time.perf_counter()
        swaps, size = exact if name == "float32" else variant_swaps(student, pairs, name, faces)
        found = evaluate(
            SwapSet.of_pairs(swaps, pairs.source, pairs.target, pairs.truth), backends=backends, progress=False
        )
        record = found.record(
            f"variants/{name}", wall_seconds=time.perf_counter() - begun, seed=PAIRS_SEED,
            data_digest=file_digest(student_path()),
        )  # fmt: skip
        append_record(output, replace(record, metrics=(*record.metrics, *difference_metrics(swaps, exact[0], size))))
        log(f"{name}: {found.metric('retrieval')} found again, verdict: {found.verdict}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "variants",
        nargs="*",
        default=NAMES[:-1],
        metavar="VARIANT",
        help=f"of {', '.join(NAMES)} (default: all but the last)",
    )
    parser.add_argument("--pairs", type=int, default=200, help="sampled pairs (default: 200)")
    parser.add_argument("--output", type=Path, default=Path("results/variants.jsonl"))
    options = parser.parse_args()
    unknown = sorted(set(options.variants) - set(NAMES))
    if unknown:
        parser.error(f"no variant {unknown[0]!r}: there are {', '.join(NAMES)}")
    report(options.output, count=options.pairs, names=options.variants)


if __name__ == "__main__":
    main()
