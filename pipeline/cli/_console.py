"""What zfuse says in a terminal: lines, warnings and tables.

Duty: text that shows names as they are. Names come from files of strangers: control characters and
rich's markup in them reach the terminal spelt out. Must not know: what the lines are about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

__all__ = ["console", "plain", "say", "say_error", "say_table", "say_warning"]

_PIPED = 10_000  # columns where no terminal sets a width: a table's row stays one line


def plain(text: object) -> str:
    """Spell out control characters and the like, as Python does; line ends stay."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode()
        for c in str(text)
    )


def _one_line(text: object) -> str:
    return plain(text).replace("\n", " ")


def console(*, stderr: bool = False) -> Console:
    """Return a console that takes text as it is: no markup, no emoji, no colours of its own."""
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)


def say(text: object) -> None:
    """Print a result to standard output."""
    print(plain(text), flush=True)


def say_error(line: str) -> None:
    """Print one line to standard error."""
    import typer

    typer.echo(_one_line(line), err=True)


def say_warning(line: str) -> None:
    """Print one line to standard error, as a warning."""
    say_error(f"warning: {line}")


def say_table(rows: Sequence[Sequence[object]], header: Sequence[str] | None = None) -> None:
    """Print columns to standard output; in a terminal wide ones are wrapped.

    Parameters
    ----------
    rows
        Cells, in as many columns in each row.
    header
        Names of the columns; without them only the rows are printed.
    """
    from rich.table import Table
    from rich.text import Text

    out = console()
    table = Table(
        *(header or [""] * len(rows[0])), box=None, pad_edge=False, show_header=header is not None
    )
    table.columns[0].no_wrap = True
    for column in table.columns:
        column.overflow = "fold"  # a long word goes on in the next line; nothing is cut off
    for row in rows:
        table.add_row(*(Text(_one_line(cell)) for cell in row))
    width = out.width if out.is_terminal else _PIPED
    lines = out.render_lines(table, out.options.update(width=width, no_wrap=False), pad=False)
    say("\n".join("".join(segment.text for segment in line).rstrip() for line in lines))
