"""What jobs do not import before they know that they need it, told from the code alone."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.code_digests import ROOT, module_path

WHOLE_CONFIGURATION = ROOT / "workflow_scripts/lib/configuration/compose.py"
JOBS = ("extract_visual", "extract_audio", "extract_text", "extract_transcript", "extract_spoken", "transcribe")
LONG_IMPORTS = {"torch", "torchvision", "open_clip", "transformers", "sentence_transformers", "matplotlib"}


@cache
def imports_at_once(path: Path) -> set[str]:
    """Return the modules, and members of modules, that a file imports when it is imported itself."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def reached(entry_point: str) -> tuple[set[Path], set[str]]:
    """Return the files of this project, and the names of all modules, that an entry point imports at once."""
    files, names, waiting = set(), set(), [ROOT / f"workflow_scripts/{entry_point}.py"]
    while waiting:
        path = waiting.pop()
        if path not in files:
            files.add(path)
            names |= (found := imports_at_once(path))
            waiting += filter(None, map(module_path, found))
    return files, names


@pytest.mark.parametrize("entry_point", [*JOBS, "import_features"])
def test_a_job_of_a_feature_reads_its_settings_without_the_whole_configuration(entry_point):
    files, _ = reached(entry_point)
    assert ROOT / "workflow_scripts/lib/extraction/settings_file.py" in files
    assert WHOLE_CONFIGURATION not in files


@pytest.mark.parametrize("entry_point", JOBS)
def test_a_job_that_keeps_all_rows_imports_no_network(entry_point):
    _, names = reached(entry_point)
    assert not {name.partition(".")[0] for name in names} & LONG_IMPORTS


@pytest.mark.parametrize("entry_point", ["lib/planning/plan", "index_features", "train", "predict", "evaluate"])
def test_what_only_reads_stores_imports_nothing_that_writes_them(entry_point):
    _, names = reached(entry_point)
    assert not {name.partition(".")[0] for name in names} & {*LONG_IMPORTS, "zarr"}


@pytest.mark.parametrize("entry_point", ["train", "predict"])
def test_what_only_starts_the_processes_of_a_job_imports_no_torch(entry_point):
    files, names = reached(entry_point)
    assert ROOT / "workflow_scripts/lib/training/processes.py" in files
    assert not {name.partition(".")[0] for name in names} & {*LONG_IMPORTS, "accelerate"}


def test_the_walk_finds_what_is_imported_in_turn():
    files, _ = reached("list_downloads")
    assert ROOT / "workflow_scripts/lib/errors.py" in files
    assert "torch" in imports_at_once(ROOT / "models/encoders/networks/clip.py")
