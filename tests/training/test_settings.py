"""Files of settings over one another."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfs_lib.errors import ConfigError
from mfs_lib.training.settings import merged, read_settings


def test_a_file_overrides_its_base_deeply(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("seed: 1\nloss: {rec: 30, id: 3}\nstages: [{steps: 5}]\n")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "middle.yaml").write_text("base: ../base.yaml\nloss: {id: 0}\n")
    (tmp_path / "rows" / "row.yaml").write_text("base: middle.yaml\nstages: [{steps: 7}, {steps: 8}]\nclip: 2.0\n")
    found = read_settings(tmp_path / "rows" / "row.yaml")
    assert found == {
        "seed": 1, "loss": {"rec": 30, "id": 0}, "stages": [{"steps": 7}, {"steps": 8}], "clip": 2.0,
    }  # fmt: skip


def test_merging_leaves_its_inputs_alone() -> None:
    usual = {"loss": {"id": 3}, "seed": 1}
    assert merged(usual, {"loss": {"rec": 1}}) == {"loss": {"id": 3, "rec": 1}, "seed": 1}
    assert usual == {"loss": {"id": 3}, "seed": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [("base: a.yaml\n", "its own base"), ("base: [a]\n", "must name a file"), ("base: gone.yaml\n", "no experiment")],
)
def test_a_base_that_cannot_be_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_settings(tmp_path / "a.yaml")
