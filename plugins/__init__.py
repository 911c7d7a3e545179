"""Plugins for image viewers (napari) will live here. Empty so far."""
