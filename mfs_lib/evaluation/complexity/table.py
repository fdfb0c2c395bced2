"""Table 1 recounted: each printed row beside what its networks count, with a verdict; as text, JSON or CSV.

from mfs_lib.evaluation.complexity.table import complexity_table
table = complexity_table()
print(render_text(table))
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tabulate import tabulate

from mfs_lib.errors import InputError
from mfs_lib.evaluation.complexity.conventions import CONVENTIONS
from mfs_lib.evaluation.complexity.latency import REFERENCE, Latency, measure_latency
from mfs_lib.evaluation.complexity.paper import TABLE_1, PaperRow
from mfs_lib.evaluation.complexity.system import Cost, SystemCost, cost_of
from mfs_lib.evaluation.complexity.systems import SYSTEMS
from mfs_lib.evaluation.complexity.verdict import TABLE_CONVENTION, Verdict, judge

QUOTED = Verdict("quoted")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of the paper for one use ("image" or "video"), with one system that it may be counted from (None: quoted)."""

    paper: PaperRow
    use: str
    system: str | None
    cost: Cost | None
    parameters: Verdict
    operations: Verdict

    @property
    def printed(self) -> tuple[str, str]:
        """Parameters (M) and operations (G) as the paper prints them."""
        row = self.paper
        if self.use == "image":
            return row.image_parameters, row.image_operations
        return row.video_parameters or "", row.video_operations or ""


@dataclass(frozen=True)
class Table:
    """`lines` of the paper's table, the `costs` of all systems by key, and their latencies where these were measured."""

    lines: tuple[Line, ...]
    costs: Mapping[str, SystemCost]
    latency: Mapping[str, Latency] = field(default_factory=dict)


def complexity_table(keys: Sequence[str] | None = None) -> Table:
    """Count all systems, or those named by `keys`, and set them beside the paper's rows.

    Raises InputError for an unknown key; the message lists those there are.
    """
    known = {system.key: system for system in SYSTEMS}
    if unknown := sorted(set(keys or ()) - set(known)):
        raise InputError(f"no system is called {', '.join(unknown)}; known: {', '.join(known)}")
    costs = {key: cost_of(system) for key, system in known.items() if not keys or key in keys}
    return Table(tuple(line for row in TABLE_1 for line in _lines(row, costs, everything=not keys)), costs)


def with_latency(table: Table, *, rounds: int = 3, progress: bool = True) -> Table:
    """The table with the time of a frame of each of its systems, measured side by side (see `latency`)."""
    systems = [cost.system for cost in table.costs.values()]
    return Table(table.lines, table.costs, measure_latency(systems, rounds=rounds, progress=progress))


def _lines(row: PaperRow, costs: Mapping[str, SystemCost], *, everything: bool) -> Iterator[Line]:
    uses = ["image"] if row.video_parameters is None else ["image", "video"]
    if not row.systems and everything:
        for use in uses:
            yield Line(paper=row, use=use, system=None, cost=None, parameters=QUOTED, operations=QUOTED)
    for key in row.systems:
        for use in uses if key in costs else ():
            cost = costs[key].image if use == "image" else costs[key].video
            line = Line(paper=row, use=use, system=key, cost=cost, parameters=QUOTED, operations=QUOTED)
            yield _judged(line, cost)


def _judged(line: Line, cost: Cost) -> Line:
    parameters, operations = line.printed
    counted = {"all declared": cost.declared / 1e6, "kernels only": cost.kernels / 1e6}
    fitting = {TABLE_CONVENTION: cost.operations.named()[TABLE_CONVENTION] / 1e9}
    return Line(
        paper=line.paper, use=line.use, system=line.system, cost=cost,
        parameters=judge(parameters, counted), operations=judge(operations, fitting),
    )  # fmt: skip


def paper_rows(table: Table) -> list[dict[str, Any]]:
    """One flat row for each line: printed and counted numbers, verdicts, reason."""
    return [
        {
            "method": line.paper.method,
            "size": line.paper.size,
            "use": line.use,
            "system": line.system,
            "paper_parameters_m": float(line.printed[0]),
            "parameters": line.cost and line.cost.declared,
            "kernels": line.cost and line.cost.kernels,
            "parameters_verdict": str(line.parameters),
            "paper_operations_g": float(line.printed[1]),
            "mac": line.cost and line.cost.operations.mac,
            "fvcore": line.cost and line.cost.operations.fvcore,
            "thop_noup": line.cost and line.cost.operations.thop_noup,
            "operations_verdict": str(line.operations),
            "reason": line.paper.reason,
        }
        for line in table.lines
    ]


def system_rows(table: Table) -> list[dict[str, Any]]:
    """One flat row for each system: counts, bytes, arithmetic intensity and, where measured, time of a frame."""
    rows = []
    for key, cost in table.costs.items():
        row = {
            "system": key,
            "title": cost.system.title,
            "size": cost.system.size,
            "image_parameters": cost.image.declared,
            "video_parameters": cost.video.declared,
            "image_mac": cost.image.operations.mac,
            "video_mac": cost.video.operations.mac,
            "video_weight_bytes": cost.video.weight_bytes,
            "image_weight_bytes": cost.image.weight_bytes,
            "video_peak_activation_bytes": cost.memory.peak_activations,
            "video_flop_per_byte": cost.intensity,
            "facts": cost.system.facts,
        }
        rows.append(row | ({"latency": asdict(table.latency[key])} if key in table.latency else {}))
    return rows


def digits(value: float) -> str:
    """Four significant digits, without an exponent: `0.3094`, `45.60`, `12787`."""
    return f"{value:#.4g}" if abs(value) < 1000 else f"{value:.0f}"


def render_csv(table: Table) -> str:
    """The paper's lines as comma-separated values with a header."""
    rows, out = paper_rows(table), io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else ["method"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().rstrip("\n")


def render_text(table: Table) -> str:
    """Both tables and the reasons, for a terminal."""
    parts = [_paper_text(table), _system_text(table)]
    reasons = dict.fromkeys(f"{line.paper.method}: {line.paper.reason}" for line in table.lines if line.paper.reason)
    return "\n\n".join([part for part in parts if part] + ["\n".join(reasons)]).rstrip()


def _paper_text(table: Table) -> str:
    header = ["method", "use", "counted from", "M paper", "M", "verdict", "G paper", *CONVENTIONS, "verdict"]
    rows = []
    for line in table.lines:
        cells = ["–"] * 4
        if line.cost:
            counts = line.cost.operations.named().values()
            cells = [digits(line.cost.declared / 1e6), *(digits(count / 1e9) for count in counts)]
        rows.append(
            [f"{line.paper.method} {line.paper.size}", line.use, line.system or "–", line.printed[0], cells[0],
             line.parameters.short, line.printed[1], *cells[1:], line.operations.short]
        )  # fmt: skip
    legend = (
        f"M: millions of parameters; G: billions of operations, judged by {TABLE_CONVENTION}; no: not reproducible."
    )
    return f"{tabulate(rows, header, disable_numparse=True)}\n{legend}" if rows else ""


def _system_text(table: Table) -> str:
    header = [
        "system",
        "size",
        "M image",
        "M video",
        "G MAC image",
        "G MAC video",
        "MB weights",
        "MB peak",
        "FLOP/byte",
    ]
    if table.latency:
        header += ["ms/frame", f"speed ({REFERENCE} = 1)"]
    rows = []
    for key, cost in table.costs.items():
        numbers = [
            cost.image.declared / 1e6, cost.video.declared / 1e6, cost.image.operations.mac / 1e9,
            cost.video.operations.mac / 1e9, cost.video.weight_bytes / 1e6, cost.memory.peak_activations / 1e6,
            cost.intensity,
        ]  # fmt: skip
        if timed := table.latency.get(key):
            numbers += [1e3 * timed.median, *([] if timed.speed is None else [timed.speed])]
        rows.append([key, cost.system.size, *map(digits, numbers)])
    legend = "Weights, peak (of activations that live at once) and FLOP/byte: per-frame parts, float32, layer by layer."
    return f"{tabulate(rows, header, disable_numparse=True)}\n{legend}" if rows else ""
