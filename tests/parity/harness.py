"""Finds parity cases in a folder tree and hands each folder to the handlers that understand it.

A handler is a module with

- `claims(folder)`: whether the folder is of its kind, by the files in it (and by the names in its path where these are
  not telling enough);
- `checks(folder)`: its list of `Check`. What it raises becomes a failing check: a folder of a known kind with files
  that cannot be read is an error, a folder that nobody claims is reported and left out.

To add a handler, write the module and put it into HANDLERS.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

HANDLERS = (
    "img_cases",
    "img_postproc_cases",
    "mrnet_cases",
    "span_index_cases",
    "qvh_cases",
    "hirest_cases",
    "caption_metrics_cases",
    "captions_cases",
    "calce_metric_cases",
    "calce_evaluator_cases",
    "calce_text_cases",
    "calce_keyframe_cases",
    "calce_model_cases",
    "quag_items_cases",
    "quag_cases",
    "ranked_spans_cases",
    "score_maps_cases",
    "weight_recipe_cases",
    "minilm_cases",
    "network_cases",
    "eva_cases",
    "transcript_cases",
    "windowed_network_cases",
    "uniq4cap_tower_cases",
    "uniq4cap_cases",
    "cnn14_cases",
    "vggish_cases",
    "whisper_mel_cases",
    "sampling_cases",
    "preprocess_cases",
    "decode_cases",
    "zero_shot_cases",
)

NOT_A_CASE = (".md", ".txt", ".py")


@dataclass(frozen=True)
class Check:
    """One test: `run(data_path)` raises AssertionError where numbers differ; `data_path` is None without `--data`."""

    name: str
    run: Callable[[Path | None], None]


@dataclass
class Discovery:
    """Checks of all folders, and (folder, reason) of those without a handler."""

    checks: list[Check] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def discover(root: Path) -> Discovery:
    """Walk `root` and collect the checks of every folder; names are relative to the parent of `root`."""
    handlers = [importlib.import_module(f"{__package__}.{name}") for name in HANDLERS]
    found = Discovery()
    for folder in [root, *sorted(path for path in root.rglob("*") if path.is_dir())]:
        files = sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix not in NOT_A_CASE)
        if not files:
            continue
        name = str(folder.relative_to(root.parent))
        claiming = [handler for handler in handlers if handler.claims(folder)]
        for handler in claiming:
            found.checks += [replace(check, name=f"{name}::{check.name}") for check in _checks_of(handler, folder)]
        if not claiming:
            more = f" and {len(files) - 3} more" if len(files) > 3 else ""
            found.skipped.append((name, f"no handler for {', '.join(files[:3])}{more}"))
    return found


def _checks_of(handler, folder: Path) -> list[Check]:
    try:
        checks = handler.checks(folder)
    except Exception as error:
        return [Check(f"{handler.__name__.rsplit('.', 1)[1]}-readable", _failing(folder, error))]
    return checks


def _failing(folder: Path, error: Exception) -> Callable[[Path | None], None]:
    def run(data_path: Path | None) -> None:
        raise AssertionError(f"{folder}: of a known kind, but its files cannot be read") from error

    return run


def in_group(folder: Path, *names: str) -> bool:
    """Return whether the path of a folder has these names as neighbours, in this order."""
    parts = folder.resolve().parts
    return any(parts[i : i + len(names)] == names for i in range(len(parts)))


def has_files(folder: Path, *patterns: str) -> bool:
    """Return whether the folder has a file for each pattern."""
    return all(any(folder.glob(pattern)) for pattern in patterns)


def find_data(data_path: Path | None, relative: str) -> Path:
    """Return a file of the `--data` folder, plain or with `.gz`; skip the test where there is none."""
    if data_path is None:
        pytest.skip(f"needs --data with {relative}")
    for candidate in (data_path / relative, data_path / f"{relative}.gz"):
        if candidate.is_file():
            return candidate
    pytest.skip(f"{data_path} has no {relative}")


def find_folder(data_path: Path | None, relative: str) -> Path:
    """Return a folder of `--data`; skip the test where there is none."""
    if data_path is None or not (data_path / relative).is_dir():
        pytest.skip(f"needs --data with {relative}")
    return data_path / relative
