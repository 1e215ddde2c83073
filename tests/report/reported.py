"""Read the elements back out of a report."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = '</script><img src=x onerror="alert(1)"> {{ 7 * 7 }} & "quotes"'


class Page(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def gridded(page: Page) -> list[dict[str, str | None]]:
    """The images of the prompt x k grid."""
    return [image for image in page.every("img") if "loading" in image]
