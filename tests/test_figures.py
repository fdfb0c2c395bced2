"""The figure helper: it insists on caption and alt text, records what made a figure, and shows it in both worlds."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from mfs_lib import figures
from mfs_lib.errors import InputError

ALT = "A line that rises from the lower left to the upper right."


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What was displayed, newest last."""
    bundles: list[dict[str, str]] = []
    monkeypatch.setattr(figures, "_display", bundles.append)
    monkeypatch.delenv("MFS_FIGURES", raising=False)
    return bundles


@pytest.fixture
def line() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    return figure


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"caption": ""}, "caption"),
        ({"caption": "  \n "}, "caption"),
        ({"alt": ""}, "alt text"),
        ({"alt": "A plot."}, "alt text"),
        ({"alt": "The same sentence as the caption."}, "repeat"),
        ({"name": "Figure 1"}, "label"),
        ({"name": "fig"}, "label"),
        ({"width": "wide"}, "width"),
        ({"width": "120%"}, "width"),
    ],
)
def test_incomplete_figures_are_refused(
    shown: list[dict[str, str]], line: Figure, changes: dict[str, str], complaint: str
) -> None:
    arguments = {"name": "fig-line", "caption": "The same sentence as the caption.", "alt": ALT} | changes
    with pytest.raises(InputError, match=complaint):
        figures.show_figure(line, **arguments)
    assert shown == []


def test_in_a_notebook_program_the_picture_is_inside(shown: list[dict[str, str]], line: Figure) -> None:
    figures.show_figure(line, name="fig-line", caption="A < B & more.", alt=ALT + ' Its label is "x".')
    (bundle,) = shown
    assert "text/markdown" not in bundle
    assert 'alt="A line that rises' in bundle["text/html"]
    assert "&quot;x&quot;" in bundle["text/html"]
    assert "<figcaption>A &lt; B &amp; more.</figcaption>" in bundle["text/html"]
    assert "data:image/png;base64," in bundle["text/html"]


def test_for_the_book_picture_and_provenance_are_stored(
    shown: list[dict[str, str]], line: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "01_x"
    monkeypatch.setenv("MFS_FIGURES", str(folder))
    monkeypatch.setenv("MFS_NOTEBOOK", "01_x")
    monkeypatch.setenv("MFS_PROFILE", "smoke")
    figures.show_figure(line, name="fig-line", caption="Up\n it goes.", alt=ALT, width="50%")
    facts = json.loads((folder / "fig-line.json").read_text("utf-8"))
    assert facts["notebook"] == "01_x"
    assert facts["profile"] == "smoke"
    assert facts["package_version"]
    assert "git_commit" in facts
    with Image.open(folder / "fig-line.png") as picture:
        assert picture.info["Description"] == ALT
    myst = shown[0]["text/markdown"].splitlines()
    assert myst[0] == "::::{figure} figures/01_x/fig-line.png"
    assert f':alt: "{ALT}"' in myst
    assert "Up it goes." in myst
    assert sorted(path.name for path in folder.iterdir()) == ["fig-line.json", "fig-line.png"]


def test_tables_are_numbered_in_the_book_only(
    shown: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures.show_table(["a"], [[1]], name="tab-one", caption="One.")
    monkeypatch.setenv("MFS_FIGURES", str(tmp_path))
    figures.show_table(["a"], [[1]], name="tab-one", caption="One.")
    assert shown[0]["text/markdown"].startswith("*One.*")
    assert shown[1]["text/markdown"].startswith("::::{table} One.\n:name: tab-one")
    with pytest.raises(InputError, match="caption"):
        figures.show_table(["a"], [[1]], name="tab-one", caption="")


def test_grids_take_arrays_and_tensors_and_leave_gaps() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    tensor = torch.zeros(3, 8, 8)
    tensor[0] = 1.0
    grid = figures.image_grid(
        [[red, tensor], [red[..., 0], None]], row_labels=["colour", "grey"], col_labels=["array", "tensor"]
    )
    first, second, third, fourth = grid.axes
    assert np.array_equal(first.images[0].get_array() / 255, second.images[0].get_array())
    assert third.images[0].get_cmap().name == "gray"
    assert len(fourth.images) == 0
    assert [axes.get_title() for axes in (first, second)] == ["array", "tensor"]
    assert third.get_ylabel() == "grey"


@pytest.mark.parametrize(
    ("images", "labels", "complaint"),
    [
        ([], {}, "at least one"),
        ([[]], {}, "at least one"),
        ([[torch.zeros(4, 8, 8)]], {}, "3×H×W"),
        ([[np.zeros((8, 8, 3))]], {}, "uint8"),
        ([[np.zeros((8, 8))]], {"row_labels": ["a", "b"]}, "don't fit"),
        ([[np.zeros((8, 8))]], {"col_labels": ["a", "b"]}, "don't fit"),
    ],
)
def test_what_is_no_grid_of_pictures_is_refused(
    images: list[list[object]], labels: dict[str, list[str]], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        figures.image_grid(images, **labels)  # type: ignore[arg-type]


def test_the_style_draws_in_its_own_colours() -> None:
    assert len(set(figures.COLOURS)) == 8
    with mpl.rc_context():
        figures.use_style()
        axes = Figure().subplots()
        drawn = [axes.plot([0, 1])[0].get_color() for _ in range(9)]
    assert drawn == [*figures.COLOURS, figures.COLOURS[0]]
