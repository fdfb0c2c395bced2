"""How somebody in a clip moves: smooth sums of sines, so that any moment is known without those before it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

FloatArray = npt.NDArray[np.float64]

_TURN = (24.0, 9.0, 9.0)
"""Largest yaw, pitch and roll in degrees; the world's own samples reach 35, 20 and 20."""

_SYLLABLES = 4.0
"""Syllables a second: people speak three to six."""


@dataclass(frozen=True)
class Pose:
    """One moment of a motion.

    Attributes:
        angles: yaw, pitch, roll in degrees.
        x, y: place of the head's pivot, fractions of the picture's width and height.
        nearness: size of the head, 1 at the middle distance.
        smile: share of the mean smile.
        talk: (Ke,) expression code that speech adds.
        drift: (x, y) of the background in [-0.5, 0.5].
    """

    angles: tuple[float, float, float]
    x: float
    y: float
    nearness: float
    smile: float
    talk: FloatArray
    drift: tuple[float, float]


@dataclass(frozen=True)
class _Wave:
    """Sum of three sines in [-1, 1], with periods of seconds."""

    periods: FloatArray
    phases: FloatArray

    @classmethod
    def sample(cls, draw: torch.Generator, shortest: float, longest: float) -> _Wave:
        """Periods between the two, in seconds, and any phases."""
        share = torch.rand(2, 3, generator=draw, dtype=torch.float64).numpy()
        return cls(shortest * (longest / shortest) ** share[0], 2 * math.pi * share[1])

    def at(self, time: float) -> float:
        """Value at a time in seconds."""
        return float(np.dot((0.5, 0.3, 0.2), np.sin(2 * math.pi * time / self.periods + self.phases)))


@dataclass(frozen=True)
class Motion:
    """Waves for everything that moves."""

    turns: tuple[_Wave, ...]
    place: tuple[_Wave, ...]
    nearness: _Wave
    smile: _Wave
    loudness: _Wave
    syllables: tuple[_Wave, ...]
    drift: tuple[_Wave, ...]
    voice: FloatArray

    @classmethod
    def sample(cls, draw: torch.Generator, expressions: int) -> Motion:
        """A motion with `expressions` components of speech."""

        def waves(count: int, shortest: float, longest: float) -> tuple[_Wave, ...]:
            return tuple(_Wave.sample(draw, shortest, longest) for _ in range(count))

        return cls(
            turns=waves(3, 1.6, 7.0),
            place=waves(2, 3.0, 9.0),
            nearness=waves(1, 4.0, 10.0)[0],
            smile=waves(1, 3.0, 8.0)[0],
            loudness=waves(1, 0.8, 3.0)[0],
            syllables=waves(expressions, 0.8 / _SYLLABLES, 2.0 / _SYLLABLES),
            drift=waves(2, 2.0, 9.0),
            voice=torch.randn(expressions, generator=draw, dtype=torch.float64).numpy() * 0.8,
        )

    def at(self, time: float) -> Pose:
        """The pose at a time in seconds."""
        yaw, pitch, roll = (limit * wave.at(time) for limit, wave in zip(_TURN, self.turns, strict=True))
        loud = max(0.0, 0.6 + 0.6 * self.loudness.at(time))
        mouth = np.array([wave.at(time) for wave in self.syllables])
        return Pose(
            angles=(yaw, pitch, roll),
            x=0.5 + 0.12 * self.place[0].at(time),
            y=0.42 + 0.05 * self.place[1].at(time),
            nearness=math.exp(0.28 * self.nearness.at(time)),
            smile=0.5 + 0.5 * self.smile.at(time),
            talk=loud * mouth * (0.7 + np.abs(self.voice)),
            drift=(0.45 * self.drift[0].at(time), 0.45 * self.drift[1].at(time)),
        )
