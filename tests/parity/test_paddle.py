"""Parity with PaddlePaddle: the release's networks, file format and arithmetic against our port, layer by layer.

Opt-in, since PaddlePaddle is large and needed for nothing else. In an environment of the library::

    pip install -r requirements-paddle.txt
    pytest tests/parity

Without `paddle` the whole file is skipped. The release's layers are built from Paddle's own (`paddle_release.py`), given
random weights and running statistics, saved by `paddle.save` to real .pdparams files of full size, converted, and run
beside ours on the same inputs. So it is Paddle that says how a linear layer is stored, what `align_corners` does and where
a normalisation's epsilon stands. Only the release's own numbers are not in it.

Tolerance: both sides compute in float32 and sum in different orders. Each rounding errs by up to 2^-24 = 6e-8 of a value,
and such errors add up like independent ones over sums of up to 25,088 terms and about 150 layers in a row: 1e-5 of a
stage's largest value is to be expected at the far end. On a busy machine threads share the sums out differently, and 2.5e-5
was seen; twice that is allowed. For pictures, masks and embeddings, which lie within [-1, 1], the same number is an
absolute one; a grey level is 4e-3. A wrong layer differs by a large part of
its values (see the test of the square matrices, which no check of shapes can find).

`MFS_PARITY_RECORD=FILE` makes the test append the differences, by parts of the release, to a file of records.
"""

from __future__ import annotations

import importlib.util
import os
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from mfs_lib.networks.identity import IdentityNetwork
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap
from mfs_lib.networks.modulation import Modulated
from mfs_lib.results import Metric, Record, append_record
from mfs_lib.weights.convert.arcface import convert_arcface_paddle
from mfs_lib.weights.convert.mobilefaceswap import convert_mobilefaceswap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Paddle warns about compilers and names on import
    paddle = pytest.importorskip("paddle")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:paddle")

TOLERANCE = 5e-5
STARTED = time.perf_counter()

Stages = dict[str, list[npt.NDArray[np.float32]]]

ENDS = ("embedding", "feature_map", "result", "raw", "mask")
ONLY_IN_PADDLE = {"mobile.up", "mobile.final.8", "mobile.mask.6"}
"""Layers that ours has as functions: upsampling before the decoder, the last tanh, the last sigmoid."""


class Difference(NamedTuple):
    """Of one stage: largest absolute difference, and largest absolute value in Paddle."""

    largest: float
    size: float


class Release(NamedTuple):
    """One run of the release's networks: inputs, files, what every layer gave, and (arrays, values) of each file."""

    source: npt.NDArray[np.float32]
    target: npt.NDArray[np.float32]
    identity_file: Path
    swap_file: Path
    stages: Stages
    sizes: dict[str, tuple[int, int]]


def _helper() -> ModuleType:
    spec = importlib.util.spec_from_file_location("paddle_release", Path(__file__).with_name("paddle_release.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The release in Paddle with random weights, its two files, and all its outputs."""
    helper, folder = _helper(), tmp_path_factory.mktemp("release")
    identity, injection, mobile = helper.IdentityNetwork(), helper.Injection(), helper.MobileNetwork()
    helper.randomise(identity, 1)
    helper.randomise(injection, 2)
    mobile.eval()
    paddle.save(identity.state_dict(), str(folder / "arcface.pdparams"))
    paddle.save(injection.state_dict(), str(folder / "MobileFaceSwap_224.pdparams"))
    rng = np.random.default_rng(3)
    source = rng.random((1, 3, 112, 112), dtype=np.float32)
    # Smooth, so that the encoder sees structure at all of its scales.
    target = torch.nn.functional.interpolate(
        torch.from_numpy(rng.random((1, 3, 28, 28), dtype=np.float32)), (224, 224), mode="bicubic"
    )
    stages: Stages = {}
    for network, prefix in ((identity, "identity."), (injection, "injection."), (mobile, "mobile.")):
        helper.record(network, stages, prefix)
    with paddle.no_grad():
        embedding, features = identity(paddle.to_tensor(source))
        mobile.write(injection, embedding, features)
        outputs = mobile(paddle.to_tensor(target.clamp(0, 1).numpy()))
    for name, tensor in zip(ENDS, (embedding, features, *outputs), strict=True):
        stages[name] = [tensor.numpy()]
    return Release(
        source=source,
        target=target.clamp(0, 1).numpy(),
        identity_file=folder / "arcface.pdparams",
        swap_file=folder / "MobileFaceSwap_224.pdparams",
        stages=stages,
        sizes={
            name: (len(state), sum(int(np.prod(value.shape)) for value in state.values()))
            for name, state in (("identity", identity.state_dict()), ("swap", injection.state_dict()))
        },
    )


def _paddle_name(name: str) -> str:
    """The release's name of one of our layers."""
    for ours, theirs in (
        (r"^swap\.iin\.encoder_modulation\.", "injection.EncoderModulation."),
        (r"^swap\.iin\.decoder_modulation\.", "injection.DecoderModulation."),
        (r"^swap\.iin\.predictor\.(.*)\.head$", r"injection.predictor.\1.weight"),
        (r"^swap\.iin\.", "injection."),
        (r"^static\.idn\.encoder\.", "mobile.Encoder."),
        (r"^static\.idn\.final\.", "mobile.final."),
        (r"^static\.fusion\.layers\.", "mobile.mask."),
    ):
        name = re.sub(ours, theirs, name)
    # Our decoder's layers have the upsampling in front.
    return re.sub(r"^static\.idn\.decoder\.(\d)\.(\d)$", lambda m: f"mobile.Decoder.{m[1]}.{int(m[2]) - 1}", name)


def _record(network: nn.Module, into: Stages, prefix: str) -> None:
    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            value = output.baked()[0] if isinstance(output, Modulated) else output
            if isinstance(value, Tensor):
                into.setdefault(name, []).append(value.numpy())

        return hook

    for name, module in network.named_modules():
        if name:
            module.register_forward_hook(keep(_paddle_name(prefix + name)))


@torch.no_grad()
def _run_ours(release: Release, changed: Mapping[str, Tensor] | None = None) -> Stages:
    """Our networks with the converted weights; `changed` replaces some of the swap network's."""
    identity, swapper = IdentityNetwork().eval(), MobileFaceSwap().eval()
    identity.load_state_dict(convert_arcface_paddle(release.identity_file))
    swapper.load_state_dict({**convert_mobilefaceswap(release.swap_file), **(changed or {})})
    stages: Stages = {}
    _record(identity, stages, "identity.")
    _record(swapper, stages, "swap.")
    features = identity(torch.from_numpy(release.source))
    static = swapper.specialise(features)
    _record(static, stages, "static.")
    target = torch.from_numpy(release.target)
    output, dynamic = static(target), swapper(target, features)
    for name, tensor in zip(ENDS, (*features, *output), strict=True):
        stages[name] = [tensor.numpy()]
    for name, tensor in zip(ENDS[2:], dynamic, strict=True):
        stages[f"dynamic {name}"] = [tensor.numpy()]
    return stages


def _differences(release: Release, ours: Stages) -> dict[str, Difference]:
    """Largest difference of every stage of the release, in the order in which its layers run."""
    found = {}
    for name, wanted in release.stages.items():
        if name not in ONLY_IN_PADDLE:
            # Ours ran the injection twice, once for each of its two ways to a result.
            pairs = list(zip(wanted, ours[name][: len(wanted)], strict=True))
            assert all(a.shape == b.shape for a, b in pairs), name
            found[name] = Difference(
                max(float(np.abs(a - b).max()) for a, b in pairs), max(float(np.abs(a).max()) for a in wanted)
            )
    return found


@pytest.fixture(scope="module")
def ours(release: Release) -> Stages:
    """Our port with correctly converted weights."""
    return _run_ours(release)


@pytest.fixture(scope="module")
def differences(release: Release, ours: Stages) -> dict[str, Difference]:
    """Of every stage, with correctly converted weights."""
    return _differences(release, ours)


def test_files_are_of_the_releases_size(release: Release) -> None:
    assert release.sizes == {"identity": (691, 52_244_159), "swap": (167, 20_706_030)}
    assert 209.0e6 < release.identity_file.stat().st_size < 209.1e6
    assert 82.8e6 < release.swap_file.stat().st_size < 82.9e6


def test_the_comparison_sees_every_layer(release: Release, differences: dict[str, Difference]) -> None:
    assert set(release.stages) - set(differences) == ONLY_IN_PADDLE
    # 33 blocks, each with its normalisations, convolutions, weighting; five and four stages; six mask layers.
    for pattern, number in (
        (r"identity\.layer\d\.\d+", 33),
        (r"identity\.layer\d\.\d+\.se", 33),
        (r"injection\.\w+Modulation\.\d", 9),
        (r"injection\.predictor\.\w+\.\d\.weight", 9),
        (r"mobile\.\w+coder\.\d\.2", 9),
        (r"mobile\.mask\.\d(\.3)?", 6),
    ):
        assert sum(re.fullmatch(pattern, name) is not None for name in differences) == number, pattern


def test_random_weights_give_lively_signals(release: Release) -> None:
    """A comparison of zeros, or of saturated outputs, would show nothing."""
    for name, outputs in release.stages.items():
        assert all(0 < float(np.abs(a).max()) < 1e3 for a in outputs), name
    raw, mask = release.stages["raw"][0], release.stages["mask"][0]
    assert raw.std() > 0.05
    assert mask.std() > 0.02
    assert 0.02 < float(mask.mean()) < 0.98


def test_every_layer_agrees(differences: dict[str, Difference]) -> None:
    assert {name: d for name, d in differences.items() if d.largest > TOLERANCE * d.size} == {}


def test_results_agree(differences: dict[str, Difference]) -> None:
    for name in ("embedding", "result", "raw", "mask"):
        assert differences[name].largest <= TOLERANCE, name


def test_the_way_for_batches_agrees(release: Release, ours: Stages) -> None:
    """Weights kept apart for each sample (training) give what weights written into convolutions give."""
    for name in ENDS[2:]:
        np.testing.assert_allclose(ours[f"dynamic {name}"][0], release.stages[name][0], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("index", [0, 1])
def test_a_square_matrix_that_was_not_transposed_is_noticed(release: Release, index: int) -> None:
    key = f"iin.decoder_modulation.{index}.style.weight"
    matrix = convert_mobilefaceswap(release.swap_file)[key]
    assert matrix.shape == (512, 512)  # the wrong state loads without complaint
    found = _differences(release, _run_ours(release, {key: matrix.t().contiguous()}))
    style = found[f"injection.DecoderModulation.{index}.style"]
    assert style.largest > 0.1 * style.size
    for name in (f"injection.DecoderModulation.{index}", f"mobile.Decoder.{index}.1", "raw", "result"):
        assert found[name].largest > 100 * TOLERANCE * found[name].size, name
    assert found[f"injection.DecoderModulation.{1 - index}.style"].largest < TOLERANCE * style.size


def test_differences_are_recorded_when_asked(differences: dict[str, Difference]) -> None:
    if path := os.environ.get("MFS_PARITY_RECORD"):
        backend, groups = f"PaddlePaddle {paddle.__version__} and torch {torch.__version__}", _groups(differences)
        protocol = "largest difference of a stage over its largest value; random weights through a real .pdparams file"
        metrics = [
            Metric(
                name=name,
                value=max(d.largest / d.size for d in found),
                backend=backend,
                protocol=protocol,
                n=len(found),
            )
            for name, found in groups.items()
        ]
        metrics.append(Metric(name="tolerance", value=TOLERANCE, backend=backend, protocol="what is allowed", n=1))
        record = Record(
            experiment="parity/mobilefaceswap", profile="mini", seed=0, metrics=tuple(metrics), device="cpu",
            wall_seconds=time.perf_counter() - STARTED,
        )  # fmt: skip
        append_record(Path(path), record)


def _groups(differences: dict[str, Difference]) -> dict[str, list[Difference]]:
    """Stages by the part of the release that they belong to; the results stand for themselves."""
    groups: dict[str, list[Difference]] = {}
    for name, difference in differences.items():
        head, _, rest = name.partition(".")
        part = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", rest.partition(".")[0]).lower()
        group = {"identity": "identity_network", "mobile": f"mobile_{part}"}.get(head, part or head)
        groups.setdefault(group, []).append(difference)
    return groups
