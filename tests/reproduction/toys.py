"""A small table of experiments in a folder, and records as its runs would make them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mfs_lib.reproduction.table2 import Table, read_table
from mfs_lib.results import Metric, Record

BASE: dict[str, Any] = {
    "network": {
        "channels": [4, 8, 8, 8, 8], "mask_channels": [8, 8, 4, 4, 2], "embedding_dim": 128, "feature_channels": 1024,
        "predictor_width": 8, "kernel_base": True,
    },
    "data": {"seed": 5, "size": 64, "people": 4, "triplets": 8},
    "batch": {"sampled": 2},
    "identity_samples": 1,
    "loss": {"raw": 0.0, "laplacian": 0.0, "id": 3.0},
    "stages": [{"size": 32, "steps": 4}],
}  # fmt: skip
ROWS: dict[str, dict[str, Any]] = {
    "plain": {"network": {"pointwise": "plain"}},
    "ours": {},
    "unlisted": {"loss": {"id": 0.0}},
    "teacher": {"teacher": "oracle"},
}
ABOUT: dict[str, Any] = {
    "seeds": [0, 1],
    "pairs": 5,
    "profiles": {"smoke": {"seeds": [0], "pairs": 4, "settings": {"loss": {"id": 7.0}, "ema": 0.5}}},
    "rows": {
        "plain": {"title": "plain one", "line": 2, "paper": [86.2, 2.12, 9.92], "label": "guessed", "why": "words"},
        "absent": {"title": "its file is not there"},
        "teacher": {"trained": False, "line": 11, "paper": [95.94, 1.39, 10.26], "label": "by its numbers"},
        "ours": {"line": 12, "paper": [95.98, 1.32, 6.79], "label": "by its numbers"},
    },
}


def write_table(root: Path, about: Mapping[str, Any] = ABOUT, rows: Mapping[str, Mapping[str, Any]] = ROWS) -> Path:
    """Write the files of a table below `root`; returns the folder of its rows."""
    folder = root / "experiments" / "toy"
    folder.mkdir(parents=True)
    (folder.parent / "base.yaml").write_text(yaml.safe_dump(BASE))
    (folder.parent / "toy.yaml").write_text(yaml.safe_dump(dict(about), sort_keys=False))
    for key, changed in rows.items():
        (folder / f"{key}.yaml").write_text(yaml.safe_dump({"base": "../base.yaml", **changed}))
    return folder


def toy_table(root: Path) -> Table:
    """The table of `write_table`."""
    return read_table(write_table(root))


def record(
    experiment: str, seed: int, values: Mapping[str, float], *, digest: str = "a" * 64, data: str = "d" * 64,
    profile: str = "mini", created: str = "2026-01-01T00:00:00Z", unit: str = "1",
) -> Record:  # fmt: skip
    """A record with metrics of the given values."""
    metrics = tuple(Metric(name=name, value=value, unit=unit, protocol="toy", n=1) for name, value in values.items())
    return Record(
        experiment=experiment, profile=profile, seed=seed, metrics=metrics, device="cpu", wall_seconds=1.0,
        experiment_digest=digest, data_digest=data, created=created, git_commit=None,
    )  # fmt: skip
