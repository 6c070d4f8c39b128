"""The class Cnn14 of the package panns_inference, whose import tries a download by wget into the home folder.

The package reads its labels when it is imported and fetches them if they are not there; a failed download leaves an
empty file, and the network then has no classes without a word. So the import sees a home folder with a list of labels.
"""

import contextlib
import importlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

N_CLASSES = 527
SIZES = {"sample_rate": 32000, "window_size": 1024, "hop_size": 320, "mel_bins": 64, "fmin": 50, "fmax": 14000}


@contextlib.contextmanager
def _home_with_labels() -> Iterator[None]:
    before = os.environ.get("HOME")
    with tempfile.TemporaryDirectory() as folder:
        labels = Path(folder) / "panns_data" / "class_labels_indices.csv"
        labels.parent.mkdir()
        labels.write_text("index,mid,display_name\n" + "".join(f"{i},/m/{i},label {i}\n" for i in range(N_CLASSES)))
        os.environ["HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = before


def published_cnn14() -> torch.nn.Module:
    """Return the package's network with fresh weights, in eval mode."""
    with _home_with_labels():
        models = importlib.import_module("panns_inference.models")
    return models.Cnn14(**SIZES, classes_num=N_CLASSES).eval()
