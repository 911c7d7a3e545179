"""Ready-made run configs: the YAML files beside this module, for ``zfuse fuse --config``."""
