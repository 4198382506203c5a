"""What an import costs: nothing heavy and no network until it is needed."""

import subprocess
import sys

NO_NETWORK = """
import socket
def refuse(*_):
    raise AssertionError("an import asks the network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


def loaded_by(statement: str, folder) -> set[str]:
    """Top-level modules loaded after a statement in a fresh interpreter, in an empty folder."""
    tell = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    code = f"{NO_NETWORK}\n{statement}\n{tell}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    return set(done.stdout.split())


def test_the_package_itself_loads_nothing_heavy(tmp_path):
    heavy = {
        "torch",
        "torchvision",
        "numpy",
        "scipy",
        "matplotlib",
        "pandas",
        "sklearn",
        "papermill",
    }
    loaded = loaded_by("import ribnb; assert ribnb.__version__", tmp_path)
    assert "ribnb" in loaded
    assert not loaded & heavy


def test_what_a_chapter_imports_loads_no_library_that_it_may_not_need(tmp_path):
    """Each takes seconds: for the embedded digits, to run chapters, to score."""
    toy = "method.bottleneck exercises data.digits method.losses nets.digit_net figures"
    toy += " runs.run book.toy"
    scenes = "scores.iou method.adaptation nets.scene_nets book.scenes"
    modules = [f"ribnb.{name}" for name in f"{toy} {scenes}".split()]
    loaded = loaded_by(f"import {', '.join(modules)}", tmp_path)
    assert {"torch", "matplotlib"} <= loaded
    assert not loaded & {"sklearn", "papermill", "torchmetrics"}
