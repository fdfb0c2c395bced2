"""What coarse weights cost, and that packing loses nothing else."""

from __future__ import annotations

import gzip

import numpy as np
import onnx
import pytest

from mfs_lib.deploy.browser_weights import coarse_weights, packed, plain_detector, quantise
from mfs_lib.deploy.sessions import open_session
from mfs_lib.errors import AssetError
from mfs_lib.weights.registry import fetch

Graphs = tuple[onnx.ModelProto, onnx.ModelProto]


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


class TestQuantise:
    def test_error_is_that_of_an_even_step(self) -> None:
        weight = _normal(8, 4000) * np.arange(1, 9, dtype=np.float32)[:, None]
        integers, steps = quantise(weight, 10.0)
        assert integers.dtype == np.int8 and integers.shape == weight.shape
        np.testing.assert_allclose(steps, np.arange(1, 9) / 10, rtol=0.05)
        error = weight - integers * steps[:, None]
        assert (np.abs(error) <= steps[:, None] * 0.5001).all()
        np.testing.assert_allclose(error.std(axis=1), steps / 12**0.5, rtol=0.05)

    def test_outliers_are_kept(self) -> None:
        weight = _normal(1, 4000)
        weight[0, 7] = 50.0
        integers, steps = quantise(weight, 40.0)
        assert integers[0, 7] * steps[0] == pytest.approx(50.0)

    def test_silent_channel(self) -> None:
        integers, steps = quantise(np.zeros((2, 5), np.float32))
        assert not integers.any() and (steps > 0).all()


def test_quantised_graph_is_small_and_the_original_untouched(graphs: Graphs) -> None:
    before = graphs[0].SerializeToString(deterministic=True)
    small = coarse_weights(graphs[0])
    onnx.checker.check_model(small)
    assert small.ByteSize() < 0.27 * len(before)
    assert graphs[0].SerializeToString(deterministic=True) == before


class TestPlainDetector:
    def test_any_size_gives_that_many_places(self) -> None:
        session = open_session(plain_detector(onnx.load(str(fetch("yunet")))))
        outputs = session.run(["cls_8", "kps_32"], {"input": np.zeros((1, 3, 96, 160), np.float32)})
        assert [part.shape for part in outputs] == [(1, 12 * 20, 1), (1, 3 * 5, 10)]

    def test_other_graphs_are_refused(self, graphs: Graphs) -> None:
        with pytest.raises(AssetError, match="YuNet"):
            plain_detector(graphs[1])


def test_packing_is_gzip_and_repeatable() -> None:
    content = b"weights" * 1000 + bytes(_normal(1000))
    assert gzip.decompress(packed(content)) == content
    assert packed(content) == packed(content)
