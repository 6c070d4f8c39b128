"""Where a file is asked for instead of at its official address.

Only the download itself goes there: recipes, keys and tables name the official address, so that another mirror makes
nothing anew. Small enough to be imported while the job graph is built.
"""

import re
from collections.abc import Mapping

from workflow_scripts.lib.errors import UserError

HUB = "https://huggingface.co"
ENDPOINT = "HF_ENDPOINT"
"""Variable by which the libraries of Hugging Face take another hub."""
ADDRESS = re.compile(r"(https?|file)://\S+")


def all_mirrors(configured: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the mirrors that were configured and that of the environment; the configuration wins.

    Parameters
    ----------
    configured : Mapping
        Beginning of official addresses -> what stands in its place.
    environment : Mapping
        Environment variables.

    Raises
    ------
    UserError
        `HF_ENDPOINT` is no address
    """
    endpoint = environment.get(ENDPOINT, "").strip()
    if endpoint and not ADDRESS.fullmatch(endpoint):
        raise UserError(f"{ENDPOINT}: {endpoint!r} is no address; it begins with https://, http:// or file://")
    stated = ({HUB: endpoint} if endpoint else {}) | {_bare(official): there for official, there in configured.items()}
    return {official: _bare(there) for official, there in stated.items()}


def mirror_of(url: str | None, mirrors: Mapping[str, str]) -> str | None:
    """Return the address of a file at the mirror with the longest fitting beginning, None if there is none.

    Parameters
    ----------
    url : str or None
        Official address.
    mirrors : Mapping
        As `all_mirrors` returns them.
    """
    fitting = [official for official in mirrors if url is not None and f"{url}/".startswith(f"{official}/")]
    if not fitting:
        return None
    official = max(fitting, key=len)
    address = mirrors[official] + url.removeprefix(official)
    return None if address == url else address


def _bare(address: str) -> str:
    """Return an address as it is written with or without a slash at its end."""
    return address.rstrip("/")
