"""``zfuse submit``: a run as a job of SLURM.

Must not know: what the script says.
"""

from __future__ import annotations

from typing import Annotated

import typer

from zfuse.pipeline.cli._console import say
from zfuse.pipeline.cli._fuse import parsed_config

__all__ = ["submit"]


def submit(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the script and its settings.")
    ] = False,
) -> None:
    """Fuse on a SLURM cluster: takes INPUT, OUTPUT and all options of zfuse fuse.

    Resumes by itself after pre-emption; given again, it goes on where it stopped.
    """
    from zfuse.pipeline.cluster import batch_run
    from zfuse.pipeline.sinks import check_output
    from zfuse.pipeline.sources import open_collection

    config = parsed_config(context.args)
    run = batch_run(config, check=not dry_run)
    # What would be refused hours later is refused now.
    check_output(config.output, [config.input], config.overwrite, resume=True)
    open_collection(config.input, series=config.series, allow_missing=config.allow_missing)
    if dry_run:
        say(f"# {run.script}\n{run.script_text}\n# {run.settings}\n{run.settings_text}")
        return
    job = run.submit()
    say(f"job {job} is submitted; it asks for workers when it starts")
    say(f"log: {run.logs / f'{run.name}-{job}.log'}; of workers: {run.logs / 'zfuse-worker-*'}")
    say(f"to stop it: scancel {job}; the same command later goes on where it stopped")
