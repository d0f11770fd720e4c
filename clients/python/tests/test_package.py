"""The wheel and the source distribution, and where the library is found."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from tests.worker import LIBRARY

FOLDER = Path(__file__).resolve().parents[1]
MODULES = ("build", "setuptools", "wheel", "ensurepip")
MISSING = [name for name in MODULES if importlib.util.find_spec(name) is None]


def run(*command: object, **env: str) -> str:
    """Runs a command without this process's settings of the package. Returns its output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VRAM_ATTACH", "PYTHONPATH"))}
    done = subprocess.run([str(word) for word in command], env={**kept, **env}, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


@unittest.skipIf(MISSING, f"not installed: {', '.join(MISSING)}")
class Package(unittest.TestCase):
    def test_a_wheel_and_a_source_distribution_work_in_a_fresh_environment(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            source, out = Path(directory, "source"), Path(directory, "out")
            shutil.copytree(FOLDER, source, ignore=shutil.ignore_patterns("__pycache__", "dist", "build", "*.egg-info"))
            run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source)
            self.assertEqual(len(list(out.glob("vram_residency-*.tar.gz"))), 1)
            [wheel] = out.glob("vram_residency-*-py3-none-any.whl")
            python = Path(directory, "env", "bin", "python")
            run(sys.executable, "-m", "venv", Path(directory, "env"))
            run(python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
            program = """
import importlib.util, vram_residency, vram_residency.formats, pathlib
assert pathlib.Path(vram_residency.__file__).with_name("py.typed").exists()
assert not any(importlib.util.find_spec(name) for name in ("numpy", "torch"))
try:
    vram_residency.connect("/nowhere")
except vram_residency.AttachError as error:
    print(error.code)
"""
            settings = {"VRAM_ATTACH_LIBRARY": "/nowhere/libvram_attach.so.1"}
            self.assertEqual(run(python, "-c", program, **settings), "LIBRARY_NOT_FOUND")
            for settings in ({"VRAM_ATTACH_LIBRARY": str(LIBRARY)}, {"LD_LIBRARY_PATH": str(LIBRARY.parent)}):
                # The library was found: it did not find a driver.
                found = run(python, "-c", program, VRAM_ATTACH_DRIVER="/nowhere/libcuda.so.1", **settings)
                self.assertEqual(found, "DRIVER_NOT_FOUND")


if __name__ == "__main__":
    unittest.main()
