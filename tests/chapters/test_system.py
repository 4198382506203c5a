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


def test_a_compiler_that_works_is_enough(commands):
    compiler = commands / "compiler"
    compiler.write_text('#!/bin/sh\necho "$@" >&2; grep -q Python.h\n')
    compiler.chmod(0o755)
    done = call(commands, "sh", str(SCRIPT), "compiler", CXX=str(compiler))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("compiler", ["false", "no-such-compiler"])
def test_one_that_does_not_is_named_with_its_packages(commands, compiler):
    done = call(commands, "sh", str(SCRIPT), "compiler", CXX=compiler)
    assert done.returncode == 1
    assert "Missing: g++ python3-dev." in done.stderr
    assert "no-install-recommends g++ python3-dev\n" in done.stderr


def test_a_python_without_headers_is_noticed(commands, tmp_path):
    if not shutil.which("g++"):
        pytest.skip("no g++ here: `sh book/tools/system.sh compiler` installs it")
    python = tmp_path / "bare"
    python.write_text("#!/bin/sh\necho /no/such/folder\n")
    python.chmod(0o755)
    done = call(commands, "sh", str(SCRIPT), "compiler", PYTHON=str(python), CXX="g++")
    assert done.returncode == 1 and "python3-dev" in done.stderr


def test_an_unknown_need_is_refused(commands):
    done = call(commands, "sh", str(SCRIPT), "compilers")
    assert done.returncode == 2
    assert "knows venv, chromium, compiler and slurm, not compilers" in done.stderr


def install(commands, **environment):
    folder = commands.parent
    (folder / "book" / "tools").mkdir(parents=True)
    shutil.copy(SCRIPT, folder / "book" / "tools")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").touch()
    python = f"PYTHON={commands / 'python'}"
    done = call(commands, "make", ".venv/installed", python, **environment)
    return done, (folder / "pip.txt").read_text()


def test_the_crf_is_installed_after_the_rest(commands):
    done, pip = install(commands, CXX="true")
    assert done.returncode == 0 and "no CRF" not in done.stderr
    assert (commands.parent / ".venv" / "installed").exists()
    lines = pip.splitlines()
    assert lines[0].endswith("--editable .[book,batch,test]")
    assert lines[-1].endswith("--no-build-isolation --editable .[crf]")


@pytest.mark.parametrize("compiler", ["true", "false"])
def test_where_the_crf_cannot_be_compiled_the_rest_is_installed(commands, compiler):
    (commands.parent / "refuse").touch()
    done, pip = install(commands, CXX=compiler)
    assert done.returncode == 0
    assert "The dense CRF could not be compiled (above). All else works" in done.stderr
    assert (commands.parent / ".venv" / "installed").exists()
    assert ("--no-build-isolation" in pip) == (compiler == "true")
