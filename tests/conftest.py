"""Options of the whole test suite; torch and BLAS run on one thread."""

import os
from pathlib import Path

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A first call that imports a library, or a busy machine, is no fault of the code under test.
settings.register_profile("momentflow", deadline=None)
settings.load_profile("momentflow")


def pytest_addoption(parser):
    group = parser.getgroup("momentflow")
    group.addoption(
        "--goldens",
        type=Path,
        default=Path(__file__).parent / "goldens",
        help="folder of parity cases, searched with all its sub-folders (default: tests/goldens)",
    )
    group.addoption(
        "--data",
        type=Path,
        default=None,
        help="folder with annotations/ and videos/ of the public datasets; checks that need it are skipped without",
    )
