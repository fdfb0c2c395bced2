"""Turns a run into shipped weights: `python -m mfs_lib.training.ship runs/first --experiment experiments/first_student.yaml`.

Takes the averaged student of the run's last checkpoint and writes it as safetensors (float16 kernels) whose header tells
the experiment, its seed and steps, and the digests of the data that it learned from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from mfs_lib.errors import AssetError
from mfs_lib.faces.folders import GROUPS
from mfs_lib.faces.manifests import available, face_set, files
from mfs_lib.faces.morphable.model import MODEL_FILE
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap
from mfs_lib.runinfo import file_digest
from mfs_lib.training.config import StudentExperiment, load_experiment
from mfs_lib.weights.shipped import SHIPPED_FOLDER, SHIPPED_STUDENTS, save_student


def data_digests(experiment: StudentExperiment) -> dict[str, str]:
    """SHA-256 of the morphable model and of each set of photographs in training, by name."""
    digests = {"data_morphable_sha256": file_digest(MODEL_FILE)}
    for name in experiment.data.photos:
        paths = [
            path for member in GROUPS.get(name, (name,)) if available(member) for path in files(member, split="train")
        ]
        digests[f"data_{name}_sha256"] = file_digest(*paths)
    return digests


def learned_from(experiment: StudentExperiment) -> str:
    """Whose pictures a student has seen, for its header: their licences bind it. All have seen the world's people."""
    names = [member for name in experiment.data.photos for member in GROUPS.get(name, (name,))]
    sets = [face_set(name) for name in dict.fromkeys(("london_neutral", "london_smiling", *names))]
    said = [f"{one.title} ({one.licence})" for one in sets]
    return "; ".join([*said, *(["photographs of the trainer's own (shards)"] if experiment.data.shards else [])])


def ship(run: Path, experiment_file: Path, output: Path) -> None:
    """Write the averaged student of a run.

    Raises:
        AssetError: the run has no checkpoint yet.
    """
    state_file = run / "state.pt"
    if not state_file.is_file():
        raise AssetError(f"{run} holds no checkpoint (state.pt): train first")
    experiment = load_experiment(experiment_file)
    state = torch.load(state_file, weights_only=True)
    student = MobileFaceSwap(experiment.network)
    student.load_state_dict(state["average"])
    name = experiment_file.as_posix()
    about = {
        "experiment": name, "seed": str(experiment.seed), "steps": str(state["step"]),
        "command": f"python -m mfs_lib.training.student {name} --run runs/first",
        "pictures": str(experiment.data.size), "learned_from": learned_from(experiment),
        "perceptual": experiment.perceptual,
        **data_digests(experiment),
    }  # fmt: skip
    save_student(output, student.eval(), crop_size=experiment.crop_size, metadata=about, dtype=torch.float16)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--experiment", type=Path, required=True, help="YAML file of the run")
    parser.add_argument("--output", type=Path, default=SHIPPED_FOLDER / SHIPPED_STUDENTS["default"])
    arguments = parser.parse_args()
    ship(arguments.run, arguments.experiment, arguments.output)


if __name__ == "__main__":
    main()
