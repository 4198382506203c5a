"""Put MathJax beside the built pages, so that formulas show without a network; for build.py.

MathJax comes from its npm package, through npm where there is one and straight from the
registry otherwise; either way its SHA-512 must be the one below. The package is kept in
_build/vendor. Only the parts that the pages use are unpacked.
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "_build" / "vendor"

VERSION = "3.2.2"
# As the registry states it: npm view mathjax@3.2.2 dist.integrity
INTEGRITY = (
    "sha512-Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0"
    "/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw=="
)
URL = f"https://registry.npmjs.org/mathjax/-/mathjax-{VERSION}.tgz"

INSIDE = "package/es5/"
PARTS = ("tex-mml-chtml.js", "input/tex/extensions/", "output/chtml/fonts/woff-v2/")

# mathjax_path in _config.yml is relative to _static.
TARGET = Path("_static") / "mathjax"


def integrity(file: Path) -> str:
    """The SHA-512 of a file as npm writes it."""
    digest = hashlib.sha512(file.read_bytes()).digest()
    return "sha512-" + base64.b64encode(digest).decode()


def fetch_by_npm(folder: Path) -> None:
    """Let npm bring the package into a folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("npm is not on the PATH")
    command = [npm, "pack", f"mathjax@{VERSION}", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"npm pack failed: {done.stderr.strip()[-300:]}")


def fetch_by_url(folder: Path, url: str = URL) -> None:
    """Download the package into a folder without npm."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        (folder / f"mathjax-{VERSION}.tgz").write_bytes(answer.read())


def package(folder: Path = VENDOR, ways=(fetch_by_npm, fetch_by_url), expected=INTEGRITY) -> Path:
    """MathJax's npm package in a folder, fetched by the first way that works."""
    file = folder / f"mathjax-{VERSION}.tgz"
    folder.mkdir(parents=True, exist_ok=True)
    if file.exists() and integrity(file) == expected:
        return file
    failures = []
    for way in ways:
        file.unlink(missing_ok=True)
        try:
            way(folder)
        except OSError as error:  # urllib's errors are OSErrors, too
            failures.append(str(error))
            continue
        if integrity(file) == expected:
            return file
        failures.append(f"{way.__name__} brought a file with SHA-512 {integrity(file)}")
        file.unlink()
    sys.exit(
        f"MathJax {VERSION} could not be fetched:\n  "
        + "\n  ".join(failures)
        + f"\nPut {URL}\nby hand into {folder} and try again."
    )


def unpack(file: Path, target: Path) -> None:
    """Lay the parts that the pages use into a folder."""
    with tarfile.open(file) as archive:
        for member in archive:
            name = member.name.removeprefix(INSIDE)
            if member.isfile() and name != member.name and name.startswith(PARTS):
                archive.extract(member.replace(name=name), target, filter="data")
