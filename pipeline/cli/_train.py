"""The command `zfuse train`: a config to a trained network, and what a person sees meanwhile.

Duty: words, a progress bar, Ctrl-C. Must not know: how networks learn.
"""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

__all__ = ["train"]


def train(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="umis, pdmnet, rpsnn, fusion2void or fusionnet.")
    ],
    config: Annotated[Path, typer.Option(help="YAML file, e.g. configs/train-rpsnn.yaml.")],
    out: Annotated[Path, typer.Option(help="Folder for weights, checkpoints and log; made anew.")],
    data: Annotated[
        Path, typer.Option(help="Folder that the config's folders are relative to.")
    ] = Path(),
    start: Annotated[
        Path | None, typer.Option(metavar="BEST.pt", help="Weights to start from (fine-tuning).")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")
    ] = False,
    minutes: Annotated[float | None, typer.Option(help="Ends after so many.")] = None,
    steps: Annotated[int | None, typer.Option(help="Ends after so many.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="E.g. recipe.ssim=0.5, batches.0.size=16; repeatable.",
        ),
    ] = None,
) -> None:
    """Train a network; weights end up in OUT/best.pt, the story in OUT/result.json."""
    if find_spec("torch") is None:
        raise ZfuseError("training needs torch. Install with: pip install zfuse[train]")
    from zfuse.pipeline.scenes import describe_data, load_train_file

    options = {"minutes": minutes, "steps": steps, "device": device}
    settings = load_train_file(config, name, setting or [], options)

    from zfuse.engines.training import train as run

    sources = [batch.open(data) for batch in settings.batches]
    held_out = settings.held_out.scenes(data)
    if not held_out:
        first, last = settings.held_out.numbers
        typer.echo(
            f"no pairs {first} to {last} in {data / settings.held_out.folder}: the training loss "
            "decides which weights are best",
            err=True,
        )
    about = {
        "command": shlex.join(["zfuse", *sys.argv[1:]]),
        "data": describe_data(settings, data),
        "held_out": len(held_out),
    }
    with _bar(name) as watcher, _stop_on_interrupt() as stop:
        result = run(
            settings,
            sources,
            held_out,
            out,
            watcher,
            start=start,
            resume=resume,
            stop=stop,
            about=about,
        )
    done = f"{result['steps']} steps in {result['seconds']:.0f} s"
    if result["ended"] == "stopped":
        typer.echo(f"interrupted after {done}: go on with --resume", err=True)
        raise typer.Exit(130)
    best = ", ".join(f"{key} {value:.5g}" for key, value in result["best"].items())
    typer.echo(f"{out / 'best.pt'}: {done}, ended by {result['ended']}; best at {best}")


class _Bar:
    """A progress bar in a terminal, and a line for each validation everywhere."""

    def __init__(self, bar: Any, task: Any, say: Callable[[str], None]) -> None:
        self._bar = bar
        self._task = task
        self._say = say

    def stepped(self, fraction: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=fraction)

    def validated(self, row: Mapping[str, float], *, best: bool) -> None:
        """Print the row."""
        values = " ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in ("step", "seconds"))
        star = " *" if best else ""
        self._say(f"step {row['step']} {row['seconds']:.0f} s: {values}{star}")


@contextmanager
def _bar(name: str) -> Iterator[_Bar]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    with Progress(console=console, disable=not sys.stderr.isatty()) as bar:
        yield _Bar(
            bar, bar.add_task(name, total=1.0), lambda line: console.print(line, markup=False)
        )


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a wish: the step in progress is done and saved.

    A second one interrupts at once, as elsewhere; the last checkpoint stays whole.
    """
    wished = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield wished.is_set  # only the main thread may set handlers, and only it gets them
        return
    former = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def handle(number: int, frame: FrameType | None) -> None:
        wished.set()
        restore()

    for number, handler in former.items():
        if handler is not signal.SIG_IGN:  # ignored from outside (nohup) stays ignored
            signal.signal(number, handle)
    try:
        yield wished.is_set
    finally:
        restore()
