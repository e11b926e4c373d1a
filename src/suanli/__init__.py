"""Suanli: the resource plane for large AI models.

These names are what a program that runs under Suanli may want; importing them costs milliseconds and no dependency.
"""

from suanli.checkpoint import commit_checkpoint, latest_checkpoint
from suanli.progress import progress

__version__ = "0.1.0"
__all__ = ["__version__", "commit_checkpoint", "latest_checkpoint", "progress"]
