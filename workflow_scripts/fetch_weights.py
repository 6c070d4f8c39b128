"""Download one weights file from its official address, check it and put it in place."""

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.fetching.command_line import fetch_from_command_line


def main() -> None:
    fetch_from_command_line(__doc__)


if __name__ == "__main__":
    run_entry_point(main)
