"""Fuse microscope focal stacks: all-in-focus image, depth map in µm, confidence."""

__version__ = "0.1.0"
