"""A document of headings, paragraphs, tables and pictures, as Markdown with files beside it and as one HTML file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

from study.base.text import in_one_line
from study.reports.markdown import plain
from study.reports.plots import style
from study.reports.table import Table

FIGURES = "figures"
STYLE = Path(__file__).with_name("report.css")


@dataclass(frozen=True)
class Interactive:
    """A figure that answers to the pointer: its title, its HTML, and the picture for paper and Markdown."""

    title: str
    html: str
    picture: style.Figure


class Document:
    """A document's parts in their order. Text is Markdown; text of people has to go through `plain`."""

    def __init__(self, title: str):
        self.title = in_one_line(title)
        self.pictures: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._interactive: dict[str, Interactive] = {}
        self._library = ""
        self.files: dict[str, str] = {}  # further files beside the page
        self._parts = [f"# {plain(title)}"]

    def heading(self, text: str, level: int = 2) -> None:
        """Begin a section."""
        self._parts.append(f"{'#' * level} {plain(text)}")

    def text(self, *paragraphs: str) -> None:
        """Add paragraphs of Markdown."""
        self._parts += paragraphs

    def table(self, table: Table) -> None:
        """Add a table."""
        self._parts.append(table.markdown())

    def figures(self, drawn: Mapping[str, style.Figure]) -> None:
        """Add pictures by name, side by side if there is room; a picture's label describes it."""
        lines = []
        for name, figure in drawn.items():
            self.pictures[name], self._labels[name] = style.svg(figure), str(figure.get_label())
            lines.append(f"![{plain(self._labels[name])}]({FIGURES}/{name}.svg)")
        self._parts.append("\n".join(lines))

    def interactive(self, drawn: Mapping[str, Interactive], library: str) -> None:
        """Add figures by name that answer to the pointer; on paper and in Markdown they are pictures.

        `library` is the JavaScript that they call; the page has it once.
        """
        self._library = library
        self._interactive |= drawn
        self.figures({name: figure.picture for name, figure in drawn.items()})

    def markdown(self) -> str:
        """Return the document as Markdown, its pictures as links into the folder ``figures``."""
        return "\n\n".join(self._parts) + "\n"

    def html(self) -> str:
        """Return the document as one HTML page that needs no other file and no network."""
        reader = MarkdownIt("commonmark", {"html": False}).enable("table")
        reader.add_render_rule("image", lambda _, tokens, at, *rest: self._inline(str(tokens[at].attrs["src"])))
        body = reader.render(self.markdown())
        body = re.sub(r"<p>(<figure.*?</figure>)</p>", r'<div class="pictures">\1</div>', body, flags=re.S)
        body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
        style_sheet = STYLE.read_text(encoding="utf-8")
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>\n{style_sheet}</style>\n{self._head()}</head>\n"
            f"<body>\n{body}</body>\n</html>\n"
        )

    def written(self, name: str) -> dict[str, str]:
        """Return the document's files by their path: the page and the same as Markdown, called `name`, and pictures."""
        files = {f"{name}.html": self.html(), f"{name}.md": self.markdown()} | self.files
        return files | {f"{FIGURES}/{picture}.svg": content for picture, content in self.pictures.items()}

    def _head(self) -> str:
        if not self._library:
            return ""
        without = "<noscript><style>.plot, figcaption { display: none; } .paper { display: block; }</style></noscript>"
        return f"{without}\n<script>{self._library}</script>\n"

    def _inline(self, source: str) -> str:
        name = source.removeprefix(f"{FIGURES}/").removesuffix(".svg")
        label = escape(self._labels[name])
        picture = self.pictures[name].replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
        if not (live := self._interactive.get(name)):
            return f"<figure>{picture}</figure>"
        # The style sheet shows one of the two.
        return (
            f'<figure class="live"><figcaption>{escape(live.title)}</figcaption>{live.html}'
            f'<div class="paper">{picture}</div></figure>'
        )
