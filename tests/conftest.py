"""Options of the whole test suite; torch and BLAS run on one thread."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.world.world import running_world

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


@pytest.fixture
def world(monkeypatch):
    """Answer for official addresses from this machine, whatever proxy or mirror this machine has."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with running_world() as running:
        yield running
