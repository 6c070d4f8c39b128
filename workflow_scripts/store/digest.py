"""Digests: what makes two things the same."""

import hashlib
import json
from pathlib import Path
from typing import Any

_EDGE_BYTES = 2**20
_BLOCK_BYTES = 2**22


def digest_bytes(data: bytes) -> str:
    """Return the sha256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_json(obj: Any) -> str:
    """Return the sha256 of the canonical JSON of `obj`: sorted keys, no spaces, UTF-8.

    Raises
    ------
    ValueError
        If `obj` holds a number that JSON does not have (NaN or infinity).
    """
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return digest_bytes(text.encode("utf-8"))


def file_sha256(path: Path | str) -> str:
    """Return the sha256 of a whole file, as `sha256sum` prints it."""
    sha = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            sha.update(block)
    return sha.hexdigest()


def content_digest(path: Path | str, whole: bool = False) -> str:
    """Return a digest of a media file that is cheap for large files.

    Parameters
    ----------
    path : Path or str
        The file.
    whole : bool
        Read everything. By default the size, the first and the last MiB stand for the file: container headers and
        indices lie there, so that a re-encoded, cut or replaced video differs. An edit in the middle of a file of
        unchanged size is missed.

    Returns
    -------
    str
        sha256 in hexadecimal. The two modes give different digests.
    """
    source = Path(path)
    if whole:
        return file_sha256(source)
    size = source.stat().st_size
    sha = hashlib.sha256(f"size {size}\n".encode())
    with source.open("rb") as file:
        sha.update(file.read(_EDGE_BYTES))
        if size > _EDGE_BYTES:
            file.seek(max(_EDGE_BYTES, size - _EDGE_BYTES))
            sha.update(file.read(_EDGE_BYTES))
    return sha.hexdigest()
