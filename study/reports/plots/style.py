"""The one style of all figures: colours, titles, axes and legends, and a figure as PNG or SVG.

Every panel has a title, units on its axes, and a legend below it, where it hides nothing.
"""

import contextlib
import io
import re
import textwrap
import warnings
from collections.abc import Iterator

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from study.base.text import readable

# Okabe & Ito (2008): eight colours that people with any colour vision can tell apart; yellow and black left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#8b949e"
LINES = ("-", "--", ":")
MARKERS = ("o", "s", "^", "D", "v", "P")
WIDTH, HEIGHT = 5.2, 3.2  # inches of a panel: narrow enough for a phone
LETTER, HANDLE = 0.075, 0.35  # inches of a legend's letter, and of what stands before its words
LONGEST = 48  # letters of a name
DPI = 100
COMPRESSION = 1  # every trial draws three pictures: the usual one would take longer than MLflow does
# The greys of an SVG, in the light and in the dark.
THEME = {"ink": ("#24292f", "#e6edf3"), "faint": ("#d0d7de", "#30363d"), "shade": ("#eceff2", "#1d232b")}
INK, FAINT, SHADE = (light for light, _ in THEME.values())


def literal(text: str) -> str:
    """Return text that matplotlib shows as it is: it would hide a label that begins with a stroke."""
    return (" " if text.startswith("_") else "") + readable(text)


def short(text: str) -> str:
    """Return a name as a figure shows it, the middle left out where it is long."""
    return literal(text if len(text) <= LONGEST else f"{text[: LONGEST - 12]}…{text[-11:]}")


def look(number: int) -> tuple[str, str, str]:
    """Return the colour, the line and the marker of the arm with this number; the first 18 differ."""
    line = LINES[number // len(COLOURS) % len(LINES)]
    return COLOURS[number % len(COLOURS)], line, MARKERS[number % len(MARKERS)]


def titled(title: str, width: float = WIDTH, height: float = HEIGHT, **margins: float) -> Figure:
    """Return an empty figure of this size in inches; a long title wraps and makes it higher.

    With `margins`, as `subplots_adjust` takes them, the axes' places are fixed: measuring takes as long as drawing.
    """
    lines = wrapped(title, width)
    size = width, height + 0.2 * lines.count("\n")
    figure = Figure(figsize=size, layout=None if margins else "constrained")
    if margins:
        figure.subplots_adjust(**margins)
    figure.set_label(title)
    top = 1 - 0.05 / size[1] if margins else None
    figure.suptitle(lines, x=0.01, y=top, ha="left", fontsize=11, color=INK)
    return figure


def wrapped(title: str, width: float) -> str:
    """Return a figure's title in as many lines as it takes in a figure of this width in inches."""
    return literal(textwrap.fill(title, round(12 * width)))


def panel(title: str, xlabel: str, ylabel: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes."""
    figure = titled(title, height=height)
    axes = figure.subplots()
    finish(axes, xlabel, ylabel)
    return figure, axes


def finish(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Give axes their labels, their grid and their colours."""
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.tick_params(which="both", colors=INK)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color(INK)


def bare(axes: Axes) -> None:
    """Give axes, on which a picture is, a faint frame and no ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(FAINT)


def legend(figure: Figure) -> None:
    """Put the legend of the figure's first axes below it, in as many columns as fit, and make room for its lines."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    width = figure.get_figwidth()
    fitting = int(width / (LETTER * max(map(len, labels), default=0) + HANDLE))
    columns = max(1, min(fitting, round(2 * width / WIDTH)))
    figure.set_figheight(figure.get_figheight() + 0.16 * max(0, -(-len(labels) // columns) - 2))
    figure.legend(
        handles,
        labels,
        loc="outside lower center" if figure.get_layout_engine() else "lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        labelspacing=0.25,
    )


def whole_numbers(axes: Axes) -> None:
    """Let the horizontal axis have ticks at whole numbers only: there is no epoch 1.5."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def log_scale(axes: Axes, which: str) -> None:
    """Make an axis logarithmic, with ticks at 1, 2 and 5 times the powers of ten, written out."""
    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    low, high = axis.get_data_interval()
    narrow = low > 0 and high / low < 200
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if value >= 1 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


@contextlib.contextmanager
def as_it_is(figure: Figure | None) -> Iterator[None]:
    """Let matplotlib show dollars as they are, in the figure's texts, if any, and in those that it makes meanwhile.

    What stands between two of them would be read as TeX, and an arm's name that is no TeX would cost the report.
    Nothing is said of a script that the font does not have.
    """
    for text in figure.findobj(Text) if figure else ():
        text.set_parse_math(False)
    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file's bytes."""
    buffer = io.BytesIO()
    with as_it_is(figure):
        figure.savefig(buffer, format="png", dpi=DPI, pil_kwargs={"compress_level": COMPRESSION})
    return buffer.getvalue()


def svg(figure: Figure) -> str:
    """Return the figure as an SVG element: no background, text as text, greys that follow the reader's colours.

    It can stand in a page as it is, or alone in a file.
    """
    buffer = io.StringIO()
    as_text = matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "study"})
    with as_text, as_it_is(figure):  # a script that the font does not have is the reader's browser's
        warnings.filterwarnings("ignore", message="constrained_layout not applied")  # very long names
        figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # each would stand in a page as often as it has figures
    text = re.sub(r'style="[^"]*"', lambda style: _themed(style.group()), text)
    dark = "".join(f"--{name}: {colour};" for name, (_, colour) in THEME.items())
    return text.replace("</style>", f"@media screen and (prefers-color-scheme: dark) {{svg {{{dark}}}}}</style>", 1)


def _themed(style: str) -> str:
    style = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", style)
    style = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", style)
    for name, (light, _) in THEME.items():
        style = style.replace(light, f"var(--{name}, {light})")
    return style
