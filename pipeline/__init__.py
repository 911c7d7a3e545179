"""From a stack on disk to a fused one: sources, tile plan, methods, fold, sinks, command line."""
