"""Measures every format that is installed: parity with PyTorch, size, and the time of a frame in its own runtime.

`python -m mfs_lib.deploy.format_report` bakes a sampled person into the shipped student, writes each format in each layout
at 128 and 224 pixels, compares the fastest layout on 50 sampled faces, and appends a record for each format to
`results/export.jsonl`. Timed are all files in turns, so that whatever else the machine does meets all of them; runtimes that
can't be installed side by side are measured in several runs, each with ONNX Runtime as the yardstick.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from mfs_lib.deploy.formats import FORMATS, Format, format_named, frame_of
from mfs_lib.deploy.formats.base import TOLERANCE, FloatArray, Runner
from mfs_lib.deploy.frame import Layout
from mfs_lib.deploy.parity import (
    PERSON_SEED,
    ParityReport,
    check,
    pair_parity,
    parity,
    sampled_faces,
    sampled_identity,
)
from mfs_lib.deploy.two_file import Parts, load_two_file, write_two_file
from mfs_lib.faces.alignment import TEMPLATE, arcface_matrix, arcface_view
from mfs_lib.networks.mobilefaceswap import StaticSwapper
from mfs_lib.results import Metric, Record, append_record, markdown_table
from mfs_lib.runinfo import file_digest
from mfs_lib.threads import torch_threads
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.shipped import load_student, student_path

SIZES = (128, 224)
_LAYOUTS = ("packed", "folded", "released")
_OPEN_LAYOUTS: tuple[Layout, ...] = ("packed", "folded")
_WARM = 5


@dataclass(frozen=True)
class Timing:
    """Median, fastest and slowest of a frame's times in milliseconds."""

    median: float
    fastest: float
    slowest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """From single times."""
        return cls(1e3 * statistics.median(seconds), 1e3 * min(seconds), 1e3 * max(seconds))


def take_turns(work: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Time several pieces of work in turns, after some rounds that don't count."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in tqdm(range(_WARM + rounds), desc="rounds"):
        for name, step in work.items():
            start = time.perf_counter()
            step()
            if turn >= _WARM:
                seconds[name].append(time.perf_counter() - start)
    return {name: Timing.of(values) for name, values in seconds.items()}


def _key(name: str, layout: str, size: int) -> str:
    return f"{name} {layout} {size}"


def _write_all(form: Format, static: StaticSwapper, folder: Path) -> dict[tuple[Layout, int], Path]:
    """The format's files in every layout and size."""
    files = {}
    for layout in form.layouts:
        for size in SIZES:
            path = folder / f"{form.name}_{layout}_{size}{form.suffix}"
            form.export(frame_of(static, size=size, layout=layout), path)
            files[layout, size] = path
    return files


def _step(runner: Runner, target: FloatArray) -> Callable[[], object]:
    return lambda: runner(target)


def _work(form: Format, files: Mapping[tuple[Layout, int], Path]) -> dict[str, Callable[[], object]]:
    """A frame of each file, by key."""
    targets = {size: sampled_faces(1, size=size).numpy() for size in SIZES}
    return {
        _key(form.name, layout, size): _step(form.load(path, 1), targets[size])
        for (layout, size), path in files.items()
    }


def _parity_metrics(report: ParityReport, backend: str) -> list[Metric]:
    protocol = (
        f"one sampled person, sampled faces of {report.size} px, layout {report.layout}; absolute, of values in [0,1]"
    )
    values = {**report.difference, "change": report.change}
    return [
        Metric(name=f"{name}_{kind}", value=getattr(value, kind), backend=backend, protocol=protocol, n=report.faces)
        for name, value in values.items()
        for kind in ("max", "mean")
    ]


def _time_metrics(
    name: str, layouts: Sequence[Layout], times: Mapping[str, Timing], backend: str, rounds: int, load: float
) -> list[Metric]:
    protocol = f"one thread; all files of the run take turns; load of the machine at the start {load:.1f}"
    return [
        Metric(
            name=f"{kind}_{layout}_{size}",
            value=getattr(times[_key(name, layout, size)], kind),
            unit="ms",
            backend=backend,
            protocol=protocol,
            n=rounds,
        )
        for layout in layouts
        for size in SIZES
        for kind in ("median", "fastest")
    ]


def measure(forms: Sequence[Format], *, rounds: int) -> list[Record]:
    """Records of formats. Raises ParityError for a format that computes something else."""
    static = load_student().network.specialise(sampled_identity()).eval()
    load, faces, records = os.getloadavg()[0], sampled_faces(size=SIZES[0]), []
    with tempfile.TemporaryDirectory() as name, torch_threads(1):
        files = {form.name: _write_all(form, static, Path(name)) for form in tqdm(forms, desc="formats")}
        work: dict[str, Callable[[], object]] = {}
        for form in forms:
            if not form.obstacle:
                work |= _work(form, files[form.name])
        times = take_turns(work, rounds)
        for form in forms:
            begun, path = time.perf_counter(), files[form.name][form.layouts[0], SIZES[0]]
            backend = ", ".join(f"{name} {version}" for name, version in form.versions().items())
            size = float(form.size_in_bytes(path))
            protocol = f"all files of one person, layout {form.layouts[0]}, {SIZES[0]} px"
            metrics = [Metric(name="bytes", value=size, backend=backend, protocol=protocol, n=1)]
            if not form.obstacle:
                report = parity(form, path, static, faces, layout=form.layouts[0])
                check(report, form.tolerance)
                metrics += [
                    *_parity_metrics(report, backend),
                    *_time_metrics(form.name, form.layouts, times, backend, rounds, load),
                ]
            records.append(_record(form.name, metrics, time.perf_counter() - begun))
    return records


def _record(name: str, metrics: Sequence[Metric], seconds: float) -> Record:
    return Record(
        experiment=f"export/{name}",
        profile="mini",
        seed=PERSON_SEED,
        metrics=tuple(metrics),
        device="cpu",
        wall_seconds=seconds,
        data_digest=file_digest(student_path()),
    )


def measure_pair(*, rounds: int) -> Record:
    """The record of the two-file form. Raises ParityError if it computes something else."""
    begun, load, student, sface = time.perf_counter(), os.getloadavg()[0], load_student(), load_sface()
    face = arcface_view(sampled_faces(1, size=SIZES[0], seed=PERSON_SEED))
    with torch.no_grad():
        static = student.network.specialise(sface(face)).eval()
    form = FORMATS["onnx"]
    backend = f"onnxruntime {form.versions()['onnxruntime']}, weights as inputs"
    with tempfile.TemporaryDirectory() as name, torch_threads(1):
        work, folders = {}, {}
        for layout, size in ((layout, size) for layout in _OPEN_LAYOUTS for size in SIZES):
            folders[layout, size] = folder = Path(name) / f"{layout}_{size}"
            parts = Parts(
                identity=sface, student=student.network, size=size, points=TEMPLATE, face_from_crop=arcface_matrix(size)
            )
            write_two_file(folder, parts, layout=layout)
            step = _step(load_two_file(folder, 1)(face.numpy()), sampled_faces(1, size=size).numpy())
            work[_key("two-file", layout, size)] = step
        faces, folder = sampled_faces(size=SIZES[0]), folders[_OPEN_LAYOUTS[0], SIZES[0]]
        report = pair_parity(folder, face, static, faces, name="two-file", layout=_OPEN_LAYOUTS[0])
        check(report, TOLERANCE)
        times = take_turns(work, rounds)
    metrics = [
        Metric(name="bytes", value=float(report.bytes), backend=backend, n=1,
               protocol=f"both files and the contract, layout {report.layout}, {SIZES[0]} px"),
        *_parity_metrics(report, backend), *_time_metrics("two-file", _OPEN_LAYOUTS, times, backend, rounds, load),
    ]  # fmt: skip
    return _record("two-file", metrics, time.perf_counter() - begun)


def table(records: Sequence[Record]) -> str:
    """The records for people."""
    header = ["format", "MB", "swap: max", "mean", *(f"ms {layout} {size}" for layout in _LAYOUTS for size in SIZES)]
    rows = []
    for record in records:
        values = {metric.name: metric.value for metric in record.metrics}
        times = [values.get(f"median_{layout}_{size}") for layout in _LAYOUTS for size in SIZES]
        rows.append(
            [record.experiment.removeprefix("export/"), f"{values['bytes'] / 1e6:.2f}"]
            + [f"{values[name]:.1e}" if name in values else "–" for name in ("result_max", "result_mean")]
            + [f"{value:.2f}" if value is not None else "–" for value in times]
        )
    return markdown_table(header, rows)


def _installed() -> list[str]:
    return [*(name for name, form in FORMATS.items() if form.installed()), "two-file"]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", help="some of them, with commas between (default: all that are installed)")
    parser.add_argument("--rounds", type=int, default=60, help="of the timing; each times every file once")
    parser.add_argument("--output", type=Path, default=Path("results/export.jsonl"), help="file of the records")
    parser.add_argument("--only-record", help="write the records of these alone (others serve as yardsticks)")
    arguments = parser.parse_args()
    names = arguments.formats.split(",") if arguments.formats else _installed()
    forms = [format_named(name) for name in names if name != "two-file"]
    records = measure(forms, rounds=arguments.rounds)
    if "two-file" in names:
        records.append(measure_pair(rounds=arguments.rounds))
    kept = arguments.only_record.split(",") if arguments.only_record else names
    for record in records:
        if record.experiment.removeprefix("export/") in kept:
            append_record(arguments.output, record)
    tqdm.write(table(records))


if __name__ == "__main__":
    main()
