"""The commands `zfuse engines …`: what runs networks here, and the files it needs.

Duty: words and tables. Must not know: how graphs are exported, built or run.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path  # noqa: TC003 (typer)
from typing import Annotated

import typer

from zfuse.errors import ZfuseError
from zfuse.pipeline.cli._console import say, say_error, say_table

__all__ = ["engines"]

engines = typer.Typer(
    help="Networks: their weights, what runs them here, export, compile, verify.",
    no_args_is_help=True,
)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="umis, pdmnet, rpsnn, fusion2void or fusionnet.")
]


@engines.command("list")
def list_() -> None:
    """Show networks and checksums, runners and why one is missing, compiled engines."""
    from zfuse.engines import MODELS, card, load, read_graph
    from zfuse.engines.runners import RUNNERS
    from zfuse.engines.runners.tensorrt import entries, folder

    rows: list[tuple[str, ...]] = []
    damaged = False
    for name, model in MODELS.items():
        try:
            about = card(name)
        except ZfuseError as error:
            rows.append((name, "", "", "", "", str(error).partition(";")[0]))
            continue
        state = "ok"
        for graph in model.graphs:
            try:
                read_graph(graph)
            except ZfuseError as error:
                state, damaged = str(error), True
        size = sum(file.size for file in about.graphs.values()) / 1e6
        scores = ", ".join(f"{key} {value:.4g}" for key, value in about.scores.items())
        runner = load(model.graphs[0]).resolved().runner
        rows.append((name, " ".join(model.graphs), f"{size:.1f} MB", state, runner, scores))
    say_table(rows, ("network", "graphs", "size", "checksum", "runs on", "score"))

    rows = []
    for name, entry in RUNNERS.items():
        reason = entry.is_incompatible()
        rows.append((name, " ".join(entry.precisions), f"no: {reason}" if reason else "yes"))
    say("")
    say_table(rows, ("runner", "precisions", "here"))

    compiled = entries()
    say(f"\n{len(compiled)} compiled engines in {folder()}")
    if compiled:
        keys = ("graph", "precision", "library", "gpu", "sizes", "state")
        say_table([[e.get(k, "?") for k in keys] for e in compiled], keys)
    if damaged:
        raise typer.Exit(1)


@engines.command()
def export(
    name: Name,
    checkpoint: Annotated[
        list[Path],
        typer.Option(
            help="best.pt of `zfuse train`, result.json beside it; or a state_dict. "
            "Repeatable: weights are averaged."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for ONNX files and model card.")] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Into engines/weights of this source checkout.")
    ] = False,
    score: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A score for the model card; repeatable."),
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the weights, SPDX.")] = "BSD-3-Clause",
) -> None:
    """Write a trained network as ONNX, with its model card; proved against torch."""
    for module in ("torch", "onnx", "onnxscript"):
        if find_spec(module) is None:
            raise ZfuseError(f"exporting needs {module}. Install with: pip install zfuse[train]")
    from zfuse.engines import PACKAGED

    if (out is None) != install:
        raise ZfuseError("say where to: either --out FOLDER, or --install")
    if install and not (PACKAGED.parents[1] / "pyproject.toml").is_file():
        raise ZfuseError(f"--install is for a source checkout, {PACKAGED} is none: use --out")
    folder = PACKAGED if out is None else out
    from zfuse.engines.export import export as run

    about = run(name, checkpoint, folder, scores=_scores(score or []), licence=licence)
    for key, value in about.parity.items():
        say(f"{key}: differs from torch by {value:.1g} of the largest value")
    size = sum(file.size for file in about.graphs.values()) / 1e6
    say(f"{folder / f'{name}.json'}: {len(about.graphs)} graphs, {size:.2f} MB")


@engines.command()
def build(
    name: Name,
    precision: Annotated[str, typer.Option(help="fp16 or fp32.")] = "fp16",
    tile: Annotated[int, typer.Option(metavar="PX", help="Edge of tiles, halo and all.")] = 512,
    batch: Annotated[int, typer.Option(help="Planes at a time.")] = 8,
    channels: Annotated[int, typer.Option(help="Channels, for networks that take several.")] = 1,
) -> None:
    """Compile a network with TensorRT ahead of time; tensorrt-rtx needs no GPU for it."""
    from zfuse.engines import card, model_named
    from zfuse.engines.runners import load
    from zfuse.engines.runners.tensorrt import TileSizes, engine, key

    for value, option in ((tile, "tile"), (batch, "batch"), (channels, "channels")):
        if value < 1:
            raise ZfuseError(f"--{option} {value}: must be 1 or more")
    lengths = {"batch": batch, "channels": channels, "height": tile, "width": tile}
    sizes = TileSizes.covering(lengths, card(name).multiple)
    for graph in model_named(name).graphs:
        opened = load(graph, runner="tensorrt", precision=precision).read()
        begun = time.perf_counter()
        built = engine(opened, sizes)
        seconds = time.perf_counter() - begun
        about = key(opened, sizes)
        say(
            f"{graph} {precision}: {len(built) / 1e6:.1f} MB in {seconds:.1f} s for "
            f"{about['gpu']} GPU, tiles up to {sizes.tile[2]} px, {sizes.batch[2]} planes at a "
            f"time ({about['library']})"
        )


@engines.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all with weights.")
    ] = None,
) -> None:
    """Check checksums, run every graph, compare all runners that can serve here."""
    from zfuse.engines import MODELS, card, verify as run

    if not names:
        names = []
        for name in MODELS:
            try:
                card(name)
            except ZfuseError as error:
                say_error(f"{name}: skipped: {error}")
            else:
                names.append(name)
    failed = not names
    rows = []
    for name in names:
        for check in run(name):
            rows.append((check.graph, check.runner, _passed(check.passed), check.found))
            failed |= not check.passed
    if rows:
        say_table(rows, ("graph", "runner", "", ""))
    if failed:
        raise typer.Exit(1)


def _passed(passed: bool) -> str:
    return "ok" if passed else "FAILED"


def _scores(pairs: list[str]) -> dict[str, float]:
    scores = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            scores[key] = float(value)
        except ValueError:
            raise ZfuseError(f"--score {pair!r}: write KEY=NUMBER, e.g. ssim=0.9981") from None
    return scores
