"""The command line: its commands, and what becomes of refusals and interrupts.

Duty: exit codes, one line an error. Commands import heavy libraries when they are called, so that
``zfuse --help`` answers at once. Must not know: what a command does.
"""

from __future__ import annotations

import atexit
import gc
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from zfuse.errors import ZfuseError
from zfuse.pipeline.cli._bench import bench
from zfuse.pipeline.cli._console import say, say_error
from zfuse.pipeline.cli._demo import demo
from zfuse.pipeline.cli._engines import engines
from zfuse.pipeline.cli._evaluate import evaluate
from zfuse.pipeline.cli._fuse import fuse
from zfuse.pipeline.cli._info import info
from zfuse.pipeline.cli._interrupt import one_interrupt
from zfuse.pipeline.cli._methods import methods
from zfuse.pipeline.cli._render import render
from zfuse.pipeline.cli._simulate import simulate
from zfuse.pipeline.cli._submit import submit
from zfuse.pipeline.cli._train import train
from zfuse.pipeline.cli._watch import watch

__all__ = ["app", "main"]


class _OneLine(TyperGroup):
    """Commands whose refusals are one line on standard error, and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with one_interrupt():
                return super().invoke(ctx)
        except ZfuseError as error:
            say_error(f"error: {'; '.join([str(error), *_notes(error)])}")
        except MemoryError as error:
            say_error(f"error: out of memory ({error}); give less with --memory")
        except KeyboardInterrupt as error:
            # `fuse` publishes at the end or not at all; other commands write as they go.
            nothing = ["nothing was written"] if ctx.invoked_subcommand == "fuse" else []
            say_error(": ".join(["interrupted", *(_notes(error) or nothing)]))
            raise typer.Exit(130) from None  # 128 + SIGINT, as shells count
        raise typer.Exit(1)


def _notes(error: BaseException) -> list[str]:
    """Return what was added to an error on its way: what is left, and how to go on."""
    return list(getattr(error, "__notes__", ()))


app = typer.Typer(
    name="zfuse",
    cls=_OneLine,
    help="Fuse microscope focal stacks: all-in-focus image, depth map in µm, confidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (fuse, watch, info, methods, demo, simulate, render, evaluate, bench, train):
    app.command()(_command)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(submit)
app.add_typer(engines, name="engines")


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a console that lacks a character shows "?"
            stream.reconfigure(errors="replace")
    # Python's last search for garbage goes through all that was imported, 0.2 s after a run whose
    # files are closed long since.
    atexit.register(gc.freeze)
    app()


def _version(wanted: bool) -> None:
    if wanted:
        import zfuse

        say(f"zfuse {zfuse.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
