"""The dataset that stands for a folder of videos: found among those that are described, or written."""

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import yaml

from workflow_scripts.lib.datasets.dataset_file import dataset_name, dataset_text
from workflow_scripts.lib.datasets.own_folder import look_into
from workflow_scripts.lib.store.atomic import write_text

_VIDEOS = re.compile(r"^videos: (.+)$", re.MULTILINE)


def dataset_of(folder: Path, datasets: Path, extensions: list[str], jobs: int) -> str:
    """Return the dataset that holds all videos of a folder; a file is written for it if there is none.

    Parameters
    ----------
    folder : absolute
    datasets : the folder `config/datasets`
    extensions, jobs : as of `look_into`

    Raises
    ------
    UserError
        there is no video in the folder, or none that can be used
    """
    name = next((path.stem for path in sorted(datasets.glob("*.yaml")) if _is_listing_of(path, folder)), None)
    if name is None:
        name = next(name for name in _names(folder) if not (datasets / f"{name}.yaml").exists())
        write_text(datasets / f"{name}.yaml", dataset_text(name, look_into(folder, extensions, jobs), None))
    return name


def _is_listing_of(path: Path, folder: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    stated = _VIDEOS.search(text)
    # Reading all files as YAML would take longer than an answer.
    if not stated or yaml.safe_load(stated[1]) != str(folder):
        return False
    return "files" not in ((yaml.safe_load(text) or {}).get("annotations") or {})


def _names(folder: Path) -> Iterator[str]:
    name = dataset_name(folder)
    yield name
    yield from (f"{name}_{number}" for number in count(2))
