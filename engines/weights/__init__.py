"""ONNX files of the networks, and their model cards; written by `zfuse engines export`."""
