"""What a page refers to."""

import base64
import re
from html.parser import HTMLParser


class References(HTMLParser):
    """Collects what a page refers to, its downloads and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.downloads: dict[str, str] = {}
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag == "img":
            self.images.append(values)
        if values.get("download"):
            self.downloads[str(values["download"])] = str(values["href"])

    def handle_data(self, data: str) -> None:
        self.text += data


def check_self_contained(page: str, beside: tuple[str, ...] = ()) -> None:
    """Check that a page refers to nothing but itself, and to pages that lie beside it."""
    found = References(page)
    outside = [each[:60] for each in found.references if each not in beside and not each.startswith(("data:", "#"))]
    assert not outside
    assert not {"link", "iframe", "object"} & set(found.tags)
    scripts = "".join(re.findall(r"<script>(.*?)</script>", page, re.DOTALL))
    assert not re.search(r"fetch\(|import |XMLHttpRequest", scripts)
    assert not re.search(r"url\(|@import", page)
    for image in found.images:
        kind, _, content = str(image["src"]).partition(",")
        if "png" in kind:  # points refer to nothing
            continue
        svg = base64.b64decode(content).decode()
        assert not re.findall(r'(?:href|src)="(?!#|data:)[^"]+"', svg)
