"""A real napari viewer; where napari, Qt or a screen is missing, what needs it is skipped.

napari's canvas wants OpenGL, which Qt's own off-screen mode lacks. On Linux without a display Xvfb
is started for it, where it is installed.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def screen() -> Iterator[None]:
    """Show on a screen that nobody sees, where there is no other and Xvfb is installed."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        yield
        return
    if not shutil.which("Xvfb"):
        pytest.skip("no display for napari: install Xvfb, or run under xvfb-run")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as number:
        os.environ["DISPLAY"] = f":{number.readline().strip()}"
    try:
        yield
    finally:
        del os.environ["DISPLAY"]
        server.terminate()
        server.wait(10)


def missing() -> str | None:
    """Return what napari's tests lack here, in one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of napari's own imports
            import napari
            import napari.qt
            from qtpy import QtWidgets  # noqa: F401
    except (ImportError, RuntimeError) as error:  # RuntimeError: qtpy without any Qt
        return f"no napari here ({error}): pip install 'zfuse[napari]'"
    return None if napari.Viewer else "napari without a viewer"


def spare_none() -> None:
    """Give None references to spend, before Python 3.12 made it immortal.

    PySide6 6.12 takes one too many of them in its event loop, a few hundred a second: after a
    hundred thousand Python dies with "deallocating None". It does so without zfuse, too.
    """
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 2**40


def _keep_none() -> None:
    """Make up for PySide6 6.12.0, which loses a reference of None with each call; see pyproject."""
    import ctypes

    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


@pytest.fixture(scope="session")
def qapp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The one Qt application."""
    os.environ["NAPARI_CONFIG"] = str(tmp_path_factory.mktemp("napari") / "settings.yaml")
    if reason := missing():
        pytest.skip(reason)
    spare_none()
    with screen():
        from napari.qt import get_qapp

        _keep_none()
        yield get_qapp()


@pytest.fixture
def wait(qapp: Any) -> Callable[..., None]:
    """``wait(condition, seconds=120)``: let Qt work until it is true."""

    def until(condition: Callable[[], Any], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s")
            qapp.processEvents()
            time.sleep(0.002)

    return until


@pytest.fixture
def make_viewer(qapp: Any, wait: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``make_viewer(**settings)``: a viewer that is closed at the end, and must leave nothing.

    Keep it in a variable of the test: pytest holds the values of fixtures, and with them viewers,
    until after the end.
    """
    import napari
    from napari._qt.qt_viewer import QtViewer
    from qtpy.QtCore import QEvent, QThreadPool

    # It asks the viewer for its status from a thread, which a closed viewer no longer has.
    monkeypatch.setattr("napari._qt.threads.status_checker.StatusChecker.start", lambda self: None)
    # pymmcore-plus turns debug messages on; pytest keeps them, and one of these holds the viewer.
    logging.getLogger("in_n_out").setLevel(logging.WARNING)
    widgets = set(map(id, qapp.topLevelWidgets()))
    threads = set(threading.enumerate())
    viewers: list[Any] = []

    def make(**settings: Any) -> Any:
        viewer = napari.Viewer(**{"show": False} | settings)
        viewers.append(viewer)
        return viewer

    yield make

    for viewer in viewers:
        window = getattr(viewer.window, "_qt_window", None)
        if window is not None:
            window._save_current_window_settings = lambda: None
        viewer.close()
    viewers.clear()
    viewer = window = None
    assert QThreadPool.globalInstance().waitForDone(10_000), "a worker outlives its viewer"
    for _ in range(5):
        qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        qapp.processEvents()
        gc.collect()
    left = [w for w in qapp.topLevelWidgets() if id(w) not in widgets]
    assert [w for w in left if type(w).__module__.startswith("zfuse")] == []
    assert len(QtViewer._instances) == 0, "somebody holds the viewer"
    own = [t.name for t in set(threading.enumerate()) - threads]
    assert [name for name in own if name.startswith(("zfuse-fold", "zfuse-tile"))] == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return where pictures of windows are left; set ZFUSE_PICTURES to look at them."""
    from pathlib import Path

    folder = Path(os.environ.get("ZFUSE_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def told(qapp: Any) -> Iterator[list[str]]:
    """Messages that napari shows."""
    from napari.utils.notifications import notification_manager

    messages: list[str] = []

    def keep(notification: Any) -> None:
        messages.append(notification.message)

    notification_manager.notification_ready.connect(keep)
    yield messages
    notification_manager.notification_ready.disconnect(keep)


@pytest.fixture
def manifest(qapp: Any) -> None:
    """Let napari know the plugin, also where an old installation does not name it."""
    from importlib.resources import files

    from npe2 import PluginManager, PluginManifest

    if "zfuse" not in PluginManager.instance():
        path = files("zfuse.plugins").joinpath("napari.yaml")
        PluginManager.instance().register(PluginManifest.from_file(str(path)))
