"""Digests: what makes two things the same."""

import contextlib
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import write_text

log = logging.getLogger(__name__)

UNVERIFIED = "unverified"
"""Stands for a checksum that nobody has told."""
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


def verify_sha256(path: Path, sha256: str, name: str, remedy: str) -> None:
    """Check the digest of a published file; `unverified` is accepted with a warning.

    Parameters
    ----------
    path : Path
        The file.
    sha256 : str
        64 hex digits, the first 8 (which names such as `vgg16-397923af.pth` state), or `UNVERIFIED`.
    name, remedy : str
        Begin and end of the message.

    Raises
    ------
    UserError
        If the file has another digest.
    """
    found = file_sha256(path)
    if sha256 == UNVERIFIED:
        log.warning("%s: no checksum is known for this file; its sha256 is %s", name, found)
        return
    if not found.startswith(sha256):
        raise UserError(f"{name}: sha256 is {found}, expected {sha256} (configured); {remedy}")


def verify_unchanged(path: Path) -> None:
    """Compare a file whose published checksum is not known with what it was when it was first used.

    Parameters
    ----------
    path : Path
        The file; its digest is kept beside it, as `<name>.sha256`, in the form that `sha256sum -c` reads.

    Raises
    ------
    UserError
        If it has changed.
    """
    note, found = path.with_name(f"{path.name}.sha256"), file_sha256(path)
    if note.is_file():
        known = note.read_text(encoding="utf-8", errors="replace").split(maxsplit=1)[:1]
        if known != [found]:
            raise UserError(
                f"{path}: sha256 is {found}, but {note.name} says {''.join(known) or 'nothing'}, as it was when the "
                "file was first used. Bring the file of then back; if the change is meant, delete the note."
            )
        return
    log.warning("%s: no checksum is known for this file; its sha256 is %s, which is kept beside it", path, found)
    with contextlib.suppress(OSError):  # A folder that others own: then the log alone has it.
        write_text(note, f"{found}  {path.name}\n")


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
