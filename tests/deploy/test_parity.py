"""The parity report: what differs is seen, and what doesn't swap can't pass."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mfs_lib.deploy.formats.base import FloatArray
from mfs_lib.deploy.parity import (
    Comparison,
    Difference,
    ParityReport,
    check,
    compare,
    sampled_faces,
    sampled_identity,
)
from mfs_lib.errors import InputError, ParityError
from mfs_lib.networks.mobilefaceswap import StaticSwapper, SwapOutput
from mfs_lib.weights.shipped import load_student


@pytest.fixture(scope="module")
def static() -> StaticSwapper:
    return load_student().network.specialise(sampled_identity()).eval()


@pytest.fixture(scope="module")
def faces() -> Tensor:
    return sampled_faces(3, size=128)


class Copy:
    """The reference as a runner, mixed with the target."""

    def __init__(self, static: StaticSwapper, mix: float = 0.0, add: float = 0.0) -> None:
        self.static, self.mix, self.add = static, mix, add

    @torch.no_grad()
    def __call__(self, target: FloatArray) -> dict[str, FloatArray]:
        output = self.static(torch.from_numpy(target))
        raw = (1 - self.mix) * output.raw.numpy() + self.mix * target + np.float32(self.add)
        return {"raw": raw, "mask": output.mask.numpy()}


def report_of(found: Comparison) -> ParityReport:
    return ParityReport(
        format="onnx", layout="folded", size=128, faces=3, difference=found.difference, change=found.change,
        copy_change=found.copy_change, bytes=1, versions={}, machine="none",
    )  # fmt: skip


def test_the_same_network_passes_and_the_report_is_plain(static: StaticSwapper, faces: Tensor) -> None:
    report = report_of(compare(Copy(static), static, faces))
    check(report, 1e-5)
    assert report.difference["raw"].max < 1e-6
    assert report.change.mean > 0.01 and report.change.max > 0.2
    assert json.loads(json.dumps(report.to_dict()))["change"]["mean"] == report.change.mean
    assert "on 3 faces" in str(report)


def test_a_copy_that_gives_the_target_back_fails_whatever_the_tolerance(static: StaticSwapper, faces: Tensor) -> None:
    report = report_of(compare(Copy(static, mix=1.0), static, faces))
    assert report.copy_change.mean < 1e-6
    with pytest.raises(ParityError, match="hardly swaps"):
        check(report, 1.0)


def test_a_copy_that_swaps_a_little_less_fails(static: StaticSwapper, faces: Tensor) -> None:
    report = report_of(compare(Copy(static, mix=0.1), static, faces))
    with pytest.raises(ParityError, match="is another function"):
        check(report, 1e-2)


def test_what_is_not_a_number_fails(static: StaticSwapper, faces: Tensor) -> None:
    report = report_of(compare(Copy(static, add=float("nan")), static, faces))
    with pytest.raises(ParityError):
        check(report, 1.0)


def test_nothing_is_compared_with_a_network_that_does_nothing(faces: Tensor) -> None:
    class Idle(nn.Module):
        def forward(self, target: Tensor) -> SwapOutput:
            return SwapOutput(target, target, torch.ones_like(target[:, :1]))

    def same(target: FloatArray) -> dict[str, FloatArray]:
        return {"raw": target, "mask": np.ones_like(target[:, :1])}

    found = compare(same, Idle(), faces)  # type: ignore[arg-type]
    assert found.difference["result"] == Difference(0.0, 0.0)
    with pytest.raises(InputError, match="less than a grey level"):
        check(report_of(found), 1.0)


def test_outputs_that_do_not_tell_the_swap_are_refused(static: StaticSwapper, faces: Tensor) -> None:
    with pytest.raises(InputError, match="raw and mask, or result"):
        compare(lambda target: {"mask": target[:, :1]}, static, faces)
    with pytest.raises(ParityError, match="has the shape"):
        compare(lambda target: {"result": target[:, :1]}, static, faces)


def test_sampled_faces_are_the_same_each_time_and_differ() -> None:
    first, again = sampled_faces(2, size=64), sampled_faces(2, size=64)
    assert torch.equal(first, again)
    assert (first[0] - first[1]).abs().mean() > 0.02
    assert (sampled_faces(2, size=64, seed=1) - first).abs().mean() > 0.02
