"""The shipped student with a sampled person baked in, and what every format must pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from mfs_lib.deploy.formats import Format, format_named, frame_of
from mfs_lib.deploy.frame import Layout
from mfs_lib.deploy.parity import ParityReport, check, parity, sampled_faces, sampled_identity
from mfs_lib.networks.mobilefaceswap import StaticSwapper
from mfs_lib.weights.shipped import load_student

SIZE = 128


@pytest.fixture(scope="session")
def static() -> StaticSwapper:
    """A sampled person's network."""
    return load_student().network.specialise(sampled_identity()).eval()


@pytest.fixture(scope="session")
def faces() -> Tensor:
    """Six sampled faces: parity on fifty is for the records."""
    return sampled_faces(6, size=SIZE)


@pytest.fixture
def assert_parity(
    static: StaticSwapper, faces: Tensor, tmp_path: Path
) -> Callable[[str, Layout], tuple[Path, ParityReport]]:
    """Write the network in a format and layout, run it there, and fail unless it swaps as PyTorch does."""

    def run(name: str, layout: Layout) -> tuple[Path, ParityReport]:
        form: Format = format_named(name)
        path = tmp_path / f"person{form.suffix}"
        form.export(frame_of(static, size=SIZE, layout=layout, notes={"weights": "default"}), path)
        assert sorted(tmp_path.iterdir()) == sorted(form.files(path))  # nothing else is left behind
        report = parity(form, path, static, faces, layout=layout)
        check(report, form.tolerance)
        assert report.bytes == form.size_in_bytes(path) > 400_000
        assert {"raw", "mask", "result"} == set(report.difference)
        return path, report

    return run
