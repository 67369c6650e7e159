"""Run pytest inside a Blender program.

    blender --background --factory-startup --python-exit-code 1 --python tests/run.py -- tests/blender [OPTIONS]

pytest is imported from the folder that LENS_SOLVER_PYTEST names, if Blender's Python has none; the
solver's packages come from vendor/unpacked/ (`python vendor/wheels.py unpack`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# At the end, so that whatever Blender itself ships comes first, numpy above all.
sys.path += [
    str(ROOT / "vendor" / "unpacked" / f"cp{sys.version_info[0]}{sys.version_info[1]}"),
    os.environ.get("LENS_SOLVER_PYTEST", ""),
]
sys.dont_write_bytecode = True
os.chdir(ROOT)

import pytest  # noqa: E402

status = pytest.main(sys.argv[sys.argv.index("--") + 1 :])
sys.stdout.flush()
sys.stderr.flush()
# Blender's own way out may fail on what tests left behind; the tests' status is what counts.
os._exit(int(status))
