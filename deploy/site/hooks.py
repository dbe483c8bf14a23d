"""Takes pages into the site that lie beside what they describe, and leads links to where pages are there."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_REPOSITORY = Path(__file__).resolve().parents[2]
_DOCS = _REPOSITORY / "docs"
# Where a page lies in the repository, by its place in the site.
_TAKEN_IN = {
    "guides/envoy.md": "envoy/README.md",
    "guides/nginx.md": "nginx/README.md",
    "guides/traefik.md": "deploy/traefik/README.md",
    "guides/caddy.md": "deploy/caddy/README.md",
    "guides/haproxy.md": "deploy/haproxy/README.md",
    "guides/kubernetes.md": "deploy/kubernetes/README.md",
    "guides/systemd.md": "deploy/systemd/README.md",
    "guides/measuring.md": "benchmarks/README.md",
    "guides/changes.md": "CHANGELOG.md",
}
_IN_SITE = {home: place for place, home in _TAKEN_IN.items()}
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
_CODE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List what the configuration doesn't: all decisions, and pages that nobody gave a place yet."""
    assert config.nav is not None
    listed = set(re.findall(r"'([^']*\.md)'", repr(config.nav)))
    written = {file.relative_to(_DOCS).as_posix() for file in _DOCS.rglob("*.md")}
    rest = sorted(written - listed - set(_decisions()))
    about = config.nav[-1]["About"]
    about += [*rest, {"Decisions": ["decisions/index.md", *_decisions()]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere, and the one that a link to the folder of decisions leads to."""
    for place, home in _TAKEN_IN.items():
        text = (_REPOSITORY / home).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=text))
    titles = "\n".join(f"- [{_title(name)}]({posixpath.basename(name)})" for name in _decisions())
    files.append(File.generated(config, "decisions/index.md", content=f"# Decisions\n\n{titles}"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links from where the page lies to where pages are in the site; one to no page becomes its text."""
    place = page.file.src_uri
    home = _TAKEN_IN.get(place, f"docs/{place}")

    def led(link: re.Match[str]) -> str:
        text, path, anchor = link["text"], link["path"], link["anchor"] or ""
        if not path or re.match(r"[a-z]+:", path):
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(home), path))
        if path.endswith("/"):
            target = f"{target}/index.md"
        in_site = _IN_SITE.get(target) or target.removeprefix("docs/")
        if target not in _IN_SITE and not target.startswith("docs/"):
            return text
        return f"[{text}]({posixpath.relpath(in_site, posixpath.dirname(place) or '.')}{anchor})"

    parts = _CODE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(led, part) for part in parts)


def _decisions() -> list[str]:
    return sorted(f"decisions/{file.name}" for file in (_DOCS / "decisions").glob("*.md"))


def _title(name: str) -> str:
    return (_DOCS / name).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
