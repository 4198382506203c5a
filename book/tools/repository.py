"""Check that every address of this project agrees with _config.yml, or change them all.

    python book/tools/repository.py                               # check
    python book/tools/repository.py https://github.com/ORG/REPO   # change

An address of this project is what stands after `git+` or `git clone`, in a link that opens
a chapter on Colab, or as the repository in pyproject.toml and CITATION.cff. Where the pages are
published, the `baseurl`, is changed with it: https://ORG.github.io/REPO.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Where addresses stand: _config.yml, which decides, comes first.
FILES = (
    "_config.yml",
    "README.md",
    "pyproject.toml",
    "environment.yml",
    "CITATION.cff",
    "book/**/*.md",
    "book/**/*.ipynb",
    "ribnb/**/*.py",
)

COLAB = "colab.research.google.com/github/"
ORG_REPO = r"[\w.-]+/[\w.-]*[\w-]"
URL = re.compile(rf"https://[\w.-]+/{ORG_REPO}")
IN_CONFIG = re.compile(r"^ +url: *(\S+)", re.MULTILINE)
STATED = re.compile(
    rf"(?:git\+|git clone |Repository = \"|repository-code: \"?)(?P<url>{URL.pattern})"
    rf"|{re.escape(COLAB)}(?P<org_repo>{ORG_REPO})|baseurl: *(?P<pages>\S+)/"
)
# A name goes on with a letter, but not with `.git` or a full stop.
NAME_ENDS = r"(?![\w-]|\.(?!git\b)\w)"


def files(root: Path) -> list[Path]:
    """The files of the project that may state an address."""
    return [path for pattern in FILES for path in sorted(root.glob(pattern))]


def present_url(root: Path) -> str:
    """The repository's URL as _config.yml states it."""
    return IN_CONFIG.search(_read(root / "_config.yml"))[1]


def org_and_repo(url: str) -> str:
    return "/".join(url.split("/")[-2:])


def pages_url(url: str) -> str:
    """Where GitHub publishes the pages of a repository."""
    return "https://{}.github.io/{}".format(*org_and_repo(url).split("/"))


def disagreements(root: Path) -> Iterator[str]:
    """FILE:LINE and the address, for each one that is not the one of _config.yml."""
    url = present_url(root)
    for path in files(root):
        for number, line in enumerate(_read(path).splitlines(), start=1):
            for match in STATED.finditer(line):
                address = (match["url"] or match["org_repo"] or match["pages"]).removesuffix(".git")
                if address not in (url, org_and_repo(url), pages_url(url)):
                    yield f"{path.relative_to(root)}:{number}: {match[0]}"


def change(root: Path, new: str) -> list[Path]:
    """Replace the present URL by a new one everywhere; returns the files that changed."""
    old = present_url(root)
    colab = COLAB + org_and_repo(old), COLAB + org_and_repo(new)
    places = (old, new), colab, (pages_url(old), pages_url(new))
    changed = []
    for path in files(root):
        text = before = _read(path)
        for from_, to in places:
            text = re.sub(re.escape(from_) + NAME_ENDS, to, text)
        if text != before:
            path.write_bytes(text.encode())
            changed.append(path)
    return changed


def _read(path: Path) -> str:
    """Text with its line ends as they are, so that nothing but addresses changes."""
    return path.read_bytes().decode()


def main(arguments: list[str] | None = None, root: Path = ROOT) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", nargs="?", help="the new address: https://HOST/ORG/REPO")
    url = parser.parse_args(arguments).url
    if url is not None:
        url = url.rstrip("/").removesuffix(".git")
        if not URL.fullmatch(url):
            parser.error(f"{url!r} is not of the form https://HOST/ORG/REPO")
        for path in change(root, url):
            print(f"changed {path.relative_to(root)}")
    wrong = list(disagreements(root))
    if wrong:
        sys.exit(f"These do not agree with {present_url(root)}:\n" + "\n".join(wrong))
    print(f"Every address of this project is {present_url(root)}")


if __name__ == "__main__":
    main()
