"""Four consecutive releases of packages that nobody here wrote, unpacked; fetched by pip and cargo, as anyone would.

numpy (large shared objects beside thousands of small files) joins from scale 0.3 on; Django and tokio always.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from . import seeded

WHEELS = {"Django": ("5.1.5", "5.1.6", "5.1.7", "5.1.8"), "numpy": ("2.2.3", "2.2.4", "2.2.5", "2.2.6")}
CRATES = {"tokio": ("1.44.0", "1.44.1", "1.44.2", "1.45.0")}
LARGE = 0.3


def make(out, scale):
    """All versions; what was fetched stays in `out/.cache`."""
    cache = out / ".cache"
    cache.mkdir(parents=True, exist_ok=True)
    places = seeded.versions(out, "source", 4)
    for name, releases in WHEELS.items():
        if name == "numpy" and scale < LARGE:
            continue
        for place, release in zip(places, releases, strict=True):
            with zipfile.ZipFile(wheel(cache, name, release)) as archive:
                archive.extractall(place / name)
    for name, releases in CRATES.items():
        for place, release in zip(places, releases, strict=True):
            shutil.copytree(crate(cache, name, release), place / name)


def wheel(cache, name, release):
    """The wheel for one platform, whatever this machine is: the same bytes everywhere."""
    folder = cache / f"{name}-{release}"
    if not any(folder.glob("*.whl")):
        platform = ["--platform", "manylinux2014_x86_64", "--implementation", "cp", "--python-version", "3.11"]
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", *platform]
        subprocess.run([*command, "-d", folder, f"{name}=={release}"], check=True)
    return next(folder.glob("*.whl"))


def crate(cache, name, release):
    """The unpacked sources of a crate, by way of a package that depends on it."""
    folder = cache / f"{name}-{release}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache) as empty:
            root = Path(empty)
            (root / "src").mkdir()
            (root / "src" / "lib.rs").touch()
            (root / "Cargo.toml").write_text(
                '[package]\nname = "wants"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n'
                f'[dependencies]\n{name} = {{ version = "={release}", default-features = false }}\n'
            )
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run(["cargo", "vendor", "-q", "vendor"], cwd=root, check=True, **quiet)
            os.rename(root / "vendor" / name, folder)
    return folder
