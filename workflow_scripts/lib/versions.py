"""Which code makes a number: the versions of its parts, which decide what runs again, and the revision of the whole.

A part is named `sampling/<rule>`, `resize/<rule>`, `frames` (decoding), `images` (folders of them), `sound` (decoding,
resampling, windows), `probe`, `annotations` (what all readers share), `reader/<format>`, `training` (the loop and its
items), `prediction` (asking a trained system), `scoring` (evaluators and baselines) or `system/<package>` (network,
losses, samples, decoding). Encoders have their `RECIPE_VERSION`. A version is raised by hand when the numbers of its
part may differ from those it gave before; `tests/unit/test_code_digests.py` asks for that decision whenever code of the
part changed.
"""

import functools
import subprocess
from collections.abc import Iterable
from pathlib import Path

UNKNOWN_REVISION = "unknown"
RAISED: dict[str, int] = {
    "probe": 2,
    "reader/demo": 2,
    "reader/hirest": 2,
    "reader/plain": 2,
    "reader/uniq4cap": 2,
}
"""Part -> version; those that are not here are at their first, 1."""


def version_of(part: str) -> int:
    """Return the version of a part."""
    return RAISED.get(part, 1)


def versions_of(parts: Iterable[str]) -> dict[str, int]:
    """Return the versions of parts, as recipes and keys hold them."""
    return {part: version_of(part) for part in parts}


@functools.cache
def code_revision() -> str:
    """Return the git revision of the code, `+changes` if it differs from it, or `unknown`."""
    git = ["git", "-C", str(Path(__file__).resolve().parents[2])]
    try:
        revision = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN_REVISION
    return f"{revision}+changes" if changed.strip() else revision
