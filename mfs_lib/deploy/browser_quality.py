"""What coarse weights cost, measured on sampled pairs whenever the page's files are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import torch

from mfs_lib.deploy.sessions import open_session, runner
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.morphable import MorphableWorld

_SEED = 4242


@dataclass(frozen=True)
class CoarseCost:
    """Means over pairs and over all pixels and colours of the crop, in grey levels of 255.

    Attributes:
        pairs: how many sampled sources and targets.
        change: between the target and its swap with exact weights.
        difference: between the swaps with exact and with coarse weights.
    """

    pairs: int
    change: float
    difference: float


def coarse_cost(
    source: onnx.ModelProto, coarse: onnx.ModelProto, frame: onnx.ModelProto, world: MorphableWorld, *, pairs: int = 16
) -> CoarseCost:
    """Swap `pairs` sampled people by both source graphs.

    Args:
        source: with exact weights.
        coarse: the same graph with coarse ones.
        frame: the frame graph.
        world: where the people come from; targets are other people, in any pose and light.
        pairs: number of swaps.
    """
    size = frame.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    images = world.sample(2 * pairs, torch.Generator().manual_seed(_SEED), size=size).image
    views, targets = arcface_view(images[:pairs]).numpy(), images[pairs:].numpy()
    exact, rough = (_swaps(graph, frame, views, targets) for graph in (source, coarse))
    change, difference = (255 * float(np.abs(exact - other).mean()) for other in (targets, rough))
    return CoarseCost(pairs, change, difference)


def _swaps(
    source: onnx.ModelProto, frame: onnx.ModelProto, views: npt.NDArray[np.float32], targets: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Swapped crops (N, 3, S, S) of ArcFace views (N, 3, 112, 112) and target crops (N, 3, S, S), all in [0, 1]."""
    recognise, draw = runner(open_session(source)), runner(open_session(frame))
    results = []
    for view, target in zip(views, targets, strict=True):
        made = draw({"target": target[None], **recognise({"face": view[None]})})
        results.append(made["raw"] * made["mask"] + (1 - made["mask"]) * target[None])
    return np.concatenate(results)
