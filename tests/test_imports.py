"""What the lean rooms do without. The direction of imports is held by lint-imports, which scripts/check runs."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers", "onnx", "onnxscript", "accelerate", "cv2")

SERVING = ("fastapi", "starlette", "uvicorn")

WITHOUT_SERVING = """
import sys
sys.modules.update(dict.fromkeys({names!r}))
import handfirst.runtime.http.asking
from handfirst.runtime.cli.main import main
sys.stderr = sys.stdout
print(main(["serve"]))
"""

IMPORT_ALL = """
import importlib, pkgutil, sys
for name in {heavy!r}:
    sys.modules[name] = None
import handfirst
for room in ("engines", "runtime"):
    package = importlib.import_module("handfirst." + room)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        print(module.name)
"""

LOADED = """
import sys
before = set(sys.modules)
import {module}
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


def python(code: str) -> str:
    """What `code` prints in a Python of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_engines_and_runtime_import_where_torch_cannot():
    names = python(IMPORT_ALL.format(heavy=HEAVY)).split()
    assert "handfirst.runtime.cli.main" in names
    assert "handfirst.engines.bundle" in names


@pytest.mark.parametrize("module", ["handfirst", "handfirst.runtime.cli.main"])
def test_starting_imports_no_array_library(module):
    """`import handfirst` and `handfirst --help` stay quick: NumPy, Pillow and the engines come when they are used."""
    loaded = set(python(LOADED.format(module=module)).split())
    assert loaded.isdisjoint({*HEAVY, *SERVING, "numpy", "PIL", "onnxruntime", "tokenizers"})


def test_only_serve_needs_what_serves():
    """Without the extra it says so in one line; what a deployment of another kind takes requests with is there."""
    said = python(WITHOUT_SERVING.format(names=SERVING))
    assert said == "error: 'handfirst serve' needs fastapi; run: pip install 'handfirst[serve]'\n2\n"
