"""A document of headings, paragraphs, tables and pictures, as Markdown with files beside it and as one HTML file."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from markdown_it import MarkdownIt

from study.reports.plots import style

FIGURES = "figures"

STYLE = """
:root { color-scheme: light dark; --ink: #24292f; --faint: #d0d7de; --shade: #eceff2; --paper: #ffffff; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --faint: #30363d; --shade: #1d232b; --paper: #0d1117; }
  .plot .scatterlayer .trace { opacity: .9 !important; } /* what is faint on white cannot be seen here */
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, "Segoe UI", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 1rem 0 .6rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid var(--faint); padding-bottom: .25rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, li { max-width: 46rem; }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 4px solid #d55e00; background: var(--shade); }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--faint); white-space: nowrap; vertical-align: top; }
th { vertical-align: bottom; white-space: normal; }
td[style*="left"] { white-space: normal; min-width: 7rem; }
td[style*="left"] + td[style*="left"]:last-child { overflow-wrap: anywhere; min-width: 10rem; }
tbody tr:hover { background: var(--shade); }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1rem;
  margin: 1rem 0; align-items: start; }
figure { margin: 0; min-width: 0; break-inside: avoid; }
figure svg { width: 100%; height: auto; display: block; max-width: 36rem; }
svg image { image-rendering: pixelated; }
figcaption { font-size: .95rem; margin: 0 0 .3rem; }
.paper { display: none; }
.live { overflow-x: auto; }
.still .paper { display: block; }
.still .plot, .still figcaption { display: none; }
/* Plotly writes its colours into each element; these follow the reader's. */
.plot svg { max-width: none; }
.plot svg text { fill: var(--ink) !important; text-shadow: 0 0 3px var(--paper), 0 0 2px var(--paper) !important; }
.plot .hoverlayer text { fill: #ffffff !important; text-shadow: none !important; }
.plot .gridlayer path { stroke: var(--faint) !important; }
.plot .parcoords .domain { stroke: #8b949e !important; }
pre { background: var(--shade); padding: .7rem .9rem; overflow-x: auto; border-radius: 6px; }
code { font: .88em/1.5 ui-monospace, "SF Mono", Consolas, monospace; overflow-wrap: anywhere; }
pre code { overflow-wrap: normal; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .pictures { grid-template-columns: 1fr 1fr; }
  .wide { overflow: visible; }
  .plot, figcaption { display: none; }
  .paper { display: block; }
  th, td { white-space: normal; padding: .2rem .45rem; }
  h2, h3 { break-after: avoid; }
  pre { white-space: pre-wrap; }
}
"""


@dataclass(frozen=True)
class Interactive:
    """A figure that answers to the pointer: its title, its HTML, and the picture for where there is no pointer."""

    title: str
    html: str
    picture: style.Figure


class Document:
    """Collects a document's parts in their order; text is Markdown, what comes from people goes through `plain`."""

    def __init__(self, title: str):
        self.title = title
        self.pictures: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._interactive: dict[str, Interactive] = {}
        self._library = ""
        self.files: dict[str, str] = {}  # that are to lie beside it
        self._parts = [f"# {plain(title)}"]

    def heading(self, text: str, level: int = 2) -> None:
        """Begin a section."""
        self._parts.append(f"{'#' * level} {plain(text)}")

    def text(self, *paragraphs: str) -> None:
        """Add paragraphs of Markdown."""
        self._parts += paragraphs

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[str] = ()) -> None:
        """Add a table of plain texts; the first column and those named in `words` are words, the others numbers."""
        rules = [":---" if name in (header[0], *words) else "---:" for name in header]
        lines = [map(plain, header), rules, *(map(_cell, row) for row in rows)]
        self._parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))

    def figures(self, drawn: Mapping[str, style.Figure]) -> None:
        """Add pictures, by name, beside one another where there is room; each is described by its label."""
        lines = []
        for name, figure in drawn.items():
            self.pictures[name], self._labels[name] = style.svg(figure), figure.get_label()
            lines.append(f"![{plain(figure.get_label())}]({FIGURES}/{name}.svg)")
        self._parts.append("\n".join(lines))

    def interactive(self, drawn: Mapping[str, Interactive], library: str) -> None:
        """Add figures, by name, that the page's reader can point at; on paper and in Markdown they are pictures.

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
        reader.renderer.rules["image"] = self._inline
        body = reader.render(self.markdown())
        body = re.sub(r"<p>(<figure.*?</figure>)</p>", r'<div class="pictures">\1</div>', body, flags=re.S)
        body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>{STYLE}</style>\n{self._head()}</head>\n"
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

    def _inline(self, tokens, index, options, environment) -> str:
        name = tokens[index].attrs["src"].removeprefix(f"{FIGURES}/").removesuffix(".svg")
        label = escape(self._labels[name])
        picture = self.pictures[name].replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
        if not (live := self._interactive.get(name)):
            return f"<figure>{picture}</figure>"
        # What the pointer cannot reach is not drawn twice: the style shows one of the two.
        return (
            f'<figure class="live"><figcaption>{escape(live.title)}</figcaption>{live.html}'
            f'<div class="paper">{picture}</div></figure>'
        )


def _cell(text: str) -> str:
    return plain(f"−{text[1:]}" if re.match(r"-[\d.]", text) else text)


def plain(text: str) -> str:
    """Return text in which Markdown finds no marks of its own."""
    # An underscore between letters or digits marks nothing.
    text = re.sub(r"([\\`*\[\]<>|#~&!]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", " ".join(str(text).split()))
    return re.sub(r"^(\d{0,9})([-+.)])(?=[\s-]|$)", r"\1\\\2", text)  # of a list or a rule
