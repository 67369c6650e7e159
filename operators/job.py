"""Long work behind an operator: in a thread while the window stays usable, or in place where there is no window.

The worker thread never touches bpy. It puts its progress on a queue and is stopped by an event, both seen by the main
thread in a timer. The main thread alone builds the scene, once, when the work has succeeded, so that it is one undo
step and a cancelled or failed job changes nothing.
"""

from __future__ import annotations

import logging
import queue
import threading
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bpy

from ..solver.errors import Cancelled, SolverError
from ..solver.progress import Progress
from .job_state import IDLE, State, states

INTERVAL_S = 0.1

# The solver reports at least five times a second and stops at its next report; a file system may hold it up longer.
_JOIN_S = 10.0

_INTERNAL_ERROR = "Internal error, see the console"

_log = logging.getLogger(__name__)


_workers: dict[int, Worker] = {}  # by the scene's session_uid


class Worker:
    """Runs a function in a thread.

    Parameters
    ----------
    task : callable(Progress) -> result
        Must not touch bpy.
    """

    def __init__(self, task: Callable[[Progress], Any]) -> None:
        self._task = task
        self._stop = threading.Event()
        self._reports: queue.Queue[tuple[float, str]] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="Lens Solver", daemon=True)
        self.timer: bpy.types.Timer | None = None
        self.result: Any = None
        self.error: BaseException | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the work to stop; it does at its next report."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def join(self) -> None:
        """Wait for the thread to end, but not for ever."""
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            _log.warning("The solver did not stop in %g s and is left to itself", _JOIN_S)

    @property
    def done(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def latest(self) -> tuple[float, str] | None:
        """The last report since the last call."""
        report = None
        while True:
            try:
                report = self._reports.get_nowait()
            except queue.Empty:
                return report

    def _run(self) -> None:
        try:
            self.result = self._task(Progress(self._report))
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread, where it is told apart
            self.error = error

    def _report(self, fraction: float, message: str) -> None:
        if self._stop.is_set():
            raise Cancelled
        self._reports.put((fraction, message))


# What Blender wants an operator's functions to return: a set of one of its status words.
Status = set[Any]

if TYPE_CHECKING:
    _Operator = bpy.types.Operator
else:
    _Operator = object  # the operator itself derives from Blender's class: a base must not be one unregistered


class JobMixIn(_Operator):
    """An operator whose work takes long.

    A subclass says what the work is (`prepare`) and what becomes of its result (`finish`).
    """

    _scene_uid: int
    _worker: Worker

    @abstractmethod
    def prepare(self, context: bpy.types.Context) -> Callable[[Progress], Any]:
        """Copy what is needed out of bpy; the function that does the work without it. May raise SolverError."""

    @abstractmethod
    def finish(self, scene: bpy.types.Scene, result: Any) -> None:
        """Build the result; runs on the main thread."""

    def execute(self, context: bpy.types.Context) -> Status:
        self._scene_uid = context.scene.session_uid
        states.pop(self._scene_uid, None)
        try:
            task = self.prepare(context)
        except SolverError as error:
            self._fail(context, str(error))
            return {"CANCELLED"}
        if bpy.app.background or not self.options.is_invoke:
            return self._conclude(context, lambda: task(Progress()))
        self._start(context, Worker(task))
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Status:
        worker = self._worker
        if event.type == "ESC" and event.value == "PRESS":
            worker.request_stop()
            self._show(context, replace(states.get(self._scene_uid, IDLE), message="Stopping"))
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        report = worker.latest()
        if report is not None and not worker.stopping:
            self._show(context, State(running=True, fraction=report[0], message=report[1]))
        if not worker.done:
            return {"PASS_THROUGH"}
        self._clean_up(context)

        def result() -> Any:
            if worker.stopping:  # also when it was too late to stop the work
                raise Cancelled
            if worker.error is not None:
                raise worker.error
            return worker.result

        return self._conclude(context, result)

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator: a file is loaded, the window closes."""
        self._worker.request_stop()
        self._clean_up(context)
        self._worker.join()

    def _start(self, context: bpy.types.Context, worker: Worker) -> None:
        manager = context.window_manager
        self._worker = _workers[self._scene_uid] = worker
        worker.timer = manager.event_timer_add(INTERVAL_S, window=context.window)
        manager.modal_handler_add(self)
        worker.start()
        self._show(context, State(running=True, message="Reading the footage"))

    def _conclude(self, context: bpy.types.Context, result: Callable[[], Any]) -> Status:
        """Finish with the result; the one place where what can go wrong is told to the artist."""
        try:
            found = result()
            scene = next((scene for scene in bpy.data.scenes if scene.session_uid == self._scene_uid), None)
            if scene is None:
                self.report({"WARNING"}, "The scene that was to be solved is gone: nothing was built")
                return {"CANCELLED"}
            self.finish(scene, found)
        except Cancelled:
            self.report({"INFO"}, "Cancelled: nothing was changed")
        except SolverError as error:
            self._fail(context, str(error))
        except Exception:  # noqa: BLE001 - whatever it is, Blender must not be left with a job that never ends
            _log.exception("Unexpected error")
            self._fail(context, _INTERNAL_ERROR)
        else:
            return {"FINISHED"}
        return {"CANCELLED"}

    def _fail(self, context: bpy.types.Context, reason: str) -> None:
        self._show(context, State(failure=reason))
        self.report({"ERROR"}, reason)

    def _show(self, context: bpy.types.Context, state: State) -> None:
        """Show the state in the panels and in the status bar; nothing is redrawn where nothing has changed."""
        if states.get(self._scene_uid) == state:
            return
        states[self._scene_uid] = state
        if state.running:
            _set_status(f"Lens Solver: {state.message}, {state.fraction:.0%}. Esc cancels")
        _redraw(context.window_manager)

    def _clean_up(self, context: bpy.types.Context) -> None:
        """What every exit does; the state of a failure is written afterwards."""
        _workers.pop(self._scene_uid, None)
        states.pop(self._scene_uid, None)
        if self._worker.timer is not None:
            context.window_manager.event_timer_remove(self._worker.timer)
            self._worker.timer = None
        _set_status(None)
        _redraw(context.window_manager)


def request_stop(scene: bpy.types.Scene | None) -> None:
    """Ask the work on a scene to stop."""
    worker = _workers.get(scene.session_uid) if scene else None
    if worker is not None:
        worker.request_stop()


def stop_all() -> None:
    """Stop all work: the add-on is being disabled."""
    workers = list(_workers.values())
    _workers.clear()
    states.clear()
    for worker in workers:
        worker.request_stop()
        if worker.timer is not None:
            bpy.context.window_manager.event_timer_remove(worker.timer)
            worker.timer = None
    for worker in workers:
        worker.join()
    if workers:
        _set_status(None)


def _set_status(text: str | None) -> None:
    for workspace in bpy.data.workspaces:
        workspace.status_text_set(text)


def _redraw(manager: bpy.types.WindowManager | None) -> None:
    for window in manager.windows:
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "CLIP_EDITOR"}:
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()
