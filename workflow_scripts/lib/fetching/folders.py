"""A folder of videos or features from a published archive; what is there already is taken as it is."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.fetching.archives import unpack
from workflow_scripts.lib.fetching.download import fetch, require_published
from workflow_scripts.lib.fetching.source import Source, by_hand
from workflow_scripts.lib.store.atomic import remove_tree

log = logging.getLogger(__name__)


def fetch_folder(
    source: Source,
    archive: str,
    folder: Path,
    layout: Literal["tree", "flat"],
    mirror: str | None = None,
    inside: Sequence[str] = (),
) -> dict[str, Any]:
    """Make sure that a folder with the content of an archive is there.

    A folder that holds something stays as it is. An archive that somebody put beside the folder is unpacked and kept;
    a downloaded one is deleted when it is unpacked.

    Parameters
    ----------
    source : Source
        Where the archive is published.
    archive : str
        Name of the archive file.
    folder : Path
        Where its content goes.
    layout : {"tree", "flat"}
        Keep the archive's folders, or put every file directly into `folder`.
    mirror : str or None
        Address that is asked instead of the official one.
    inside : sequence of str
        What a message says of the files that the archive has to hold.

    Returns
    -------
    dict
        What was done: `folder`, `from`, `files` and `bytes`.

    Raises
    ------
    UserError
        As `fetch` and `unpack`.
    """
    if folder.is_dir() and any(folder.iterdir()):
        log.info("%s holds something and is taken as it is; move it away to have it fetched", folder)
        return {"folder": str(folder), "from": "found", **_counts(folder)}
    beside = folder.with_name(archive)
    if beside.is_file():
        require_published(source, beside, str(beside), "delete the file and fetch it again")
        files, n_bytes = unpack(beside, folder, layout)
        return {"folder": str(folder), "from": str(beside), "files": files, "bytes": n_bytes}
    if source.url is None:
        raise UserError(by_hand(source, beside, folder, inside))
    fetching = folder.with_name(f"{folder.name}.fetching")
    if not (fetching / archive).is_file():
        fetch(source, fetching / archive, place=beside, mirror=mirror)
    files, n_bytes = unpack(fetching / archive, folder, layout)
    remove_tree(fetching)
    return {"folder": str(folder), "from": source.url, "files": files, "bytes": n_bytes}


def _counts(folder: Path) -> dict[str, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}
