"""``python -m zfuse`` is the command line."""

from zfuse.pipeline.cli import main

main()
