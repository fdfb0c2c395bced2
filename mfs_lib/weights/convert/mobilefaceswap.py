"""MobileFaceSwap's own checkpoint, ``MobileFaceSwap_224.pdparams`` (Paddle), to our module's state.

167 arrays of 20,706,030 values: 20,699,710 trained ones and 6,320 running statistics. The file is the state of the
release's ``BuildFaceSwap``; the mobile network itself is not in it, because all its weights are predicted, modulated or
copied from ``final`` and ``mask``.

| in the file                                | here                              |
|--------------------------------------------|-----------------------------------|
| EncoderModulation.{0..4}, DecoderModulation.{0..3} | iin.encoder_modulation, iin.decoder_modulation |
| predictor.{encoder,decoder}.{i}.weight     | iin.predictor.….{i}.head (a convolution named "weight") |
| predictor.*                                | iin.predictor.*                   |
| final.{1,2,4,5,7}                          | idn.final.{1,2,4,5,7}             |
| mask.{0..4}.{1,2,3}, mask.5                | fusion.layers.…                   |

The predictor's encoder chain runs from 512 channels down to 3 in both; its heads are used in reverse, which
``networks.predictor`` does itself. The style matrices of DecoderModulation 0 and 1 are square (see ``paddle_state``).
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.weights.convert.paddle_state import read_paddle_state

_NAME = "MobileFaceSwap's checkpoint (MobileFaceSwap_224.pdparams)"
_PLACES = {
    "EncoderModulation": "iin.encoder_modulation",
    "DecoderModulation": "iin.decoder_modulation",
    "predictor": "iin.predictor",
    "final": "idn.final",
    "mask": "fusion.layers",
}


def convert_mobilefaceswap(path: Path) -> dict[str, Tensor]:
    """State of ``MobileFaceSwap(MobileFaceSwapConfig())`` from the release's file.

    Raises:
        AssetError: unreadable, or not that network's state; the message names what is missing and what is left over.
    """
    with torch.device("meta"):
        network = MobileFaceSwap(MobileFaceSwapConfig())
    return read_paddle_state(path, network, name=_NAME, rename=_our_name)


def _our_name(key: str) -> str:
    first, dot, rest = key.partition(".")
    place = _PLACES.get(first, first)
    # The head's own parameters are "weight.weight" and "weight.bias"; "weight" alone is a parameter of its owner.
    rest = re.sub(r"^((?:en|de)coder\.\d+)\.weight\.", r"\1.head.", rest) if first == "predictor" else rest
    return f"{place}{dot}{rest}"
