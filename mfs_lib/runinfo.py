"""What ran: the facts that every figure and every result record carries about its making.

No host name, user name or path is among them: records and figures are published.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

import mfs_lib

_PACKAGE = Path(mfs_lib.__file__).resolve().parent


def package_version() -> str:
    """Version of this package, e.g. `0.1.0`."""
    return mfs_lib.__version__


def git_commit() -> str | None:
    """Commit (40 hex digits, `-dirty` appended where tracked files differ) of the checkout that this package runs from.

    Records don't count as a difference: the first of a table's runs would make all others dirty.

    None where the package is installed rather than checked out, where git is missing, and before the first commit.
    """
    git = shutil.which("git")
    # An installed copy may lie inside somebody else's repository: only our own folder's parent counts.
    if git is None or not (_PACKAGE.parent / ".git").exists():
        return None

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([git, *words], cwd=_PACKAGE.parent, capture_output=True, text=True, check=False)

    head = ask("rev-parse", "--verify", "--quiet", "HEAD")
    if head.returncode != 0:
        return None
    same = ask("diff", "--quiet", "HEAD", "--", ".", ":(exclude)results").returncode == 0
    return head.stdout.strip() + ("" if same else "-dirty")


def machine() -> str:
    """Kind of the machine, e.g. `Linux x86_64, 2 cores`."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count() or 1} cores"


def processor() -> str:
    """Name of the processor, as far as the system tells, and its widest vector units: `AMD EPYC, 2 cores, AVX-512`."""
    name, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = dict(line.split(":", 1) for line in info.read_text("utf-8").splitlines() if ":" in line)
        facts = {key.strip(): value.strip() for key, value in fields.items()}
        name, flags = facts.get("model name", name), facts.get("flags", facts.get("Features", ""))
    widest = next((title for flag, title in _VECTORS if flag in flags.split()), None)
    return ", ".join(part for part in (name, f"{os.cpu_count() or 1} cores", widest) if part)


_VECTORS = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("asimd", "NEON"))


def file_digest(*paths: Path) -> str:
    """SHA-256 (64 hex digits) over names and bytes of `paths`, in their order; of a folder, over the files below it.

    Raises FileNotFoundError for a path that doesn't exist.
    """
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(below for below in path.rglob("*") if below.is_file()) if path.is_dir() else [path]
        for file in files:
            digest.update(file.name.encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
