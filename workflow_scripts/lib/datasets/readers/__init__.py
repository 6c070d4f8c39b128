"""One module per source format, found by its name.

A reader module has `read(files, dataset) -> Annotations`, where `files` maps splits to paths. Where not every name is a
split, or a file holds several, it has `splits_of(names)`, the splits that files of these names hold. Its version
(`reader/<format>` in `workflow_scripts/lib/versions.py`) is raised when the same files would give other tables.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import UnknownFormat
from workflow_scripts.lib.versions import version_of


def known_formats() -> list[str]:
    """Return the names of all formats: the modules in this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def read_annotations(source_format: str, files: dict[str, Path], dataset: str) -> Annotations:
    """Read a dataset's source files.

    Parameters
    ----------
    source_format : str
        Name of a format.
    files : dict of str to Path
        Source file of every split, plain or `.gz`.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Rows in the order of the files; durations may be missing, and flags are not set yet.

    Raises
    ------
    UnknownFormat
        If no reader has that name.
    AnnotationError
        If a file is not in that format.
    """
    return _reader(source_format).read(files, dataset)


def importer_name(source_format: str) -> str:
    """Return name and version of a reader, for the tables' metadata."""
    return f"{source_format} {version_of(f'reader/{source_format}')}"


def splits_named(source_format: str, names: Iterable[str]) -> list[str]:
    """Return the splits that files of these names can hold, as far as that is known without reading them."""
    return getattr(_reader(source_format), "splits_of", list)(names)


def _reader(source_format: str) -> ModuleType:
    formats = known_formats()
    if source_format not in formats:
        near = difflib.get_close_matches(source_format, formats, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else "Correct `annotations.format` in the dataset's YAML file."
        raise UnknownFormat("annotation format", repr(source_format), f"one of {', '.join(formats)}", hint)
    return importlib.import_module(f"{__name__}.{source_format}")
