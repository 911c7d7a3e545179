"""``python -m zfuse`` is the command line."""

from zfuse.pipeline._cli import main

main()
