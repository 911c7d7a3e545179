"""The five published networks as torch modules: to train, fine-tune and export.

Needs torch (``pip install zfuse[train]``); fusing does not: it runs the exported graphs.
Must not know of runners, files or the pipeline.
"""

from zfuse.engines.networks._fusion2void import Fusion2Void, Inpainter
from zfuse.engines.networks._fusionnet import FusionNet
from zfuse.engines.networks._pdmnet import PdmNet
from zfuse.engines.networks._rpsnn import Rpsnn
from zfuse.engines.networks._umis import Umis

__all__ = ["Fusion2Void", "FusionNet", "Inpainter", "PdmNet", "Rpsnn", "Umis"]
