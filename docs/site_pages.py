"""The pages of the site as they lie in the repository, so that links between them lead where they lead there."""

import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "config/README.md", "envs/README.md", "results/README.md")
"""Pages that do not lie in docs/."""
LINK = re.compile(r"\]\(([^)\s#]+)[^)\s]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take all pages and what they link to from the root of the repository; the theme's own files stay."""
    pages = [*OUTSIDE, *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    linked = {target for page in pages for target in linked_files(page)} - set(pages)
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for path in (*pages, *sorted(linked)):
        files.append(File(path, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def linked_files(page: str) -> set[str]:
    """Return the files of the repository that a page links to."""
    targets = LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    places = [(ROOT / PurePosixPath(page).parent / target).resolve() for target in targets if "://" not in target]
    return {place.relative_to(ROOT).as_posix() for place in places if place.is_file()}
