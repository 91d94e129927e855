"""Every relative link and every anchor of README and the manual leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

_CODE = re.compile(r"^```.*?^```\s*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```\s*$", re.MULTILINE | re.DOTALL)
_WITH_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def links_of(text: str) -> list[str]:
    """Return the targets of all links and pictures outside of code."""
    return _LINK.findall(_CODE.sub("", text))


def anchors_of(text: str) -> set[str]:
    """Return the anchors that GitHub makes from a page's headings."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCED.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        unique, count = slug, 0
        while unique in found:
            count += 1
            unique = f"{slug}-{count}"
        found.add(unique)
    return found


def problem_with(link: str, page: Path) -> str:
    """Return what is wrong with a link of a page; empty if it leads somewhere."""
    if _WITH_SCHEME.match(link):
        return "" if link.startswith("https://") else "an address that is not https"
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.is_relative_to(ROOT):
        return "leads out of the repository"
    if not target.exists():
        return "does not exist"
    if anchor and target.suffix == ".md" and anchor not in anchors_of(target.read_text("utf-8")):
        return f"has no heading '#{anchor}'"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Files exist inside the repository, and anchors are headings of them."""
    text = page.read_text(encoding="utf-8")
    found = {link: problem_with(link, page) for link in links_of(text)}
    broken = {link: problem for link, problem in found.items() if problem}
    assert not broken


def test_every_page_is_reachable() -> None:
    """Following links from README reaches every page of the manual."""
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or not page.is_file():
            continue
        seen.add(page)
        for link in links_of(page.read_text(encoding="utf-8")):
            name = link.partition("#")[0]
            if name.endswith(".md") and not _WITH_SCHEME.match(link):
                waiting.append((page.parent / name).resolve())
    lost = {str(page.relative_to(ROOT)) for page in PAGES} - {
        str(page.relative_to(ROOT)) for page in seen
    }
    assert not lost, f"no link leads to {sorted(lost)}"


def test_examples_are_listed() -> None:
    """Every recipe and network below examples is linked from its README."""
    folder = ROOT / "examples"
    listed = {(folder / link).resolve() for link in links_of((folder / "README.md").read_text())}
    there = {p for kind in ("*.toml", "*.py", "*.onnx") for p in folder.rglob(kind)}
    lost = sorted(str(path.relative_to(folder)) for path in there - listed)
    assert not lost


def test_named_places_exist() -> None:
    """Every file and folder that the architecture page names in code is there."""
    text = _FENCED.sub("", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    named = re.findall(r"`([\w/]+(?:\.py|/))`", text)
    assert len(named) > 20
    bases = (ROOT, ROOT / "core" / "src" / "nibblefit")
    lost = [name for name in named if not any((base / name).exists() for base in bases)]
    assert not lost


def test_finder_sees_what_readers_see() -> None:
    """Links in code are no links; anchors follow the rules of the site that shows the pages."""
    code = "```text\n# no\n[no](no.md)\n```\n"
    text = f"# A `b` c: d!\n[x](y.md#z) `[no](no.md)`\n{code}## Two\n## Two\n"
    assert links_of(text) == ["y.md#z"]
    assert anchors_of(text) == {"a-b-c-d", "two", "two-1"}
    page = ROOT / "README.md"
    assert problem_with("docs/no-such-page.md", page)
    assert problem_with("#no-such-heading", page)
    assert problem_with("http://example.invalid", page)
    assert not problem_with("LICENSE", page)
