"""Run pytest inside a Blender program.

    blender --background --factory-startup --python-exit-code 1 --python tests/run.py -- tests/blender [OPTIONS]

pytest is imported from the folder that LENS_SOLVER_PYTEST names, if Blender's Python has none; the
solver's packages come from vendor/unpacked/ (`python vendor/wheels.py unpack`).
"""

from __future__ import annotations

import ctypes
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

if sys.platform == "linux":
    # Blender's own lines would otherwise wait in a buffer and turn up in the output of a later test.
    libc = ctypes.CDLL(None)
    libc.fflush(None)
    libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, ctypes.c_int(2), ctypes.c_size_t(0))

import pytest  # noqa: E402

status = pytest.main(sys.argv[sys.argv.index("--") + 1 :])
sys.stdout.flush()
sys.stderr.flush()
# Blender's own way out may fail on what tests left behind; the tests' status is what counts.
os._exit(int(status))
