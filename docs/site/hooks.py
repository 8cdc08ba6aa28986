"""Pages of the documentation that are made of what the code declares, added to those that stand in `docs`.

mkdocs calls `on_config` and `on_files`; each module beside this one makes the pages of one part of the site.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import algorithm_pages
import reference_pages
import result_pages
import task_pages
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
PICTURES = tempfile.TemporaryDirectory(prefix="offmap-pictures-")
SECTIONS = {
    "Tasks": task_pages.navigation,
    "Algorithms": algorithm_pages.navigation,
    "Reference": reference_pages.navigation,
}


def on_config(config: Any) -> Any:
    """Put the made pages into the navigation, behind those that a section has."""
    for section in config.nav:
        ((title, entries),) = section.items()
        if title in SECTIONS:
            entries += SECTIONS[title]()
    config.nav.append({"Changes": [{"Changes": "changes.md"}, {"Contributing": "contributing.md"}]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the made pages and the pictures of splits."""
    made = task_pages.pages() | algorithm_pages.pages() | result_pages.pages() | reference_pages.pages()
    made |= {"changes.md": _beside_docs("CHANGELOG.md"), "contributing.md": _beside_docs("CONTRIBUTING.md")}
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    for name, path in task_pages.pictures(Path(PICTURES.name)).items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def _beside_docs(name: str) -> str:
    """A file of the root as a page: its links into `docs` are links beside it."""
    return (ROOT / name).read_text().replace("](docs/", "](")
