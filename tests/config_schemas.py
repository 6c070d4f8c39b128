"""`config/schemas/*.schema.json` from the models that validate the configuration files."""

import argparse
import sys
from pathlib import Path

from workflow_scripts.lib.configuration.json_schemas import schema_texts

FOLDER = Path(__file__).resolve().parent.parent / "config" / "schemas"


def different() -> list[str]:
    """Return the names of the files that are missing, are left over or say something else than the models."""
    wanted = schema_texts()
    on_disk = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    return sorted(name for name in wanted | on_disk if wanted.get(name) != on_disk.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files instead of comparing them")
    names = different()
    if parser.parse_args().write:
        texts = schema_texts()
        FOLDER.mkdir(exist_ok=True)
        for name in names:
            if name in texts:
                (FOLDER / name).write_text(texts[name])
            else:
                (FOLDER / name).unlink()
    elif names:
        print(f"differ from the models: {', '.join(names)}; run `python -m tests.config_schemas --write`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
