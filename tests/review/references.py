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


def check_self_contained(page: str) -> None:
    found = References(page)
    outside = [reference[:60] for reference in found.references if not reference.startswith(("data:", "#"))]
    assert not outside
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    assert not re.search(r"url\(|@import", page)
    for image in found.images:
        kind, _, content = str(image["src"]).partition(",")
        if "png" in kind:  # points refer to nothing
            continue
        svg = base64.b64decode(content).decode()
        assert not re.findall(r'(?:href|src)="(?!#)[^"]+"', svg)
