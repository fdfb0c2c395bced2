"""What the chapter on training shows: logs as curves, a student's swaps as rows of pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mfs_lib.errors import AssetError, InputError
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.folders import PhotoSet
from mfs_lib.figures import COLOURS
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, SwapOutput

Entry = Mapping[str, float]


def read_log(path: Path) -> list[dict[str, float]]:
    """Entries of a training log (JSON lines), in the order of their steps; a resumed run's repeated steps count once.

    Raises:
        AssetError: no such file, or a line that isn't one of a log.
    """
    if not path.is_file():
        raise AssetError(f"the training log {path} is missing: it is written by `python -m mfs_lib.training.student`")
    entries: dict[int, dict[str, float]] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            values = {key: float(value) for key, value in json.loads(line).items()}
            entries[int(values["step"])] = values
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise AssetError(f"{path.name}:{number} is not an entry of a training log ({error})") from error
    return [entries[step] for step in sorted(entries)]


def smoothed(values: Sequence[float], memory: float = 0.9) -> list[float]:
    """Exponential moving average without bias towards the start: each value weighs `memory` times the next one's."""
    total = weight = 0.0
    out = []
    for value in values:
        total, weight = memory * total + value, memory * weight + 1
        out.append(total / weight)
    return out


def curves(
    log: Sequence[Entry], panels: Mapping[str, Sequence[str]], *, levels: Mapping[str, float] | None = None,
    memory: float = 0.0,
) -> Figure:  # fmt: skip
    """One panel for each title with the named columns of a log over the step; `levels` draws a dashed line in a panel.

    With `memory` above 0 the values are shown faintly and their moving average strongly. Columns that no entry has are
    left out. Raises InputError for an empty log.
    """
    if not log:
        raise InputError("The log is empty: nothing was trained.")
    figure = Figure(figsize=(2.9 * len(panels), 2.6))
    all_axes = np.atleast_1d(figure.subplots(1, len(panels)))
    for axes, (title, names) in zip(all_axes, panels.items(), strict=True):
        for name, colour in zip(names, COLOURS, strict=False):
            points = [(entry["step"], entry[name]) for entry in log if name in entry]
            if not points:
                continue
            steps, values = zip(*points, strict=True)
            if memory:
                axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.7)
            axes.plot(steps, smoothed(values, memory) if memory else values, color=colour, label=name.replace("_", " "))
        if levels and title in levels:
            axes.axhline(levels[title], color="#333333", linestyle="--", linewidth=0.9)
        axes.set(title=title, xlabel="step")
        if len(names) > 1:
            axes.legend(fontsize="small")
    return figure


@torch.no_grad()
def swap_crops(student: MobileFaceSwap, recogniser: nn.Module, source: Tensor, target: Tensor) -> SwapOutput:
    """Swap aligned crops (B, 3, S, S) in [0, 1], one source for each target."""
    output: SwapOutput = student.eval()(target, recogniser(arcface_view(source)))
    return output


def pairs_of(photos: PhotoSet, count: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Sources (neutral) and targets (smiling, of somebody else): `count` crops each, (N, 3, S, S) in [0, 1].

    Raises InputError where the set lacks one of the two expressions, or a second person.
    """
    neutral = [i for i, e in enumerate(photos.expressions) if e == "neutral"]
    smiling = [i for i, e in enumerate(photos.expressions) if e == "smiling"]
    pairs = [(i, j) for i in neutral for j in smiling if photos.people[i] != photos.people[j]]
    if not pairs:
        raise InputError("The set has no neutral and smiling photographs of different people.")
    order = np.random.default_rng(seed).permutation(len(pairs))[:count]
    chosen = np.array(pairs)[order]
    return photos.pictures(chosen[:, 0]), photos.pictures(chosen[:, 1])


def every_pair(
    student: MobileFaceSwap, recogniser: nn.Module, sources: Tensor, targets: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Every source on every target: swaps and masks, one list entry (N targets) for each source."""
    swapped, masks = [], []
    for source in sources:
        output = swap_crops(student, recogniser, source.expand(len(targets), -1, -1, -1), targets)
        swapped.append(output.result)
        masks.append(output.mask)
    return swapped, masks
