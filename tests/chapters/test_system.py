"""What `make install` does where something that pip cannot install is missing."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

SCRIPT = ROOT / "book" / "tools" / "system.sh"
NOT_ROOT = "#!/bin/sh\necho 1000\n"

# Stands in for Python and makes an environment whose pip says no to what has no isolation.
PYTHON = f"""#!/bin/sh
[ "$1 $2" = "-m venv" ] || exec {sys.executable} "$@"
mkdir -p $3/bin
cp "$0" $3/bin/python
cat > $3/bin/pip <<'END'
#!/bin/sh
echo "pip $*" >> pip.txt
case "$*" in *--no-build-isolation*) [ ! -e refuse ];; esac
END
chmod +x $3/bin/pip
"""


@pytest.fixture
def commands(tmp_path):
    """A folder of commands that go before all others; nobody is root there."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name, text in (("id", NOT_ROOT), ("python", PYTHON)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def call(commands, *arguments, **environment):
    path = f"{commands}:{os.environ['PATH']}"
    return subprocess.run(
        arguments,
        cwd=commands.parent,
        env={**os.environ, "PATH": path, "PYTHON": sys.executable, "MAKEFLAGS": "", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_what_is_missing_is_named(commands):
    done = call(commands, "sh", str(SCRIPT), "compiler", CXX="no-such-compiler")
    assert done.returncode == 1
    assert "Missing: g++ python3-dev." in done.stderr


@pytest.mark.parametrize(("compiler", "works"), [("true", True), ("true", False), ("false", False)])
def test_the_crf_is_installed_after_the_rest_if_it_can_be_compiled(commands, compiler, works):
    folder = commands.parent
    (folder / "book" / "tools").mkdir(parents=True)
    shutil.copy(SCRIPT, folder / "book" / "tools")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").touch()
    if not works:
        (folder / "refuse").touch()
    python = f"PYTHON={commands / 'python'}"
    done = call(commands, "make", ".venv/installed", python, CXX=compiler)
    assert done.returncode == 0
    assert ("The dense CRF could not be compiled (above). All else" in done.stderr) is not works
    assert (folder / ".venv" / "installed").exists()
    lines = (folder / "pip.txt").read_text().splitlines()
    assert lines[0].endswith("--editable .[book,batch,test]")
    tried = lines[-1].endswith("--no-build-isolation --editable .[crf]")
    assert tried is (compiler == "true")
