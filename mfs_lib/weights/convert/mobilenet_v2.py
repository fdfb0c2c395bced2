"""MobileNetV2: torchvision's pickled state (names ``features.N.conv...``) to our module's, normalisation folded."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from mfs_lib.errors import AssetError
from mfs_lib.networks.mobilenet_v2 import MobileNetV2Features
from mfs_lib.weights.convert.folding import fold, scale_and_shift
from mfs_lib.weights.safe_io import load_foreign_pickle

_EPSILON = 1e-5


def convert_mobilenet_v2(path: Path) -> dict[str, Tensor]:
    """State of ``networks.mobilenet_v2.MobileNetV2Features`` (its two fixed buffers apart).

    Raises:
        AssetError: refused or broken file, or not this network.
    """
    foreign = load_foreign_pickle(path)
    network = MobileNetV2Features()
    # Both networks list their convolutions in the order of execution; a normalisation follows each of torchvision's.
    ours = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    convs = [name.removesuffix(".weight") for name, value in foreign.items() if value.ndim == 4]
    norms = [name.removesuffix(".running_mean") for name in foreign if name.endswith(".running_mean")]
    if not len(ours) == len(convs) == len(norms):
        raise AssetError(f"{path} has {len(convs)} convolutions and {len(norms)} normalisations; {len(ours)} expected.")
    state: dict[str, Tensor] = {}
    try:
        for name, conv, norm in zip(ours, convs, norms, strict=True):
            gamma, beta = foreign[f"{norm}.weight"], foreign[f"{norm}.bias"]
            mean, variance = foreign[f"{norm}.running_mean"], foreign[f"{norm}.running_var"]
            scale, shift = scale_and_shift(gamma, beta, mean, variance, _EPSILON)
            state[f"{name}.weight"], state[f"{name}.bias"] = fold(foreign[f"{conv}.weight"], None, scale, shift)
        state["classifier.weight"] = foreign["classifier.1.weight"]
        state["classifier.bias"] = foreign["classifier.1.bias"]
    except (KeyError, RuntimeError) as error:
        raise AssetError(f"{path} is not torchvision's MobileNetV2 ({error!r}).") from error
    return state
