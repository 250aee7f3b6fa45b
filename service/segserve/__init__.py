"""Segserve: image segmentation as a service.

Importing this package opts out of ONNX Runtime's telemetry, which is on by default in the PyPI
wheels from 1.29 on and writes into the user's home; an operator's own value is left alone.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251  the one documented exception

__version__ = "0.1.0"
