"""Logs as they are written by runs that were interrupted, curves, and pairs of photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfs_lib.errors import AssetError, InputError
from mfs_lib.evaluation.training_drawing import curves, pairs_of, read_log, smoothed
from mfs_lib.faces.folders import PhotoSet


def test_a_resumed_log_counts_each_step_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 2, "rec": 5}\n{"step": 1, "rec": 4}\n{"step": 2, "rec": 3}\n')
    assert read_log(path) == [{"step": 1.0, "rec": 4.0}, {"step": 2.0, "rec": 3.0}]


@pytest.mark.parametrize("text", ["no json\n", '{"rec": 1}\n', '{"step": "x"}\n', "[1]\n"])
def test_what_is_no_log_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(AssetError, match=r"log\.jsonl:1"):
        read_log(tmp_path / "log.jsonl")
    with pytest.raises(AssetError, match="missing"):
        read_log(tmp_path / "none.jsonl")


def test_smoothing_keeps_constants_and_has_no_bias() -> None:
    assert smoothed([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])
    assert smoothed([1.0, 3.0], memory=0.5) == pytest.approx([1.0, (0.5 + 3) / 1.5])


def test_curves_show_what_the_log_has() -> None:
    log = [{"step": 1.0, "a": 1.0}, {"step": 2.0, "a": 2.0}]
    figure = curves(log, {"first": ["a", "absent"], "second": ["a"]}, levels={"second": 1.5})
    assert [axes.get_title() for axes in figure.axes] == ["first", "second"]
    assert [len(axes.lines) for axes in figure.axes] == [1, 2]
    with pytest.raises(InputError):
        curves([], {"first": ["a"]})


def _photos(expressions: tuple[str, ...], people: tuple[str, ...]) -> PhotoSet:
    n = len(people)
    shades = np.arange(n, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3)
    return PhotoSet(
        crops=shades, points=np.zeros((n, 5, 2), np.float32), mesh=np.zeros((n, 468, 3), np.float32),
        inside=np.ones((n, 4, 4), bool), names=people, people=people, expressions=expressions,
    )  # fmt: skip


def test_pairs_are_of_different_people() -> None:
    photos = _photos(("neutral", "smiling", "neutral", "smiling"), ("1", "1", "2", "2"))
    source, target = pairs_of(photos, 10)
    shades = {(round(float(a.mean() * 255)), round(float(b.mean() * 255))) for a, b in zip(source, target, strict=True)}
    assert shades == {(0, 3), (2, 1)}
    assert photos.pictures([2]).shape == (1, 3, 4, 4)
    with pytest.raises(InputError, match="different people"):
        pairs_of(_photos(("neutral", "smiling"), ("1", "1")), 1)
