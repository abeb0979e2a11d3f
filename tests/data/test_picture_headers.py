import io
import re

import numpy as np
import pytest
from factories import hostile_pictures as hostile
from factories.hostile_pictures import blank, file_of, noise
from PIL import Image

from study.data import picture_headers, pictures
from study.data.picture_headers import DRAFT_SIDE, MOST_WORK, PER_PICTURE, ImageError, draft_scale, read_header
from study.inference import preprocessing

KINDS = {
    "PNG": ({},), "JPEG": ({}, {"progressive": True}), "GIF": ({},), "BMP": ({},), "WEBP": ({}, {"lossless": True}),
}  # fmt: skip
CASES = [(kind, options) for kind, several in KINDS.items() for options in several]


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_header_has_the_size_that_pillow_opens(kind, options, mode):
    image = noise(40, "RGBA").resize((41, 57)).convert("RGB" if kind == "JPEG" else mode)
    header = read_header(file_of(image, kind, **options))
    assert (header.width, header.height) == (41, 57)
    assert header.work >= 41 * 57 + PER_PICTURE


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_picture_counts(kind):
    frames = [noise(40, "RGB", seed) for seed in range(20)]
    header = read_header(file_of(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert (header.width, header.height) == (40, 40)
    assert header.work < 2 * read_header(file_of(frames[0], kind)).work


def test_work_grows_with_scans_transparency_and_texts():
    plain = read_header(blank(1_000, "JPEG")).work
    assert read_header(blank(1_000, "JPEG", progressive=True)).work > plain
    assert read_header(hostile.many_scans(1_000, 9_000)).work > 8 * 1_000**2
    opaque, transparent = (read_header(blank(1_000, "PNG", mode)).work for mode in ("RGB", "RGBA"))
    assert transparent - opaque == 1_000**2
    assert read_header(hostile.many_texts(9)).work >= 9 * picture_headers.PER_TEXT


def test_scans_of_a_thumbnail_do_not_count():
    exif = Image.Exif()
    exif[0x010E] = "the thumbnail: " + 50 * "\x7f\x7f"
    content = file_of(noise(60, "RGB"), "JPEG", exif=exif).replace(b"\x7f\x7f", b"\xff\xda")
    assert content.count(b"\xff\xda") > 50
    assert read_header(content).work < 60 * 60 * 2 + 2 * PER_PICTURE


def test_scans_count_as_often_as_libjpeg_reads_them():
    for count in (1, 2, 5):
        content = blank(200, "JPEG", progressive=True)
        last = content.rindex(b"\xff\xda")
        # Fill bytes, and a restart marker that stands where none belongs, hide no scan.
        scan = b"\xff\xff" + content[last:-2] + b"\xff\xd3"
        repeated = content[:last] + content[last:-2] + scan * count + b"\xff\xd9"
        more = read_header(repeated).work - read_header(content).work
        assert more == pytest.approx(count * 200 * 200 / picture_headers.SCANS, rel=0.1, abs=2_000)
        Image.open(io.BytesIO(repeated)).load()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (hostile.many_scans(2_000, 30_000), "too much work for one picture; expected scans, transparency and parts "
         r"worth at most 60,000,000 pixels, got [\d,]+\."),
        (hostile.many_texts(700), "too much work for one picture"),
        (hostile.many_blocks(20_000), "too many parts in one file; expected at most 10,000 chunks, segments or scans."),
        (hostile.larger_inside(5_200), r"too many pixels; expected at most 25,000,000, got 5200 × 5200\."),
        (hostile.runs(4_900), "too much work for one picture"),
        (blank(70, "PNG").replace(b"\0\0\0F\0\0\0F", b"\0\1\0\0\0\0\0F"), "too long a side; .* 65,535 pixels, got 655"),
        (blank(70, "JPEG").replace(b"\xff\xc0", b"\xff\xc9"), "an uncommon kind of JPEG; expected a baseline or prog"),
        (blank(70, "JPEG")[:150], "a damaged or incomplete picture"),
        (b"RIFF\1\1\1\1WAVEfmt " + bytes(40), "a damaged or incomplete picture"),
    ],
    ids=["scans", "texts", "blocks", "larger inside", "runs", "long", "arithmetic", "broken off", "a sound"],
)  # fmt: skip
def test_what_is_too_much_is_refused_before_it_is_decoded(content, sentence, monkeypatch):
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(ImageError, match=f"^{sentence}") as refused:
        preprocessing.read(content)
    assert "\n" not in str(refused.value)


def test_a_header_that_pillow_reads_otherwise_is_damaged(monkeypatch):
    other = picture_headers.Header(20, 20, PER_PICTURE)
    monkeypatch.setattr(pictures, "read_header", lambda content, where: other)
    with pytest.raises(ImageError, match="damaged"):
        preprocessing.read(blank(30, "PNG"))


def test_what_pictures_of_telephones_and_screens_need_is_allowed():
    for width, height, scans in ((4_032, 3_024, 1), (4_000, 3_000, 10), (5_000, 5_000, 10)):
        pixels = width * height
        assert pixels // draft_scale(width, height) ** 2 + pixels * scans // picture_headers.SCANS < MOST_WORK / 1.5
    assert 2 * 3_840 * 2_160 + PER_PICTURE < MOST_WORK  # a screen, with transparency
    assert 256 * (280 * 280 + PER_PICTURE) < MOST_WORK  # a batch of drawings


def test_only_very_large_jpegs_are_decoded_smaller():
    assert [draft_scale(*size) for size in ((3_999, 5_000), (4_000, 4_000), (8_000, 8_100), (10, 10))] == [1, 2, 4, 1]
    drawn = np.full((4_000, 4_000), 235, np.uint8)
    drawn[600:3_400, 1_800:2_200] = 30
    drawn[600:1_000, 1_300:2_200] = 30
    large, exact = (file_of(Image.fromarray(drawn), kind, **options) for kind, options in
                    (("JPEG", {"quality": 90}), ("PNG", {"compress_level": 1})))  # fmt: skip
    assert preprocessing.decode(large).shape == (DRAFT_SIDE, DRAFT_SIDE)
    digits = [preprocessing.read(content).astype(int) for content in (large, exact)]
    assert np.abs(digits[0] - digits[1]).max() < 40 and np.corrcoef(digits[0].ravel(), digits[1].ravel())[0, 1] > 0.999


def test_cut_and_mutated_headers_are_refused_in_one_line_or_read():
    rng = np.random.default_rng(3)
    sources = [file_of(noise(20, "RGB"), kind, **options) for kind, options in CASES]
    for number in range(3_000):
        content = bytearray(sources[number % len(sources)])
        for _ in range(rng.integers(1, 6)):
            content[rng.integers(min(len(content), 700))] = rng.integers(256)
        if number % 3 == 0:
            del content[rng.integers(len(content)) :]
        try:
            read_header(bytes(content))
        except ImageError as failure:
            assert re.fullmatch(r"[^\n]{5,200}\.", str(failure))
