"""Runs the tests. Prints `N passed, N failed`, and names what was skipped.

python3 tests/run.py [NAME…]     # such as test_formats, or test_bind.Bind
"""

from __future__ import annotations

import sys
import unittest
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> int:
    warnings.simplefilter("ignore")
    loader = unittest.defaultTestLoader
    names = [f"tests.{name}" for name in sys.argv[1:]]
    suite = (
        loader.loadTestsFromNames(names)
        if names
        else loader.discover(str(Path(__file__).parent), top_level_dir=str(Path(__file__).resolve().parents[1]))
    )
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, warnings="ignore").run(suite)
    failed = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    passed = result.testsRun - failed - skipped
    print(f"{passed} passed, {failed} failed{f', {skipped} skipped' if skipped else ''}")
    return 1 if failed > 0 or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
