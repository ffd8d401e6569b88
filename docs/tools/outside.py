"""Pages link to results, cards and pictures where they lie in the repository; the site gets copies of them.

A hook of mkdocs. A link that leaves docs/ (``../benchmarks/results/zoo.md``) must name a file that exists. Pages and
pictures are taken into the site under the same path; of anything else only the name is shown.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"(!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)]*)?\)")
SHOWN = {".md", ".png", ".jpg", ".svg"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A page that no section names stands under "More", so that none is lost."""
    named = set(re.findall(r"'([^']+\.md)'", str(config.nav)))
    more = sorted(page.name for page in Path(config.docs_dir).glob("*.md") if page.name not in named)
    if config.nav is not None and more:
        config.nav.append({"More": more})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what the pages link to outside docs/, and what those files link to in turn."""
    root = Path(config.config_file_path).parent
    waiting = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    while waiting:
        page = waiting.pop()
        for match in LINK.finditer(page.read_text(encoding="utf-8")):
            path = _target(page, match)
            if path is None or not path.is_file() or root / "docs" in path.parents or root not in path.parents:
                continue
            name = path.relative_to(root).as_posix()
            if path.suffix in SHOWN and files.get_file_from_path(name) is None:
                files.append(File(name, str(root), config.site_dir, config.use_directory_urls))
                waiting += [path] if path.suffix == ".md" else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that leave docs/ point to the copies; one to a file that is not there stops the build."""
    root = Path(config.config_file_path).parent
    here = Path(page.file.abs_src_path or "")

    def mended(match: re.Match[str]) -> str:
        path = _target(here, match)
        docs, up = root / "docs", "../" * page.file.src_uri.count("/")
        if path is None or (docs in path.parents and docs in here.parents):
            return match[0]
        if docs in path.parents:  # back from a page outside, such as SECURITY.md
            return f"{match[1]}[{match['text']}]({up}{path.relative_to(docs).as_posix()}{match['anchor'] or ''})"
        if not path.exists():
            raise PluginError(f"{page.file.src_uri}: link to {match['target']}; there is no such file")
        copy = files.get_file_from_path(path.relative_to(root).as_posix())
        if copy is None:  # code, a recipe, a folder: the site does not show it
            return f"{match['text']} (`{path.relative_to(root).as_posix()}`)"
        return f"{match[1]}[{match['text']}]({up}{copy.src_uri}{match['anchor'] or ''})"

    return LINK.sub(mended, markdown)


def _target(page: Path, match: re.Match[str]) -> Path | None:
    """The file a link names, None for addresses on the web."""
    if "://" in match["target"] or match["target"].startswith("mailto:"):
        return None
    return Path(page.parent, match["target"]).resolve()
