"""The examination tells a weight that sees the teacher's errors from one that sees hard pairs, and from one that sees nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.samples import FloatArray
from mfs_lib.networks.quality import QualityScorer
from mfs_lib.reproduction import examination, quality_drawing, quality_report, quality_widths, rank_statistics, words
from mfs_lib.reproduction.examination import ERRORS, WEIGHTS, Scored
from mfs_lib.reproduction.rank_statistics import Estimate, read_estimate
from mfs_lib.reproduction.sampled_pairs import FACTS, draw_pairs
from mfs_lib.reproduction.teacher_report import newest_curve
from mfs_lib.results import Metric, Record, load_records
from mfs_lib.training.quality import QualityConfig, load_quality, save_quality
from mfs_lib.training.teachers.generators import SimSwapConfig, build_generator
from mfs_lib.training.teachers.trained import save_teacher

PAIRS = 200


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_statistics.bootstrap, "__kwdefaults__", {"seed": 0, "draws": 40})


@pytest.fixture(scope="module")
def facts() -> FloatArray:
    """What is known of the pairs; the first fact says how hard one is."""
    return np.random.default_rng(0).normal(size=(PAIRS, len(FACTS)))


@pytest.fixture(scope="module")
def scored(facts: FloatArray) -> Scored:
    """Two teachers. q sees hard pairs alone, cos2 the answer's own error, alpha nothing."""
    rng = np.random.default_rng(1)
    own = rng.normal(size=(2, PAIRS))
    own = own - np.array([[0.0], [2.0]])  # the second teacher errs less
    error = 10 + facts[:, 0] + own
    hard, seen, blind = -facts[:, 0] + 0 * own, -own, rng.normal(size=(2, PAIRS))
    weights = [np.exp(0.5 * (w + 0.3 * rng.normal(size=w.shape))) for w in (hard, seen, blind)]
    return Scored(dict(zip(WEIGHTS, weights, strict=True)), dict.fromkeys(ERRORS, error))


def _read(rows: list[Metric], name: str) -> Estimate:
    return read_estimate(rows, name)


def test_what_is_known_within_one_teacher(scored: Scored, facts: FloatArray) -> None:
    rows = examination.within_teacher(scored.last(), facts)
    assert _read(rows, "error_by_q").value < -0.5 and _read(rows, "error_by_q").sure
    assert abs(_read(rows, "error_by_q_given_facts").value) < 0.2  # it saw the question, not the answer
    assert _read(rows, "error_by_cos2").value < -0.4
    assert _read(rows, "error_by_cos2_given_facts").value < -0.8
    assert abs(_read(rows, "error_by_alpha").value) < 0.2
    assert _read(rows, "error_by_facts").value == pytest.approx(0.7, abs=0.12)
    best, seen, blind = (_read(rows, f"weighted_error_by_{w}").value for w in ("truth", "cos2", "alpha"))
    assert best < seen < blind and blind == pytest.approx(1, abs=0.02)
    assert {row.n for row in rows} == {PAIRS}


def test_what_is_known_across_checkpoints(scored: Scored) -> None:
    rows = examination.across_checkpoints(scored)
    assert _read(rows, "same_pair_error_by_cos2").value < -0.5
    assert abs(_read(rows, "same_pair_error_by_alpha").value) < 0.25
    assert _read(rows, "all_features_by_q").value < -0.3
    assert len(rows) == 3 * 2 * len(WEIGHTS) * len(ERRORS)
    shown = examination.means("final", {name: table[0] for name, table in scored.weights.items()}, "swaps")
    assert shown[0].name == "q_of_final" and shown[0].value == pytest.approx(scored.weights["q"][0].mean())


def test_whom_a_weight_scores_low(scored: Scored, facts: FloatArray) -> None:
    rows = examination.fact_correlations(scored.last(), facts)
    assert _read(rows, "q_by_to_change").value < -0.8 and _read(rows, "error_by_to_change").value > 0.5
    assert abs(_read(rows, "q_by_blur").value) < 0.25
    assert {row.name.partition("_by_")[2].removesuffix("_low").removesuffix("_high") for row in rows} == {
        fact.replace(" ", "_") for fact in FACTS
    }


def test_weights_and_errors_of_real_pictures() -> None:
    pairs = draw_pairs(4, 32, seed=2)
    scorer = QualityScorer(width=4).eval()
    exact, nothing = (examination.errors_of(x, pairs) for x in (pairs.truth, pairs.target))
    for name in ERRORS:
        assert exact[name] == pytest.approx(0, abs=1e-5) and (nothing[name] > 1e-3).all()
    weights = examination.weights_of(pairs.truth, pairs, scorer)
    np.testing.assert_allclose(weights["alpha"], weights["q"] * weights["cos2"])
    assert weights["cos2"].mean() > examination.weights_of(pairs.target, pairs, scorer)["cos2"].mean()
    np.testing.assert_allclose(weights["q"], scorer((pairs.truth * 255).round() / 255).detach(), atol=1e-5)


def test_the_command_examines_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, run, output = SimSwapConfig(width=2, blocks=1, embedding_dim=128), tmp_path / "run", tmp_path / "q.jsonl"
    for step, share in ((1, 0.25), (4, 1.0)):
        torch.manual_seed(step)
        file = run / "checkpoints" / f"{step:07d}.safetensors"
        save_teacher(file, build_generator(config), config, crop_size=32, progress=share)
    save_quality(run / "quality.safetensors", QualityScorer(width=4))
    arguments = ["mine", "--run", run, "--pairs", 14, "--pairs-each", 4, "--output", output]
    monkeypatch.setattr(sys, "argv", ["quality_report", *map(str, arguments)])
    quality_report.main()
    records = load_records(output)
    assert [r.experiment for r in records] == ["quality/mine/at_025", "quality/mine/at_100", "quality/mine"]
    points = newest_curve(records, "quality/mine")
    assert [p.metric("progress").value for p in points] == [0.25, 1.0] and points[0].metric("q").n == 4
    assert points[0].metric("q_5").value <= points[0].metric("q").value <= points[0].metric("q_95").value
    assert records[-1].metric("error_by_q").n == 14 and records[-1].metric("progress_by_q").n == 8
    assert records[-1].metric("alpha_of_truth").value > 0 and -1 <= records[-1].metric("q_by_target").value <= 1
    assert isinstance(quality_drawing.calibration_figure(points), Figure)


def test_drawings_refuse_what_they_cannot_show() -> None:
    values = np.array([0.3, 0.1, 0.9, 0.5])
    assert quality_drawing.extremes(values, 2) == ([1, 0], [2, 3])
    with pytest.raises(InputError, match="there are 4"):
        quality_drawing.extremes(values, 3)
    with pytest.raises(InputError, match="no calibration"):
        quality_drawing.calibration_figure([])
    with pytest.raises(InputError, match="2 estimates"):
        quality_drawing.forest({"a": [Estimate(0, 0, 0)]}, ["x", "y"], xlabel="ρ")
    figure = quality_drawing.forest({"a": [Estimate(-0.5, -0.7, -0.3)] * 2}, ["x", "y"], xlabel="ρ")
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a"]
    chart = quality_drawing.weight_scatter({"q": values}, -values, {"q": "Q"})
    assert chart.axes[0].get_title() == "ρ = −1.00"
    pairs = draw_pairs(4, 32, seed=2)
    assert isinstance(quality_drawing.extremes_sheet(pairs.truth, pairs, values, 2), Figure)


def test_words_say_what_the_numbers_do() -> None:
    told = {
        (-0.8, -0.9, -0.7): "most", (-0.5, -0.6, -0.4): "much", (-0.2, -0.3, -0.1): "a little",
        (-0.1, -0.14, -0.06): "hardly anything", (0.3, 0.1, 0.5): "the opposite of what it should",
        (-0.5, -1.0, 0.1): "nothing that can be told from chance",
    }  # fmt: skip
    assert {key: words.knows(Estimate(*key)) for key in told} == told
    assert words.knows(None) == words.interval(None) == words.MISSING
    assert words.interval(Estimate(0.9873, 0.981, 1.0), 3) == "0.987 (0.981 to 1.000)"

    def record(**values: float) -> Record:
        metrics = tuple(Metric(name=k, value=v, protocol="p", n=50) for k, v in values.items())
        return Record(experiment="x", profile="mini", seed=0, metrics=metrics, device="cpu", wall_seconds=0)

    usual = {"retrieval": 90.0, "error": 2.0, "background": 0.5, "pose_error": 2.0}
    teacher = record(cos_source=0.4, **usual)
    text = words.swap_sentence(
        "mine", teacher, record(cos_source=0.7, **usual), record(cos_source=0.1, **usual | {"error": 5.0})
    )
    assert (
        "goes 50 % of the way" in text
        and "2.0 grey levels, less than doing nothing (5.0)" in text
        and "chance 2 %" in text
    )
    assert words.table_cells([teacher, None], "cos_source") == ["0.4", "–"]
    assert words.table_cells([record(kid=-0.00001), record(kid=-0.5)], "kid") == ["0", "−0.5"]
    assert words.found(None, "a") is None and words.found(teacher, "error") is None


def test_scorers_of_several_widths_are_compared(tmp_path: Path) -> None:
    config, run = SimSwapConfig(width=2, blocks=1, embedding_dim=128), tmp_path / "run"
    for step, share in ((1, 0.25), (4, 1.0)):
        torch.manual_seed(step)
        file = run / "checkpoints" / f"{step:07d}.safetensors"
        save_teacher(file, build_generator(config), config, crop_size=32, progress=share)
    fitting = QualityConfig(width=4, pairs=6, held_out=0.34, steps=2, batch=4)
    pairs = draw_pairs(13, 32, seed=2)
    records = list(quality_widths.width_records("mine", run, fitting, (2, 4), pairs, tmp_path / "widths"))
    assert [r.experiment for r in records] == ["quality/mine/width_02", "quality/mine/width_04"]
    small, large = records
    assert small.metric("parameters").value < large.metric("parameters").value
    assert small.metric("spearman").n == 4 and small.metric("features_by_q_given_facts").n == 13
    assert load_quality(tmp_path / "widths" / "width_02.safetensors").width == 2
