"""Contact sheets: every picture where it belongs, nothing that doesn't fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.evaluation.sheets import in_rows, sheet, to_pixels


def test_pictures_lie_where_they_belong() -> None:
    rows = [torch.zeros(2, 3, 8, 8), torch.full((2, 1, 8, 8), 0.5)]
    rows[0][1, 0] = 1  # a red picture, top right
    figure = sheet(rows, row_labels=["a", "b"], col_labels=["c", "d"])
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    assert canvas.shape == (18, 18, 3)
    assert canvas[4, 14].tolist() == [255, 0, 0]
    assert canvas[14, 4].tolist() == [128, 128, 128]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize("rows", [[], [torch.zeros(0, 3, 8, 8)], [torch.zeros(2, 3, 8, 8), torch.zeros(1, 3, 8, 8)]])
def test_uneven_sheets_are_refused(rows: list[torch.Tensor]) -> None:
    with pytest.raises(InputError, match="equally long"):
        sheet(rows)


def test_labels_must_fit() -> None:
    with pytest.raises(InputError, match="labels"):
        sheet([torch.zeros(2, 3, 8, 8)], col_labels=["a"])


def test_pixels_are_rounded_and_clipped() -> None:
    image = torch.tensor([-1.0, 0.5, 2.0]).view(1, 1, 3)
    assert to_pixels(image)[0, :, 0].tolist() == [0, 128, 255]


def test_rows_leave_out_what_fills_none() -> None:
    assert [len(row) for row in in_rows(torch.arange(7), 3)] == [3, 3]
