"""The runtime and the engines do without torch: every module of theirs is imported where torch cannot be.

Checking that torch is "not in sys.modules" would miss a lazy import that this machine happens to satisfy.
"""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib, pkgutil, sys
for name in ("torch", "diffusers", "transformers", "onnx", "onnxscript", "accelerate", "numba"):
    sys.modules[name] = None
import handfirst.engines, handfirst.runtime
count = 0
for room in (handfirst.engines, handfirst.runtime):
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        importlib.import_module(module.name)
        count += 1
for name in handfirst.__all__:
    getattr(handfirst, name)
print(count)
"""


def test_every_module_of_the_runtime_imports_without_torch() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30
