"""Variants go through the evaluation suite as they would be exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mfs_lib.deploy.formats import format_named
from mfs_lib.reproduction.sampled_pairs import draw_pairs
from mfs_lib.reproduction.variants_report import (
    BFLOAT,
    HALF_MASK,
    NAMES,
    calibration_faces,
    difference_metrics,
    report,
    variant_swaps,
)
from mfs_lib.results import load_records
from mfs_lib.weights.shipped import load_student


def test_variants_swap_and_differ_as_they_should() -> None:
    student = load_student()
    pairs, faces = draw_pairs(2, student.crop_size, 1), calibration_faces(student.crop_size, 4)
    swaps = {name: variant_swaps(student, pairs, name, faces) for name in NAMES if name != BFLOAT}
    with torch.no_grad():
        wanted = student.network(pairs.target, pairs.identity).result
    reference, size = swaps["float32"]
    assert (reference - wanted).abs().max() < 1e-4
    assert (reference - pairs.target).abs().mean() > 0.01
    largest = {name: 255 * float((found - reference).abs().max()) for name, (found, _) in swaps.items()}
    assert largest["float32"] == 0
    assert 0 < largest["float16"] < 2 < largest["int8"]
    assert largest["int8-weights"] > 0 and largest[HALF_MASK] > 0
    assert swaps["float16"][1] < 0.6 * size and swaps["int8-weights"][1] < 0.35 * size


def test_differences_are_in_grey_levels() -> None:
    metrics = {
        m.name: m.value for m in difference_metrics(torch.full((1, 3, 2, 2), 2 / 255), torch.zeros(1, 3, 2, 2), 7)
    }
    assert metrics["file_bytes"] == 7
    assert abs(metrics["mean_difference"] - 2) < 1e-4 and abs(metrics["largest_difference"] - 2) < 1e-4


def test_a_report_is_a_record_for_each(tmp_path: Path) -> None:
    said: list[str] = []
    report(tmp_path / "variants.jsonl", count=3, names=["float16"], log=said.append)
    (record,) = load_records(tmp_path / "variants.jsonl")
    assert record.experiment == "variants/float16"
    assert record.metric("retrieval").n == 3
    assert "float16" in said[0] and "swapped" in said[0]


def test_bfloat16_by_openvino() -> None:
    form = format_named("openvino-bf16")
    if not form.installed() or form.obstacle:
        pytest.skip("OpenVINO isn't installed, or the processor has no bfloat16")
    student = load_student()
    pairs = draw_pairs(1, student.crop_size, 1)
    exact, rough = (variant_swaps(student, pairs, name, [])[0] for name in ("float32", BFLOAT))
    assert 1e-4 < (exact - rough).abs().max() < form.tolerance
    assert (rough - pairs.target).abs().mean() > 0.01
