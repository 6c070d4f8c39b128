"""List the tools that are run by hand."""

import argparse
import ast
import re
from pathlib import Path

CODE = Path(__file__).resolve().parent
BY_RULE = re.compile(r"python -m workflow_scripts\.(\w+)")


def tools() -> dict[str, str]:
    """Return name and summary of every entry point that no rule runs."""
    rules = [CODE.parent / "Snakefile", *(CODE.parent / "rules").glob("*.smk")]
    by_rule = {name for path in rules for name in BY_RULE.findall(path.read_text(encoding="utf-8"))}
    paths = [path for path in sorted(CODE.glob("*.py")) if path.stem not in by_rule and path.stem[0] != "_"]
    return {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in paths}


def main() -> None:
    found = tools()
    width = max(map(len, found))
    parser = argparse.ArgumentParser(
        prog="python -m workflow_scripts",
        usage="python -m workflow_scripts.<tool> [--help]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Tools that are run by hand:\n\n"
        + "\n".join(f"  {name:<{width}}  {summary.splitlines()[0]}" for name, summary in found.items()),
        epilog="Everything else in workflow_scripts is run by a rule: ask snakemake for the file that you want.",
    )
    parser.parse_args()
    parser.print_help()


if __name__ == "__main__":
    main()
