"""How a counted number compares with a printed one: exact, near, or not reproducible.

Table 1 of MobileFaceSwap (AAAI 2022) doesn't say which tool counted it. `TABLE_CONVENTION` is the only one that fits all
rows which can be rebuilt, and operations are judged by it alone: choosing a tool for each row would prove anything.
Parameters are judged by everything that a network declares and by its kernels alone, since the paper seems to do both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from mfs_lib.errors import InputError

Level = Literal["exact", "near", "not reproducible", "quoted"]
"""`near` is within `NEAR` of what is printed; `quoted` means that there is nothing to count."""

TABLE_CONVENTION = "thop-noup"
NEAR = 0.02


def prints_as(value: float, printed: str) -> bool:
    """True where `value` rounded to the decimals of `printed` (e.g. "0.413") is the same number.

    Raises InputError where `printed` is no decimal number or `value` is not finite.
    """
    if not printed.replace(".", "", 1).isdigit() or not math.isfinite(value):
        raise InputError(f"{value} and {printed!r} can't be compared: give a finite value and a printed number")
    wanted = Decimal(printed)
    return Decimal(repr(float(value))).quantize(wanted) == wanted


@dataclass(frozen=True)
class Verdict:
    """A `level`, the convention of the count that was compared (the nearest one) and its ratio to the printed number."""

    level: Level
    convention: str = ""
    ratio: float = math.nan

    def __str__(self) -> str:
        """E.g. `exact (kernels only)`, `near (MAC: −0.3 %)`, `not reproducible (MAC: 8.3 times as much)`."""
        if self.level == "quoted":
            return "quoted"
        if self.level == "exact":
            return f"exact ({self.convention})"
        return f"{self.level} ({self.convention}: {self._difference})"

    @property
    def short(self) -> str:
        """For narrow columns: `exact`, `near, −0.3 %`, `no, −6.2 %`, `no, ×0.33`, `quoted`."""
        if self.level in ("quoted", "exact"):
            return self.level
        factor = f"×{self.ratio:.2g}" if self._is_far else self._difference
        return f"{'near' if self.level == 'near' else 'no'}, {factor}"

    @property
    def _is_far(self) -> bool:
        return max(self.ratio, 1 / self.ratio) > 2

    @property
    def _difference(self) -> str:
        if self._is_far:
            return f"{self.ratio:.2g} times as much"
        return f"{100 * (self.ratio - 1):+.1f} %".replace("-", "−")


def judge(printed: str, counted: Mapping[str, float]) -> Verdict:
    """Compare what the paper prints with the counts of one or more conventions, in the unit of the paper.

    Raises InputError for a printed text that is no number, and for no counts at all.
    """
    if not counted:
        raise InputError(f"nothing was counted to compare with {printed!r}")
    wanted = float(printed) if printed.replace(".", "", 1).isdigit() else math.nan
    exact = [name for name, value in counted.items() if prints_as(value, printed)]
    if exact:
        return Verdict("exact", ", ".join(exact), counted[exact[0]] / wanted)
    name, value = min(counted.items(), key=lambda item: abs(item[1] - wanted))
    ratio = value / wanted
    return Verdict("near" if abs(ratio - 1) <= NEAR else "not reproducible", name, ratio)
