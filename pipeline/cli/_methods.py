"""The command `zfuse methods`: all of them at a glance, or one with its settings.

Duty: tables. Must not know: how methods work.
"""

from __future__ import annotations

from typing import Annotated

import typer

from zfuse.pipeline.cli._console import say, say_table

__all__ = ["methods"]


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One method, with its settings.")
    ] = None,
) -> None:
    """List the fusion methods; with a name: what one does, its settings, where it runs."""
    from zfuse.pipeline.methods import DEFAULT_METHOD, METHODS, make_method

    if name is not None:
        _one(name)
        return
    rows = [
        (key + (" *" if key == DEFAULT_METHOD else ""), make_method(key).pixels, entry.summary)
        for key, entry in METHODS.items()
    ]
    say_table(rows, ("name", "pixels are", "what it does"))
    say("\n* unless another one is chosen. More of one: zfuse methods NAME")


def _one(name: str) -> None:
    """Print what there is to know of a method."""
    from zfuse.pipeline.methods import METHODS, make_method

    method = make_method(name)
    entry = METHODS[name]
    rows = [
        ("name", name),
        ("what it does", entry.summary),
        ("pixels are", method.pixels),
        ("family", method.family),
        ("reads planes", "once" if method.passes == 1 else f"{method.passes} times"),
        ("looks at", f"{method.halo} px round each pixel"),
        ("cut into tiles", entry.tiles),
        ("runs on", entry.runs_on),
    ]
    say_table(rows + _network(name))
    settings = [
        (key, field.get_default(call_default_factory=True), field.description or "")
        for key, field in type(method).model_fields.items()
        if key != "name"
    ]
    if settings:
        say("")
        say_table(settings, ("setting", "usually", "what it is (change it with --set KEY=VALUE)"))


def _network(name: str) -> list[tuple[str, str]]:
    """Return source, scores and model card of a method that is a network."""
    from zfuse.engines import MODELS, card, card_path
    from zfuse.errors import ZfuseError

    if name not in MODELS:
        return []
    try:
        scores = card(name).scores
        ssim, psnr = (scores.get(f"mfi_whu_71_80_{kind}") for kind in ("ssim", "psnr"))
        known = f"SSIM {ssim:.4f}, {psnr:.1f} dB" if ssim and psnr else "none"
    except ZfuseError:
        known = "none: no weights"
    return [
        ("source", MODELS[name].source),
        ("scores", f"{known} (ten pairs of photographs that it never saw)"),
        ("model card", str(card_path(name))),
    ]
