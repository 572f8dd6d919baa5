"""Check that pages load nothing from other hosts: ``python docs/check_pages.py build/html``.

Links that a reader may click are allowed; scripts, styles, pictures, fonts and frames must lie beside the pages.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

OUTSIDE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"(?:url\(\s*|@import\s+)['\"]?((?:https?:)?//[^'\")\s]*)", re.IGNORECASE)


class Loaded(HTMLParser):
    """Collects what a page loads from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "srcset", "data", "poster", "style") + (("href",) if tag in ("link", "image", "use") else ())
        for name, value in attrs:
            if name not in names or dict(attrs).get("rel") == "canonical":
                continue
            if OUTSIDE.match(value or "") or IN_STYLE.search(value or ""):
                self.found.append(f"<{tag} {name}={value}>")


def main(folder: Path) -> int:
    """Print each resource of another host. Returns the exit status."""
    pages, found = sorted(folder.rglob("*.html")), []
    for path in pages:
        page = Loaded()
        text = path.read_text(encoding="utf-8")
        page.feed(text)
        inline = [url for style in re.findall(r"<style.*?</style>", text, re.DOTALL) for url in IN_STYLE.findall(style)]
        found += [f"{path}: {item}" for item in [*page.found, *inline]]
    for path in folder.rglob("*.css"):
        found += [f"{path}: {url}" for url in IN_STYLE.findall(path.read_text(encoding="utf-8"))]
    print("\n".join(found) or f"{len(pages)} pages load nothing from other hosts")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
