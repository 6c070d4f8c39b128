"""Turns every check of every case folder into a test, and lists the folders that no handler understood."""

import pytest

from tests.parity.harness import discover


def pytest_configure(config):
    root = config.getoption("--goldens").resolve()
    if not root.is_dir():
        raise pytest.UsageError(f"--goldens {root}: no such folder")
    config.parity = discover(root)


def pytest_generate_tests(metafunc):
    if "check" in metafunc.fixturenames:
        found = metafunc.config.parity
        metafunc.parametrize("check", found.checks, ids=[check.name for check in found.checks])


@pytest.fixture(scope="session")
def data_path(request):
    """The folder of `--data`, or None."""
    return request.config.getoption("--data")


def pytest_terminal_summary(terminalreporter, config):
    skipped = config.parity.skipped
    if skipped:
        terminalreporter.section("parity: folders without a handler")
        for name, reason in skipped:
            terminalreporter.write_line(f"{name}: {reason}")
