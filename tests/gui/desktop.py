"""A virtual screen with a Blender program in it, worked by a real mouse and keyboard."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INSIDE = Path(__file__).resolve().parent / "inside.py"
WIDTH, HEIGHT = 1600, 900
START_S = 90.0
STEP_S = 30.0


class Desktop:
    """Blender in Xvfb; use it with `with`.

    Parameters
    ----------
    blender : str
        Program or wrapper.
    pictures : Path
        Folder for screenshots.
    """

    def __init__(self, blender: str, pictures: Path) -> None:
        self._blender = blender
        self._pictures = pictures
        self._number = 0
        self._desk = Path(tempfile.mkdtemp(prefix="lens_solver_gui_"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._environment: dict[str, str] = {}

    def __enter__(self) -> Desktop:
        self._pictures.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._processes[-1].poll() is None:  # a test that has passed has quit Blender
            self.picture("failed")
        self.close()

    def _start(self) -> None:
        read, write = os.pipe()
        screen = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "+extension", "GLX"]
        self._processes.append(subprocess.Popen(screen, pass_fds=[write], stderr=subprocess.DEVNULL))
        os.close(write)
        with os.fdopen(read) as display:
            number = display.readline().strip()
        assert number, "Xvfb did not start"
        bound = os.environ.get("LENS_SOLVER_BIND", "")
        self._environment = {
            **os.environ,
            "DISPLAY": f":{number}",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "LENS_SOLVER_DESK": str(self._desk),
            "BLENDER_USER_RESOURCES": str(self._desk / "profile"),
            "LENS_SOLVER_BIND": f"{bound}:{ROOT}" if bound else str(ROOT),
        }
        (self._desk / "profile").mkdir()
        place = ["-p", "0", "0", str(WIDTH), str(HEIGHT)]
        command = [self._blender, "--factory-startup", *place, "--python", str(INSIDE)]
        with (self._pictures / "blender.log").open("wb") as log:
            program = subprocess.Popen(command, env=self._environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        self._processes.append(program)
        self.ask("True", START_S)

    def close(self) -> None:
        """End Blender, then the screen."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)
        shutil.rmtree(self._desk, ignore_errors=True)

    @property
    def log(self) -> str:
        """What Blender has printed."""
        return (self._pictures / "blender.log").read_text(errors="replace")

    def quit(self) -> int:
        """Quit Blender as its menu does; its exit status."""
        program = self._processes[-1]
        self._put("bpy.app.timers.register(lambda: bpy.ops.wm.quit_blender() and None, first_interval=0.1)")
        return program.wait(STEP_S)

    def _put(self, expression: str) -> int:
        self._number += 1
        partial = self._desk / "question.part"
        partial.write_text(json.dumps({"number": self._number, "expression": expression}))
        partial.replace(self._desk / "question.json")
        return self._number

    def ask(self, expression: str, seconds: float = STEP_S) -> Any:
        """The value of an expression inside Blender."""
        number = self._put(expression)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self._processes[-1].poll() is None, f"Blender has ended:\n{self.log[-3000:]}"
            try:
                reply = json.loads((self._desk / "answer.json").read_text())
            except (OSError, ValueError):
                reply = {}
            if reply.get("number") == number:
                assert "error" not in reply, reply["error"]
                return reply["value"]
            time.sleep(0.02)
        raise AssertionError(f"Blender did not answer {expression!r} in {seconds:g} s\n{self.log[-3000:]}")

    def wait_for(self, expression: str, seconds: float = STEP_S) -> None:
        """Wait until an expression is true inside Blender."""
        self.wait_until(lambda: bool(self.ask(expression)), expression, seconds)

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = STEP_S) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not so after {seconds:g} s: {what}"
            time.sleep(0.05)

    def _xdotool(self, *words: str | int) -> None:
        subprocess.run(["xdotool", *map(str, words)], env=self._environment, check=True, timeout=STEP_S)

    def move(self, x: float, y: float) -> None:
        """Move the mouse; y counts from the bottom, as in Blender."""
        self._xdotool("mousemove", round(x), round(HEIGHT - 1 - y))
        time.sleep(0.15)

    def click(self, x: float, y: float) -> None:
        """Click with the left button."""
        self.move(x - 3, y)
        self.move(x, y)  # Blender lights a button up under a moving mouse and only then takes the click
        self._xdotool("click", 1)
        time.sleep(0.25)

    def key(self, name: str) -> None:
        """Press and release a key, by xdotool's name for it."""
        self._xdotool("key", name)
        time.sleep(0.2)

    def picture(self, name: str) -> None:
        """Take a screenshot."""
        target = self._pictures / f"{name}.png"
        subprocess.run(["import", "-window", "root", str(target)], env=self._environment, check=False, timeout=STEP_S)
