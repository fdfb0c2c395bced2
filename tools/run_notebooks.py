"""Execute the chapters (notebooks/NN_topic.md) with papermill and lay the results where the book's contents expect them.

Each chapter runs in a kernel of its own, from the repository's root, with the parameter `profile`. A chapter is skipped
while nothing that it can depend on has changed: its text, the library with its shipped weights, the recorded results,
the locked requirements and the profile. The executed notebooks and figures of each profile are kept apart in
build/executed/<profile>, so that tests (smoke) and the book (mini) don't undo one another's work; those of the profile
asked for are copied to book/executed.

    python tools/run_notebooks.py --profile mini [--only 03] [--force]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
import papermill

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ROOT / "book" / "executed"
#: Besides these, whatever lies in mfs_lib counts.
SHARED_INPUTS = ("requirements.lock", "requirements-torch.txt", "results/**/*", "mfs_lib/**/*")


def shared_inputs() -> Iterator[Path]:
    """The files on which every chapter may depend, in a fixed order."""
    for pattern in SHARED_INPUTS:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def shared_digest(profile: str) -> str:
    """SHA-256 over the profile and the names and bytes of the shared inputs."""
    digest = hashlib.sha256(profile.encode())
    for path in shared_inputs():
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def execute(chapter: Path, profile: str, figures: Path) -> nbformat.NotebookNode:
    """Run one chapter; returns the executed notebook, the cell of injected parameters hidden from readers."""
    shutil.rmtree(figures, ignore_errors=True)
    os.environ.update(MFS_PROFILE=profile, MFS_NOTEBOOK=chapter.stem, MFS_FIGURES=str(figures))
    partial = figures.parent.parent / f"{chapter.stem}.partial.ipynb"
    try:
        notebook = papermill.execute_notebook(
            jupytext.read(chapter),
            str(partial),
            parameters={"profile": profile},
            kernel_name="python3",
            progress_bar=False,
            log_output=False,
            extra_arguments=["--log-level=ERROR"],
            cwd=str(ROOT),
        )
    except papermill.PapermillExecutionError as error:
        raise SystemExit(f"{chapter.name} failed (as far as it came: {partial.relative_to(ROOT)})\n{error}") from None
    partial.unlink()
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.metadata["tags"] = [*tags, "remove-cell"]
    return notebook


def run(chapter: Path, profile: str, shared: str, *, force: bool) -> str:
    """Bring one chapter up to date in build/executed/<profile>; returns what was done, for the progress line."""
    folder = ROOT / "build" / "executed" / profile
    folder.mkdir(parents=True, exist_ok=True)
    output, stamp = folder / f"{chapter.stem}.ipynb", folder / f"{chapter.stem}.json"
    digest = hashlib.sha256(shared.encode() + chapter.read_bytes()).hexdigest()
    if not force and output.exists() and stamp.exists() and json.loads(stamp.read_text())["digest"] == digest:
        return "unchanged"
    started = time.perf_counter()
    notebook = execute(chapter, profile, folder / "figures" / chapter.stem)
    seconds = round(time.perf_counter() - started, 1)
    fresh = output.with_suffix(".new")
    nbformat.write(notebook, fresh)
    fresh.rename(output)
    stamp.write_text(json.dumps({"digest": digest, "profile": profile, "seconds": seconds}) + "\n")
    return f"{seconds} s"


def show(chapters: list[Path], profile: str) -> None:
    """Copy the executed chapters and their figures of `profile` to book/executed, and nothing that is stale."""
    folder = ROOT / "build" / "executed" / profile
    shutil.rmtree(SHOWN, ignore_errors=True)
    SHOWN.mkdir(parents=True)
    for chapter in chapters:
        shutil.copy2(folder / f"{chapter.stem}.ipynb", SHOWN)
        figures = folder / "figures" / chapter.stem
        if figures.is_dir():
            shutil.copytree(figures, SHOWN / "figures" / chapter.stem)


def main() -> None:
    """Command line: see the module's description."""
    parser = argparse.ArgumentParser(description="Execute the book's notebooks.")
    parser.add_argument("--profile", choices=("smoke", "mini", "paper"), default="mini")
    parser.add_argument("--only", default="", help="run only the chapters whose name starts so")
    parser.add_argument("--force", action="store_true", help="run even what is unchanged")
    options = parser.parse_args()
    # One kernel at a time may use every core; an explicit setting of the user is left alone.
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    every = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.md"))
    chosen = [chapter for chapter in every if chapter.stem.startswith(options.only)]
    if not chosen:
        raise SystemExit(f"No notebook's name starts with {options.only!r}.")
    shared = shared_digest(options.profile)
    for number, chapter in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {chapter.stem} ({options.profile}) ... ", end="", flush=True)
        print(run(chapter, options.profile, shared, force=options.force), flush=True)
    if not options.only:
        show(every, options.profile)


if __name__ == "__main__":
    sys.exit(main())
