"""Write resolved settings next to the results they lead to."""

import argparse
import json
from pathlib import Path

from workflow_scripts.errors import run_entry_point
from workflow_scripts.store.atomic import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", required=True, type=json.loads, help="the settings, one JSON object")
    parser.add_argument("--out", required=True, type=Path, help="file to write")
    args = parser.parse_args()
    write_json(args.out, args.json)


if __name__ == "__main__":
    run_entry_point(main)
