"""Pictures of trials and of studies: numbers in, matplotlib figures out; nothing is read or written here."""

import io
import re
import warnings

import matplotlib
from matplotlib.figure import Figure

# Okabe & Ito (2008): eight colours that people with any colour vision can tell apart; yellow and black left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DPI = 100
# The greys of an SVG, in the light and in the dark.
THEME = {"ink": ("#24292f", "#e6edf3"), "faint": ("#d0d7de", "#30363d"), "shade": ("#eceff2", "#1d232b")}
INK, FAINT, SHADE = (light for light, _ in THEME.values())


def literal(text: str) -> str:
    """Return text that matplotlib shows as it is."""
    # matplotlib takes what stands between dollars for mathematics, and hides a label that begins with a stroke.
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file's bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script that the font does not have
        # Every trial draws three pictures: the usual compression would take longer than MLflow does.
        figure.savefig(buffer, format="png", dpi=DPI, pil_kwargs={"compress_level": 1})
    return buffer.getvalue()


def svg(figure: Figure) -> str:
    """Return the figure as an SVG element: no background, text as text, greys that follow the reader's colours.

    It can stand in a page as it is, or alone in a file.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "study"}), warnings.catch_warnings():
        # A script that the font does not have is the reader's browser's; very long names may leave little room.
        warnings.filterwarnings("ignore", message="Glyph .* missing|constrained_layout not applied")
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
