"""Download one weights file from its official address, check it and put it in place."""

import argparse
import http.client
import json
import logging
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from workflow_scripts.errors import UserError, run_entry_point
from workflow_scripts.extraction.networks import verify_sha256
from workflow_scripts.store.atomic import atomic_path

log = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 20
TIMEOUT_S = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weight", required=True, type=json.loads, help="entry of config/weights.yaml as JSON")
    parser.add_argument("--out", required=True, type=Path, help="where the file goes")
    args = parser.parse_args()
    weight = args.weight
    log.info("%s (licence: %s)", weight["url"], weight["licence"])
    with atomic_path(args.out) as temporary:
        download(weight["url"], temporary, weight["size"], args.out)
        remedy = "nothing was kept; run again, or correct the entry if the publisher replaced the file"
        verify_sha256(temporary, weight["sha256"], weight["url"], remedy)


def download(url: str, path: Path, size: int | None, final: Path) -> None:
    """Download with a progress bar.

    Raises
    ------
    UserError
        the address cannot be reached, or the connection broke; says where to put the file by hand
    """
    try:
        with (
            urllib.request.urlopen(url, timeout=TIMEOUT_S) as source,
            path.open("wb") as sink,
            tqdm(total=size, unit="B", unit_scale=True, desc=final.name, mininterval=1) as bar,
        ):
            while block := source.read(BLOCK_BYTES):
                sink.write(block)
                bar.update(len(block))
            announced = source.headers.get("Content-Length")
            if announced is not None and sink.tell() != int(announced):
                raise ConnectionError(f"the connection broke after {sink.tell()} of {announced} bytes")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise UserError(
            f"cannot download {url}: {error}. Without internet, fetch the file elsewhere and put it at {final}"
        ) from error


if __name__ == "__main__":
    run_entry_point(main)
