"""The regenerated figures show what they say: every pair, every system, heat where something changed and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.reproduction import paper_figures
from mfs_lib.reproduction.paper_pairs import Deck, ShownPairs
from mfs_lib.reproduction.paper_systems import TRUTH, Shown, student_cost, student_system
from mfs_lib.weights.shipped import load_student

SIZE = 32
COUNT = 4


def _pairs(size: int, *, truth: bool = True) -> ShownPairs:
    """Flat pictures: sources 0.8, targets 0.2, 0.25, ...; the exact swap paints a square of 0.8 into the target."""
    source = torch.full((COUNT, 3, size, size), 0.8)
    target = torch.stack([torch.full((3, size, size), 0.2 + 0.05 * i) for i in range(COUNT)])
    face = torch.zeros(COUNT, 1, size, size)
    face[..., size // 4 : -size // 4, size // 4 : -size // 4] = 1
    exact = torch.where(face > 0, source, target)
    who = IdentityFeatures(torch.arange(COUNT)[:, None].float(), torch.zeros(COUNT, 1, 7, 7))
    return ShownPairs(source, target, who, exact if truth else None, face if truth else None)


@pytest.fixture
def deck() -> Deck:
    return Deck("flat people", _pairs)


@pytest.fixture
def photographs() -> Deck:
    return Deck("photographs", lambda size: _pairs(size, truth=False))


def _system(swap: Callable[[ShownPairs], Tensor], title: str = "system", size: int | None = None) -> Shown:
    return Shown(title, title, size, swap)


LAZY = _system(lambda pairs: pairs.target, "does nothing")


def _canvas(figure: Figure) -> Tensor:
    return torch.from_numpy(figure.axes[0].images[0].get_array().data.copy())


def _cell(figure: Figure, row: int, column: int, size: int = SIZE) -> Tensor:
    top, left = row * (size + 2), column * (size + 2)
    return _canvas(figure)[top : top + size, left : left + size]


def _labels(figure: Figure) -> tuple[list[str], list[str]]:
    axes = figure.axes[0]
    return [t.get_text() for t in axes.get_yticklabels()], [t.get_text() for t in axes.get_xticklabels()]


def test_comparison_has_a_row_for_each_pair_and_a_column_for_each_system(deck: Deck) -> None:
    figure = paper_figures.comparison(deck, [LAZY, TRUTH], size=SIZE)
    assert _labels(figure)[1] == ["source", "target", "does nothing", "exact swap"]
    assert _canvas(figure).shape[:2] == (COUNT * (SIZE + 2) - 2, 4 * (SIZE + 2) - 2)
    assert int(_cell(figure, 1, 2)[0, 0, 0]) == round(255 * 0.25)
    assert int(_cell(figure, 1, 3)[SIZE // 2, SIZE // 2, 0]) == round(255 * 0.8)


def test_photographs_have_no_column_of_exact_swaps(photographs: Deck) -> None:
    figure = paper_figures.comparison(photographs, [LAZY, TRUTH], size=SIZE)
    assert _labels(figure)[1] == ["source", "target", "does nothing"]
    with pytest.raises(InputError, match="no system"):
        paper_figures.comparison(photographs, [TRUTH], size=SIZE)


def test_a_small_system_is_asked_at_its_own_size_and_shown_at_the_sheets(deck: Deck) -> None:
    asked: list[int] = []

    def swap(pairs: ShownPairs) -> Tensor:
        asked.append(pairs.target.shape[-1])
        return pairs.target

    figure = paper_figures.comparison(deck, [_system(swap, size=16)], size=SIZE)
    assert set(asked) == {16}
    assert _cell(figure, 0, 2).shape == (SIZE, SIZE, 3)


def test_teaser_states_the_cost_of_networks_only(deck: Deck) -> None:
    student = student_system(load_student(), "ours")
    priced = Shown("ours", "ours", None, lambda pairs: pairs.target, student.count)
    figure = paper_figures.teaser(deck, [priced, TRUTH], size=SIZE)
    feet = [axes.get_xlabel() for axes in figure.axes[-4:]]
    assert feet == ["", "", "0.104 G MAC\n0.50 M par.", ""]
    assert all(axes.get_xlabel() == "" for axes in figure.axes[:-4])
    assert student_cost(load_student(), "ours").video.operations.mac == 104_022_016


def test_crossing_swaps_every_source_onto_every_target(deck: Deck) -> None:
    """The stand-in system's picture is the number of the source plus the target's grey."""

    def swap(pairs: ShownPairs) -> Tensor:
        return (pairs.identity.embedding[:, :, None, None] / 10 + pairs.target - 0.1).clamp(0, 1)

    figure = paper_figures.crossing(deck, _system(swap), count=3, size=SIZE)
    shades = [[int(_cell(figure, i, j)[0, 0, 0]) for j in range(4)] for i in range(4)]
    assert shades[0] == pytest.approx([255, *(255 * (0.2 + 0.05 * j) for j in range(3))], abs=1)
    for i in range(3):
        wanted = [255 * 0.8, *(255 * (i / 10 + 0.1 + 0.05 * j) for j in range(3))]
        assert shades[i + 1] == pytest.approx(wanted, abs=1)


def test_details_enlarge_eyes_and_mouth(deck: Deck) -> None:
    figure = paper_figures.details(deck, [LAZY], size=SIZE)
    assert _labels(figure)[0] == ["crop", "eyes", "mouth"] * COUNT
    assert _canvas(figure).shape[0] == 3 * COUNT * (SIZE + 2) - 2


def test_windows_lie_within_the_crop_and_the_eyes_above_the_mouth() -> None:
    corners = paper_figures.windows()
    assert corners["eyes"][1] < corners["mouth"][1]
    for left, top in corners.values():
        assert 0 <= left <= 1 - 0.375 and 0 <= top <= 1 - 0.375


def test_a_window_is_cut_where_it_says() -> None:
    picture = torch.zeros(1, 3, 64, 64)
    picture[..., 40:, :] = 1
    assert float(paper_figures.enlarged(picture, (0.3, 0.0)).max()) == pytest.approx(0, abs=0.01)
    assert float(paper_figures.enlarged(picture, (0.3, 0.625)).min()) == pytest.approx(1, abs=0.01)


def test_heat_outside_sees_the_background_and_greys_the_face() -> None:
    pairs = _pairs(SIZE)
    assert pairs.truth is not None
    still = paper_figures.heat_map(pairs.truth, pairs, "outside")
    changed = paper_figures.heat_map(pairs.target + 10 / 255, pairs, "outside")
    middle, corner = (slice(None), slice(None), SIZE // 2, SIZE // 2), (slice(None), slice(None), 0, 0)
    assert torch.allclose(still[middle], torch.tensor(0.85)) and torch.allclose(changed[middle], torch.tensor(0.85))
    assert float(still[corner].max()) < 0.05
    assert float(changed[corner].max()) > 0.3


def test_heat_of_the_error_is_dark_for_the_exact_swap_and_bright_for_doing_nothing() -> None:
    pairs = _pairs(SIZE)
    assert pairs.truth is not None
    exact = paper_figures.heat_map(pairs.truth, pairs, "truth")
    nothing = paper_figures.heat_map(pairs.target, pairs, "truth")
    assert float(exact.max()) < 0.05
    assert float(nothing[..., SIZE // 2, SIZE // 2].max()) > 0.9
    assert float(nothing[..., 0, 0].max()) < 0.05
    with pytest.raises(InputError, match="exact swap"):
        paper_figures.heat_map(pairs.target, _pairs(SIZE, truth=False), "truth")


@pytest.mark.parametrize("heat", ["outside", "truth"])
def test_ablation_has_a_row_for_each_network_between_target_and_exact_swap(
    deck: Deck, heat: paper_figures.Heat
) -> None:
    figure = paper_figures.ablation(deck, [LAZY], heat, size=SIZE)
    assert _labels(figure)[0] == ["source", "target", "does nothing", "exact swap"]
    assert _canvas(figure).shape[1] == 2 * COUNT * (SIZE + 2) - 2
    assert int(_cell(figure, 0, COUNT).min()) == 255  # nothing to compare a source with
    assert figure.axes[1].get_ylabel() == paper_figures.HEAT_LABEL[heat]
    with pytest.raises(InputError, match="no network"):
        paper_figures.ablation(deck, [], heat, size=SIZE)


def test_extremes_are_ranked_by_the_error_to_the_exact_swap(deck: Deck) -> None:
    """The system's error grows with the number of the pair, so best is the first and worst the last."""

    def swap(pairs: ShownPairs) -> Tensor:
        assert pairs.truth is not None
        return (pairs.truth + pairs.identity.embedding[:, :, None, None] / 255).clamp(0, 1)

    figure = paper_figures.extremes(deck, [LAZY, TRUTH], _system(swap), size=SIZE)
    labels, columns = _labels(figure)
    assert [label.split("\n")[0] for label in labels] == ["best", "typical", "worst"]
    assert [float(label.split("\n")[1]) for label in labels] == pytest.approx([0, 2, 3], abs=0.06)
    assert columns == ["source", "target", "does nothing", "exact swap"]
    assert int(_cell(figure, 2, 1)[0, 0, 0]) == round(255 * 0.35)


def test_errors_need_the_exact_swap(photographs: Deck) -> None:
    with pytest.raises(InputError, match="photographs"):
        paper_figures.errors_to_truth(LAZY, photographs, SIZE)
