"""Figures that are kept and drawn again with other numbers, so that a trial's pictures take a quarter of the time."""

import struct
import zlib
from collections.abc import Hashable, Iterable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from study.reports.plots import style


class Kept:
    """A figure whose `changing` artists are drawn anew each time, upon a picture of everything else.

    Making axes, ticks and texts is what costs in matplotlib, not the lines. Whoever changes one of the other artists
    changes `fixed`, too, and then everything is drawn. The figure is an ordinary one: `style.png` draws the same.
    """

    def __init__(self, figure: Figure, changing: Iterable[Artist]):
        self.figure = figure
        self.title = figure.texts[0]  # of one that `style.titled` made
        self.fixed: Hashable = None
        self._changing = sorted(changing, key=lambda artist: artist.get_zorder())
        self._canvas = FigureCanvasAgg(figure)
        self._drawn: Hashable = ...  # `fixed` when the background was drawn
        figure.set_dpi(style.DPI)

    def png(self) -> bytes:
        """Return the figure as a PNG file's bytes."""
        anew = self._drawn != self.fixed
        with style.as_it_is(self.figure if anew else None):
            if anew:
                self._draw_background()
            self._canvas.restore_region(self._background)
            renderer = self._canvas.get_renderer()
            for artist in self._changing:
                artist.draw(renderer)
        return encoded(np.asarray(self._canvas.buffer_rgba())[..., :3])

    def _draw_background(self) -> None:
        shown = [artist for artist in self._changing if artist.get_visible()]
        for artist in shown:
            artist.set_visible(False)
        self._canvas.draw()
        for artist in shown:
            artist.set_visible(True)
        self._background = self._canvas.copy_from_bbox(self.figure.bbox)
        self._drawn = self.fixed


def encoded(pixels: np.ndarray) -> bytes:
    """Return an image (height, width, 3) of uint8 as a PNG file's bytes.

    Pillow tries five filters on every row, which takes twice as long as all the rest; curves on white need none.
    """
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter: 0
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits of RGB, not interlaced
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), style.COMPRESSION)), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
