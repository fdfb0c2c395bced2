"""Watches a run for the collapse of face swapping: a network that hands back the target.

Keeping the target pleases every loss but the identity's, so that a run can settle there (the paper: "the competition of
these different losses makes the training process unstable"). A look shows the run a few pairs; at it, the run is **at the
target** where both hold:

* the result's identity has hardly moved: cos(result, source) is less than `LEAST_GAIN` above cos(target, source), and
* the result still is the target: cos(result, target) is at least `STILL_TARGET`, or its pixels changed less than
  `UNCHANGED` on average.

A result that is neither (noise, or somebody else) is broken in another way and isn't counted here. The run has
**collapsed** once it stayed at the target for `PATIENCE` looks in a row that cover `PATIENCE_SHARE` of the training: one
that leaves in time is a late bloomer. A run that leaves afterwards is **recovered**.

The thresholds were chosen by SFace's cosines of 60 pairs of the face world at 64 px (mean, standard deviation):

| picture                            | to the source  | to the target | mean change of pixels |
|------------------------------------|----------------|---------------|-----------------------|
| the target                         | .14 ± .11      | 1             | 0                     |
| the target, blurred by half        | .13            | .82 ± .05     | .020                  |
| half target, half exact swap       | .38            | .73 ± .09     | .010                  |
| the exact swap                     | .55 ± .13      | .39 ± .10     | .020                  |
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor

from mfs_lib.errors import InputError

LEAST_GAIN = 0.05
"""An eighth of the exact swap's gain (.41); the mean of a few dozen pairs scatters by about .02."""

STILL_TARGET = 0.6
"""Two standard deviations above the exact swap's cosine to the target, and below that of a blurred target."""

UNCHANGED = 0.004
"""A fifth of what the exact swap changes on average: one grey level of 255."""

PATIENCE = 3
"""Looks in a row: one or two may fall on a bad moment of an adversarial run."""

PATIENCE_SHARE = 0.1
"""Of the training: the first looks of a short run all fall into its beginning, where every student is at the target."""

Status = Literal["learning", "at target", "collapsed", "recovered"]


@dataclass(frozen=True)
class Look:
    """What a run did at one moment; means over the pairs shown."""

    progress: float  # share of the training that was done, 0..1
    cos_source: float  # cosine of result and source
    cos_target: float  # cosine of result and target
    cos_before: float  # cosine of target and source: what doing nothing gives
    change: float  # mean absolute change of the target's pixels, in [0,1]

    @property
    def gain(self) -> float:
        """How much nearer to the source than the target was."""
        return self.cos_source - self.cos_before

    @property
    def at_target(self) -> bool:
        """Whether the output is the target, as this module defines it."""
        return self.gain < LEAST_GAIN and (self.cos_target >= STILL_TARGET or self.change < UNCHANGED)


def take_look(progress: float, *, result: Tensor, source: Tensor, target: Tensor, change: Tensor | float) -> Look:
    """A look from embeddings (N,E) of unit length of N pairs.

    Args:
        progress: share of the training that is done, 0..1.
        result: identities of the results; `source` and `target`, those of what they were made of.
        change: mean absolute change of the pixels, one number or (N,).

    Raises:
        InputError: embeddings of different shapes.
    """
    if not result.shape == source.shape == target.shape or result.ndim != 2:
        raise InputError(
            f"a look needs three lists of as many embeddings, got {[tuple(x.shape) for x in (result, source, target)]}"
        )

    def mean_cosine(a: Tensor, b: Tensor) -> float:
        return float((a * b).sum(1).mean())

    mean_change = float(change.mean()) if isinstance(change, Tensor) else change
    return Look(
        progress, mean_cosine(result, source), mean_cosine(result, target), mean_cosine(target, source), mean_change
    )


class CollapseDetector:
    """The looks of a run and what they add up to."""

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self._ever = False

    def add(self, look: Look) -> Status:
        """Take the next look; returns how the run stands.

        Raises:
            InputError: its progress lies before the last look's.
        """
        if self.looks and look.progress < self.looks[-1].progress:
            raise InputError(f"looks come in order: {look.progress} after {self.looks[-1].progress}")
        self.looks.append(look)
        self._ever |= self.collapsed
        return self.status

    @property
    def collapsed(self) -> bool:
        """Whether the run stays at 'output = target' now; what is flagged in its record."""
        first = len(self.looks)
        while first and self.looks[first - 1].at_target:
            first -= 1
        stay = self.looks[first:]
        if len(stay) < PATIENCE:
            return False
        return stay[-1].progress - stay[0].progress >= PATIENCE_SHARE - 1e-9

    @property
    def status(self) -> Status:
        """How the run stands at its last look."""
        if self.collapsed:
            return "collapsed"
        if self.looks and self.looks[-1].at_target:
            return "at target"
        return "recovered" if self._ever else "learning"

    def summary(self) -> dict[str, float | bool | str]:
        """Of the last look and of the whole run, for a log or a record."""
        if not self.looks:
            return {"status": self.status, "collapsed": False}
        last = self.looks[-1]
        numbers = {name: value for name, value in asdict(last).items() if name != "progress"}
        return {**numbers, "gain": last.gain, "status": self.status, "collapsed": self.collapsed}

    def state_dict(self) -> dict[str, Any]:
        """Plain values that JSON and ``torch.load(weights_only=True)`` can hold."""
        return {"looks": [asdict(look) for look in self.looks], "ever": self._ever}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.looks = [Look(**values) for values in state["looks"]]
        self._ever = bool(state["ever"])
