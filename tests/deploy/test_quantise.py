"""Fewer bits: smaller files, a function that is near but not the same, and the person is still in it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mfs_lib.deploy.onnx import person_model
from mfs_lib.deploy.quantise import VARIANTS, Bits, channel_int8, quantised
from mfs_lib.deploy.sessions import open_session, runner
from mfs_lib.errors import ConfigError, InputError
from tests.deploy.conftest import lively_static, picture

FACES = [picture(batch=8)[i : i + 1].numpy() for i in range(8)]
#: Largest mean difference to the float32 network's picture, of a range of 1.
NEAR = {"float32": 0.0, "float16": 1e-3, "int8-weights": 0.03, "int8": 0.1}


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return person_model(lively_static("wide"), size=64)


@pytest.mark.parametrize("bits", VARIANTS)
def test_a_variant_is_near_the_network(model: onnx.ModelProto, bits: Bits) -> None:
    before = model.SerializeToString()
    made = quantised(model, bits, faces=FACES)
    assert model.SerializeToString() == before
    given = {"target": FACES[0]}
    wanted, found = (runner(open_session(m))(given)["raw"] for m in (model, made))
    difference = np.abs(found - wanted).mean()
    assert difference <= NEAR[bits]
    assert bits == "float32" or difference > 0
    assert np.abs(found - FACES[0]).mean() > 0.05


def test_files_shrink(model: onnx.ModelProto) -> None:
    sizes = [quantised(model, bits).ByteSize() for bits in ("float32", "float16", "int8-weights")]
    assert sizes[1] < 0.65 * sizes[0]
    assert sizes[2] < 0.45 * sizes[0]


def test_channels_have_their_own_scale() -> None:
    values = np.array([[1.0, -0.5], [100.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    stored, scale = channel_int8(values)
    np.testing.assert_array_equal(stored, [[127, -64], [127, 0], [0, 0]])
    np.testing.assert_allclose(stored * scale[:, None], values, atol=0.005)


def test_wrong_requests(model: onnx.ModelProto) -> None:
    with pytest.raises(InputError, match="calibrate"):
        quantised(model, "int8")
    with pytest.raises(ConfigError, match="bits must be"):
        quantised(model, "int3")  # type: ignore[arg-type]
