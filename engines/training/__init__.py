"""Training: recipes of the five networks, and the loop that follows them.

Needs torch (``pip install zfuse[train]``), but for `_scenes`. Must not know: files of images or
configs, the command line; `zfuse.pipeline` brings those.
"""
