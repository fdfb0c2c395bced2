"""The one way by which figures and tables get into the book: with a caption, alt text and a record of what made them.

`show_figure` displays an output with two faces. Notebook programs take the HTML one, which carries the picture inside.
The book takes the MyST one: a numbered figure with alt text that the text can refer to (``{numref}`fig-name```). For it
the picture is written to the folder named by the environment variable MFS_FIGURES (tools/run_notebooks.py sets it),
with a JSON file of its provenance beside it; without the variable nothing is written.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from cycler import cycler
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mfs_lib import runinfo
from mfs_lib.errors import InputError
from mfs_lib.results import markdown_table

Image: TypeAlias = "NDArray[Any] | torch.Tensor"

#: Okabe and Ito's colours, told apart by readers with any kind of colour vision.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#000000")
STYLE: dict[str, Any] = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.titlesize": "medium",
    "font.size": 10.0,
    "legend.frameon": False,
    "figure.figsize": (6.4, 3.2),
    "figure.constrained_layout.use": True,
    "image.cmap": "viridis",
    "savefig.dpi": 150,
}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")
_SHORTEST_ALT = 20


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What made a figure: chapter and profile it was run in (None outside the book), package version and commit."""

    notebook: str | None
    profile: str | None
    package_version: str
    git_commit: str | None


def use_style() -> None:
    """Draw with this book's style from here on (changes matplotlib's rcParams)."""
    style.use(STYLE)


def provenance() -> Provenance:
    """What makes the figures of the running chapter."""
    return Provenance(
        notebook=os.environ.get("MFS_NOTEBOOK"),
        profile=os.environ.get("MFS_PROFILE"),
        package_version=runinfo.package_version(),
        git_commit=runinfo.git_commit(),
    )


def show_figure(figure: Figure, *, name: str, caption: str, alt: str, width: str = "100%") -> None:
    """Display `figure` as a numbered figure of the book, and close it.

    `name` is the label for references and the file's name, e.g. `fig-swap-grid`. `caption` says what there is to learn
    and may hold MyST (mathematics, citations). `alt` says what there is to see, for those who don't see it: plain text
    of 20 characters or more, not the caption again. `width` is the share of the text's width, e.g. `60%`.
    Raises InputError where one of these is missing or malformed.
    """
    caption, alt = _one_line(caption), _one_line(alt)
    _check(name, caption, alt, width)
    made_by = provenance()
    png = _png(figure, alt, made_by)
    link = _store(name, png, {"name": name, "caption": caption, "alt": alt, **asdict(made_by)})
    bundle = {
        "text/plain": f"{name}: {alt}",
        "text/html": _as_html(png, name=name, caption=caption, alt=alt, width=width),
    }
    if link is not None:
        options = {"name": name, "alt": alt, "width": width, "align": "center"}
        lines = [f":{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in options.items()]
        bundle["text/markdown"] = "\n".join([f"::::{{figure}} {link}", *lines, "", caption, "::::"])
    _display(bundle)
    _close(figure)


def show_table(header: Sequence[str], rows: Iterable[Sequence[object]], *, name: str, caption: str) -> None:
    """Display a numbered table of the book (label `name`, e.g. `tab-layers`); cells may hold MyST.

    Raises InputError for a malformed name or an empty caption.
    """
    caption = _one_line(caption)
    _check_label(name, caption)
    table = markdown_table(header, rows)
    myst = f"::::{{table}} {caption}\n:name: {name}\n\n{table}\n::::"
    _display({"text/plain": f"{caption}\n\n{table}", "text/markdown": myst if _folder() else f"*{caption}*\n\n{table}"})


def image_grid(
    images: Sequence[Sequence[Image | None]],
    *,
    row_labels: Sequence[str] = (),
    col_labels: Sequence[str] = (),
    cell: float = 1.2,
) -> Figure:
    """A contact sheet: one row of pictures per inner sequence, labels at the left and on top, `cell` inches a picture.

    Pictures are arrays H×W×3 uint8, arrays H×W (grey) or tensors 3×H×W in [0, 1]; None leaves the place empty.
    Raises InputError where the labels don't fit the grid or a picture has another shape.
    """
    height, width = len(images), max((len(row) for row in images), default=0)
    if not height or not width:
        raise InputError("A grid of pictures needs at least one picture.")
    if (row_labels and len(row_labels) != height) or (col_labels and len(col_labels) != width):
        raise InputError(
            f"{len(row_labels)} row and {len(col_labels)} column labels don't fit a grid of {height}×{width}."
        )
    # A figure of its own, outside pyplot: nothing else can draw into it or show it a second time.
    figure = Figure(figsize=(cell * width + (0.9 if row_labels else 0), cell * height + (0.3 if col_labels else 0)))
    figure.set_layout_engine("constrained", h_pad=0.01, w_pad=0.01, hspace=0.01, wspace=0.01)
    for i, j in np.ndindex(height, width):
        axes = figure.add_subplot(height, width, i * width + j + 1)
        _draw_cell(axes, images[i][j] if j < len(images[i]) else None)
        if col_labels and i == 0:
            axes.set_title(col_labels[j], fontsize="small")
        if row_labels and j == 0:
            axes.set_ylabel(row_labels[i], fontsize="small", rotation=0, ha="right", va="center")
    return figure


def _draw_cell(axes: Axes, image: Image | None) -> None:
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if image is None:
        axes.set_facecolor("none")
        return
    pixels = _pixels(image)
    axes.imshow(pixels, interpolation="antialiased", cmap="gray" if pixels.ndim == 2 else None)


def _pixels(image: Image) -> NDArray[Any]:
    if isinstance(image, torch.Tensor):
        tensor = image.detach().float().cpu()
        if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
            raise InputError(f"A picture given as a tensor must be 3×H×W or 1×H×W, not {tuple(tensor.shape)}.")
        array: NDArray[Any] = tensor.clamp(0, 1).permute(1, 2, 0).squeeze(-1).numpy()
        return array
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8):
        return image
    raise InputError(f"A picture given as an array must be H×W×3 uint8 or H×W, not {image.shape} {image.dtype}.")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _check_label(name: str, caption: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} isn't a label: use lower-case words joined by hyphens, e.g. 'fig-swap-grid'.")
    if not caption:
        raise InputError(f"{name}: the caption is missing; say in a sentence what there is to learn.")


def _check(name: str, caption: str, alt: str, width: str) -> None:
    _check_label(name, caption)
    if len(alt) < _SHORTEST_ALT or alt == caption:
        raise InputError(
            f"{name}: the alt text must say what there is to see, in {_SHORTEST_ALT} characters or more, "
            "and not repeat the caption."
        )
    if not re.fullmatch(r"[1-9][0-9]?%|100%", width):
        raise InputError(f"{name}: the width must be a share such as '60%', not {width!r}.")


def _png(figure: Figure, alt: str, made_by: Provenance) -> bytes:
    buffer = io.BytesIO()
    software = f"mfs_lib {made_by.package_version} {made_by.git_commit or ''}".strip()
    metadata = {"Description": alt, "Software": software, "Source": made_by.notebook or "interactive"}
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata=metadata)
    return buffer.getvalue()


def _folder() -> Path | None:
    named = os.environ.get("MFS_FIGURES")
    return Path(named) if named else None


def _store(name: str, png: bytes, facts: dict[str, str | None]) -> str | None:
    """Write the picture and its facts; returns the picture's address as seen from the executed chapter, or None."""
    folder = _folder()
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, content in ((".png", png), (".json", json.dumps(facts, indent=2, ensure_ascii=False).encode())):
        fresh = folder / f"{name}{suffix}.new"
        fresh.write_bytes(content)
        fresh.replace(folder / f"{name}{suffix}")
    return f"figures/{folder.name}/{name}.png"


def _as_html(png: bytes, *, name: str, caption: str, alt: str, width: str) -> str:
    data = base64.b64encode(png).decode()
    return (
        f'<figure id="{name}"><img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" style="width:{width}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _display(bundle: dict[str, str]) -> None:
    from IPython import display  # only notebooks have it

    show: Any = display.display
    show(bundle, raw=True)


def _close(figure: Figure) -> None:
    from matplotlib import pyplot

    # Else the notebook's inline backend shows the figure once more, without caption and alt text.
    pyplot.close(figure)
