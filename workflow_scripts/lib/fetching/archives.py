"""Unpack published archives into a folder of their own: nothing escapes it, and half of one is never taken for whole.

Only files and folders are written, never links or devices; a link to another file of the archive becomes that file.
"""

import contextlib
import errno
import os
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from tqdm import tqdm

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.foreign.boundary import LARGEST_RATIO
from workflow_scripts.lib.store.atomic import remove_tree

BLOCK_BYTES = 1 << 20
LONGEST_LINK = 4096
SMALL = 1 << 20
"""Content that no ratio makes suspicious."""


@dataclass(frozen=True)
class _Member:
    """One entry of an archive: a file with its content and claimed size, or a link with its target."""

    name: str
    content: IO[bytes] | None
    size: int = 0
    link: str | None = None


def unpack(archive: Path, folder: Path, layout: Literal["tree", "flat"] = "tree") -> tuple[int, int]:
    """Unpack a zip or tar archive (plain, gz, bz2, xz) into a folder that does not exist yet, or is empty.

    Parameters
    ----------
    archive : Path
        The archive; what it is is told from its content.
    folder : Path
        Appears when everything is unpacked.
    layout : {"tree", "flat"}
        Keep the archive's folders, or put every file directly into `folder`.

    Returns
    -------
    tuple of int
        Files and bytes written.

    Raises
    ------
    UserError
        The archive is damaged or encrypted, claims more content than can be in it, an entry lies outside the folder,
        is a device or links outside, or two files would have the same name. Nothing is left then.
    OSError
        The disk is full, or would be; nothing is left of what was unpacked.
    """
    staging = folder.with_name(f"{folder.name}.unpacking")
    remove_tree(staging)
    staging.mkdir(parents=True)
    try:
        with _named(archive):
            counts = _Writer(archive, staging, layout).write_all()
        if folder.is_dir():
            folder.rmdir()
        staging.rename(folder)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(folder)
        remove_tree(staging)
        raise
    return counts


class _Writer:
    """Writes the members of one archive below one folder."""

    def __init__(self, archive: Path, folder: Path, layout: str) -> None:
        self.archive, self.folder, self.layout = archive, folder, layout
        self.origins: dict[PurePosixPath, str] = {}
        """Path below the folder -> path in the archive."""
        self.n_bytes = 0

    def write_all(self) -> tuple[int, int]:
        """Write files as they come, and links when all files are there."""
        links: list[_Member] = []
        self._require_room(_stated_bytes(self.archive))
        with tqdm(unit="B", unit_scale=True, desc=f"unpacking {self.archive.name}", mininterval=1) as bar:
            for member in _members(self.archive):
                if member.link is not None:
                    links.append(member)
                    continue
                self._require_room(member.size)
                with self._new_file(member.name) as sink:
                    while block := member.content.read(BLOCK_BYTES):
                        sink.write(block)
                        bar.update(len(block))
                    self.n_bytes += sink.tell()
            for member in links:
                self._copy_target(member)
        return len(self.origins), self.n_bytes

    def _require_room(self, n_more: int) -> None:
        """Refuse content that cannot be in the archive, or that the disk has no room for, before it is written."""
        total, held = self.n_bytes + n_more, self.archive.stat().st_size
        if total > LARGEST_RATIO * held + SMALL:
            raise UserError(
                f"{self.archive}: claims {total:,} bytes of content, but has {held:,} bytes for it; nothing was "
                "unpacked. Do not trust this archive"
            )
        free = shutil.disk_usage(self.folder).free
        if n_more > free:
            message = f"{self.folder} ({n_more} bytes are needed, {free} are free)"
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), message)

    def _place(self, name: str) -> PurePosixPath:
        """Return where an entry goes, below the folder.

        Raises
        ------
        UserError
            it would lie outside
        """
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
            raise UserError(
                f"{self.archive}: the entry {name!r} would be written outside the folder; nothing was unpacked. "
                "Do not trust this archive"
            )
        return PurePosixPath(path.name) if self.layout == "flat" else path

    def _new_file(self, name: str) -> IO[bytes]:
        place = self._place(name)
        if self.origins.get(place, name) != name:
            raise UserError(
                f"{self.archive}: {self.origins[place]} and {name} would both be {place}; unpack with `layout: tree`"
            )
        self.origins[place] = name
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")

    def _copy_target(self, link: _Member) -> None:
        target = PurePosixPath(posixpath.normpath(link.link))
        place = self._place(str(target)) if not target.is_absolute() else None
        source = self.folder / place if place else None
        if source is None or self.origins.get(place) != str(target) or not source.is_file():
            raise UserError(
                f"{self.archive}: the entry {link.name!r} is a link to {link.link!r}, which is no file of the archive; "
                "nothing was unpacked"
            )
        self._require_room(source.stat().st_size)
        with self._new_file(link.name) as sink, source.open("rb") as content:
            shutil.copyfileobj(content, sink, BLOCK_BYTES)
            self.n_bytes += sink.tell()


def _stated_bytes(archive: Path) -> int:
    """Return the size of what an archive holds: of a zip as it states, of a tar at least."""
    if not zipfile.is_zipfile(archive):
        return archive.stat().st_size
    with zipfile.ZipFile(archive) as opened:
        return sum(entry.file_size for entry in opened.infolist())


def _members(archive: Path) -> Iterator[_Member]:
    """Yield files and links; folders come with their files."""
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    else:
        yield from _tar_members(archive)


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            if entry.is_dir():
                continue
            with opened.open(entry) as content:
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if kind == stat.S_IFLNK:
                    target = content.read(LONGEST_LINK).decode("utf-8", "replace")
                    yield _Member(entry.filename, None, link=_from_folder_of(entry.filename, target))
                elif kind in (0, stat.S_IFREG):
                    yield _Member(entry.filename, content, entry.file_size)
                else:
                    raise _device(archive, entry.filename)


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, "r:*") as opened:
        for entry in opened:
            # Else tarfile remembers every entry: archives of frames have millions.
            opened.members = []
            if entry.isdir():
                continue
            name = posixpath.normpath(entry.name) if not entry.name.startswith("/") else entry.name
            if entry.isreg():
                yield _Member(name, opened.extractfile(entry), entry.size)
            elif entry.issym():
                yield _Member(name, None, link=_from_folder_of(name, entry.linkname))
            elif entry.islnk():
                yield _Member(name, None, link=entry.linkname)
            else:
                raise _device(archive, entry.name)
        # A tar file that ends between two entries reads as a shorter one; a complete one ends with a block of zeros.
        if opened.fileobj.tell() == opened.offset:
            raise EOFError("it ends too early")
        while opened.fileobj.read(BLOCK_BYTES):
            pass


def _from_folder_of(name: str, target: str) -> str:
    """Return the target of a symbolic link as a path in the archive."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target))


def _device(archive: Path, name: str) -> UserError:
    return UserError(f"{archive}: the entry {name!r} is a device or the like; nothing was unpacked")


@contextlib.contextmanager
def _named(archive: Path) -> Iterator[None]:
    """Name the archive in errors about its content."""
    remedy = "delete it and fetch it again"
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, LZMAError) as error:
        said = str(error).partition(":\n")[0]
        raise UserError(f"{archive}: not a complete zip or tar archive ({said}); {remedy}") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        entry = Path(str(error.filename)).name
        raise UserError(f"{archive}: {entry!r} is a file and a folder in this archive; nothing was unpacked") from None
    except (RuntimeError, NotImplementedError) as error:
        # What zipfile raises for encrypted entries and for kinds of compression that it does not know.
        raise UserError(f"{archive}: cannot be unpacked here ({error}); unpack it with another program") from None
    except OSError as error:
        if error.errno is not None:
            raise
        # What gzip and bz2 raise for damaged data has no number.
        raise UserError(f"{archive}: damaged ({error}); {remedy}") from None
