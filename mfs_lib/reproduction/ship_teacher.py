"""Puts a trained teacher into the package: `python -m mfs_lib.reproduction.ship_teacher faceshifter_64 --run DIR`.

| file                        | what                                                    | from                          |
|-----------------------------|---------------------------------------------------------|-------------------------------|
| teacher_NAME.safetensors    | the generator after the last step, kernels as float16   | the run's teacher.safetensors |
| quality_NAME.safetensors    | its quality scorer, kernels as float16                  | --scorer                      |
| stages_NAME.safetensors     | pictures of its training                                | --stages                      |

What isn't given is left out. Reports should be made with the files as they are shipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from mfs_lib.errors import AssetError
from mfs_lib.reproduction.stages import load_stages
from mfs_lib.training.quality import load_quality
from mfs_lib.training.teachers.shipped import SHIPPED_TEACHERS, shipped_name
from mfs_lib.training.teachers.trained import load_trained
from mfs_lib.weights.safe_io import load_weights, save_weights
from mfs_lib.weights.shipped import SHIPPED_FOLDER

LICENCE = "CC BY 4.0; learned from sampled people of the face world, whose model is learned from the Face Research Lab "
LICENCE += "London Set (DeBruine & Jones 2017)"


def halve(source: Path, output: Path) -> None:
    """Copy safetensors with kernels (two dimensions or more) as float16; vectors stay, variances may leave its range.

    Raises:
        AssetError: the file can't be read.
        OutputError: the copy can't be written.
    """
    state, header = load_weights(source)
    smaller = {
        name: value.half() if value.is_floating_point() and value.ndim > 1 else value for name, value in state.items()
    }
    if not all(bool(torch.isfinite(value).all()) for value in smaller.values()):
        raise AssetError(f"{source} holds weights beyond float16's range: it can't be stored by half")
    save_weights(output, smaller, {**header, "licence": LICENCE})


def ship(name: str, run: Path | None, scorer: Path | None, stages: Path | None, folder: Path) -> list[Path]:
    """Write the parts that are given into `folder`, check that they load, and return their files.

    Raises:
        AssetError: the run isn't done, or a file isn't what it should be.
    """
    written = []
    if run is not None:
        last = run / "teacher.safetensors"
        if not last.is_file():
            raise AssetError(f"{run} holds no teacher.safetensors: train to the last step first")
        written.append(folder / shipped_name(name))
        halve(last, written[-1])
        load_trained(written[-1])
    if scorer is not None:
        written.append(folder / shipped_name(name, "quality"))
        halve(scorer, written[-1])
        load_quality(written[-1])
    if stages is not None:
        load_stages(stages)
        written.append(folder / shipped_name(name, "stages"))
        save_weights(written[-1], *load_weights(stages))
    return written


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SHIPPED_TEACHERS)
    parser.add_argument("--run", type=Path, help="folder of the finished run")
    parser.add_argument("--scorer", type=Path, help="file that mfs_lib.training.quality wrote")
    parser.add_argument("--stages", type=Path, help="file that mfs_lib.reproduction.teacher_report wrote")
    parser.add_argument("--output", type=Path, default=SHIPPED_FOLDER, help="folder")
    options = parser.parse_args()
    for path in ship(options.name, options.run, options.scorer, options.stages, options.output):
        tqdm.write(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
