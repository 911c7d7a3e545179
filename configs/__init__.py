"""Ready-made configs: ``NAME.yaml`` for ``zfuse fuse``, ``train-NAME.yaml`` for ``zfuse train``."""
