import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from study.base.errors import ConfigError
from study.inference import preprocessing, synthetic_digits
from study.inference.preprocessing import ImageError

PICTURES = sorted((Path(__file__).parents[1] / "pictures").glob("[0-9]_*"))
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")


def file_of(picture, kind: str = "PNG", **options) -> bytes:
    """Return an image, or an array of uint8, as a file's bytes."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.asarray(picture, np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def page(*boxes, shape=(120, 100), paper=240, ink=20) -> np.ndarray:
    """Return a page with rectangles (top, left, bottom, right) of ink."""
    picture = np.full(shape, paper, np.float32)
    for top, left, bottom, right in boxes:
        picture[top:bottom, left:right] = ink
    return picture


def box_of(digit: np.ndarray) -> tuple[int, int]:
    """Return height and width of all that is not zero."""
    return tuple(int(np.ptp(np.flatnonzero(digit.any(axis=axis)))) + 1 for axis in (1, 0))


def off_centre(digit: np.ndarray) -> float:
    return float(np.abs(np.array(ndimage.center_of_mass(digit)) - 14).max())


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two digits, laid over one another as well as a shift by one pixel can."""
    shifts = ((rows, columns) for rows in (-1, 0, 1) for columns in (-1, 0, 1))
    return max(np.corrcoef(np.roll(one, shift, (0, 1)).ravel(), other.ravel())[0, 1] for shift in shifts)


FOUR = page((10, 20, 60, 28), (52, 20, 60, 70), (20, 60, 110, 68))  # an upright 4, of bars


# --- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_luminance(kind):
    grey = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :], 48, axis=0)
    decoded = preprocessing.decode(file_of(grey, kind))
    assert (decoded.shape, decoded.dtype) == ((48, 64), np.float32)
    np.testing.assert_allclose(decoded, grey, atol=6 if kind in ("JPEG", "WEBP") else 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_gives_the_luminance(mode):
    grey = np.full((20, 20), 255, np.uint8)
    grey[5:15, 8:12] = 0
    image = Image.fromarray(grey).convert("RGB" if mode in ("P", "CMYK") else mode).convert(mode)
    decoded = preprocessing.decode(
        file_of(image, "JPEG" if mode == "CMYK" else "PNG", **({"quality": 95} if mode == "CMYK" else {}))
    )
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, grey, atol=8 if mode == "CMYK" else 0)


def test_sixteen_bits_are_not_cut_off():
    deep = np.array([[0, 257 * 128, 65535]] * 3, np.uint16)
    np.testing.assert_array_equal(preprocessing.decode(file_of(Image.fromarray(deep)))[0], [0, 128, 255])


def test_colours_are_weighed_as_the_eye_weighs_them():
    colours = np.zeros((3, 3, 3), np.uint8)
    colours[0, :, 0], colours[1, :, 1], colours[2, :, 2] = 255, 255, 255
    np.testing.assert_allclose(preprocessing.decode(file_of(colours))[:, 0], [76, 150, 29], atol=1)


@pytest.mark.parametrize(
    ("ink", "paper"), [((255, 230, 0), (255, 255, 255)), ((220, 40, 40), (60, 130, 70)), ((0, 0, 255), (76, 0, 0))]
)
def test_ink_as_light_as_its_paper_is_seen_by_its_colour(ink, paper):
    drawn = (FOUR < 100)[..., None]
    decoded = preprocessing.decode(file_of(np.where(drawn, ink, paper)))
    assert np.ptp(decoded) > 100
    np.testing.assert_array_equal(preprocessing.normalize(decoded), preprocessing.normalize(FOUR))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_turned_as_exif_says(orientation, kind):
    seen = np.zeros((32, 48), np.uint8)
    seen[:16, :16], seen[:16, 32:] = 250, 120
    # What the sensor held, from EXIF's words for where row 0 and column 0 of the scene are.
    held = {
        1: seen, 2: seen[:, ::-1], 3: seen[::-1, ::-1], 4: seen[::-1],
        5: seen.T, 6: np.rot90(seen), 7: np.rot90(seen, 2).T, 8: np.rot90(seen, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = preprocessing.decode(file_of(held, kind, exif=exif, **({"quality": 95} if kind != "PNG" else {})))
    np.testing.assert_allclose(decoded, seen, atol=25)
    assert np.abs(decoded - seen).mean() < 3


def test_damaged_exif_data_are_passed_over():
    decoded = preprocessing.decode(file_of(FOUR, "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff\x01"))
    np.testing.assert_array_equal(decoded, FOUR)


def test_of_an_animation_the_first_picture_is_read():
    first, second = (Image.fromarray(np.asarray(picture, np.uint8)) for picture in (FOUR, FOUR.T.copy()))
    second = second.resize(first.size)
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True})):
        content = file_of(first, kind, save_all=True, append_images=[second], **options)
        np.testing.assert_allclose(preprocessing.decode(content), FOUR, atol=1)


@pytest.mark.parametrize("shade", [0, 255])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_ink_on_nothing_is_laid_on_the_other_shade(shade, kind):
    drawn = FOUR < 100
    layers = np.dstack([np.full((*FOUR.shape, 3), shade), np.where(drawn, 255, 0)]).astype(np.uint8)
    decoded = preprocessing.decode(file_of(layers, kind, **({"lossless": True} if kind == "WEBP" else {})))
    np.testing.assert_array_equal(decoded, np.where(drawn, shade, 255 - shade))
    np.testing.assert_array_equal(preprocessing.normalize(decoded), preprocessing.normalize(FOUR))


def test_transparent_corners_of_a_card_become_paper():
    card = np.dstack([FOUR, FOUR, FOUR, np.full(FOUR.shape, 255)]).astype(np.uint8)
    card[:10, :10, 3] = card[-10:, -10:, 3] = 0
    card[:10, :10, :3] = 0
    np.testing.assert_array_equal(preprocessing.decode(file_of(card)), FOUR)


def test_a_picture_of_nothing_but_transparency_is_blank():
    assert preprocessing.read(file_of(np.zeros((30, 30, 4)))).max() == 0


def test_half_transparent_ink_lies_half_way():
    layers = np.zeros((9, 9, 4), np.uint8)
    layers[4, 4, 3], layers[4, 5, 3] = 255, 51
    assert preprocessing.decode(file_of(layers))[4, 3:7].tolist() == [255, 0, 204, 255]


# --- files that are none -----------------------------------------------------------------------------


def claims(width: int, height: int) -> bytes:
    """Return a PNG file of a few bytes whose header claims this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


WANTED = "expected a PNG, JPEG, GIF, BMP or WebP picture."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", f"an empty file; {WANTED}"),
        (b"<b>secret</b>" * 9, f"not a picture that can be read; {WANTED}"),
        (file_of(FOUR, "TIFF"), f"not a picture that can be read; {WANTED}"),
        (file_of(FOUR, "PPM"), f"not a picture that can be read; {WANTED}"),
        (file_of(FOUR, "PNG")[:90], f"a damaged or incomplete picture; {WANTED}"),
        (file_of(FOUR, "JPEG")[:-200], f"a damaged or incomplete picture; {WANTED}"),
        (b"\xff\xd8" + bytes(20_000_000), "too many bytes for one picture; expected at most 20 MB."),
        (claims(5_000, 5_001), "too many pixels; expected at most 25,000,000, got 5000 × 5001."),
        (claims(10_000, 10_000), "too many pixels; expected at most 25,000,000, got 10000 × 10000."),
        (claims(60_000, 60_000), "too many pixels; expected at most 25,000,000, got 60000 × 60000."),
        (claims(5_000, 5_000), f"a damaged or incomplete picture; {WANTED}"),
        (file_of(np.zeros((2, 9))), "too few pixels; expected at least 3 × 3, got 9 × 2."),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(content, sentence):
    with pytest.raises(ImageError) as caught:
        preprocessing.read(content)
    assert str(caught.value) == sentence


def test_a_files_error_names_the_file(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "none.png").touch()
    for path, sentence in [
        (tmp_path / "missing.png", f"no such file; {WANTED}"),
        (tmp_path, f"a folder; {WANTED}"),
        (tmp_path / "none.png", f"an empty file; {WANTED}"),
        (tmp_path / "text.png", f"not a picture that can be read; {WANTED}"),
        (tmp_path / "text.png" / "inside", "cannot be read (Not a directory)."),
    ]:
        with pytest.raises(ImageError) as caught:
            preprocessing.read_file(path)
        assert str(caught.value) == f"{path}: {sentence}"
    with pytest.raises(ImageError, match="cannot be read"):
        preprocessing.read_file("a\0b.png")


def test_a_file_is_read_by_its_content_not_its_name(tmp_path):
    (tmp_path / "four.txt").write_bytes(file_of(FOUR))
    np.testing.assert_array_equal(preprocessing.read_file(str(tmp_path / "four.txt")), preprocessing.normalize(FOUR))


def test_the_home_folder_may_be_written_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "four.png").write_bytes(file_of(FOUR))
    assert preprocessing.read_file("~/four.png").max() == 255


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_are_refused_or_read_and_nothing_else(kind):
    rng = np.random.default_rng(list(kind.encode()))
    whole = file_of(page((4, 6, 20, 9), shape=(24, 20)), kind)
    exif = Image.Exif()
    exif[0x0112] = 6
    sources = [
        whole,
        file_of(
            np.dstack([synthetic_digits.draw(3, 1)[::8, ::8]] * 3),
            kind,
            **({} if kind in ("GIF", "BMP") else {"exif": exif}),
        ),
    ]
    refused = 0
    for number in range(400):
        content = bytearray(sources[number % 2])
        if number % 5 == 0:
            del content[rng.integers(len(content)) :]
        elif number % 5 == 1:
            start = rng.integers(len(content))
            content[start : start + rng.integers(1, 40)] = rng.bytes(rng.integers(0, 40))
        else:
            for _ in range(rng.integers(1, 9)):
                content[rng.integers(len(content)) if number % 5 < 4 else rng.integers(64)] ^= 1 << rng.integers(8)
        try:
            digit = preprocessing.read(bytes(content))
        except ImageError as failure:
            refused += 1
            assert "\n" not in str(failure) and len(str(failure)) < 120
        else:
            assert (digit.shape, digit.dtype) == ((28, 28), np.uint8)
    assert refused > 20


def test_random_bytes_are_refused():
    rng = np.random.default_rng(1)
    starts = (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"RIFF\x99\0\0\0WEBPVP8 ")
    for number in range(300):
        with pytest.raises(ImageError):
            preprocessing.read(starts[number % len(starts)] + rng.bytes(rng.integers(0, 300)) or b"?")


# --- MNIST's form -----------------------------------------------------------------------------------


def test_the_box_is_scaled_into_twenty_with_its_aspect_kept():
    for height, width in ((80, 40), (40, 80), (60, 60)):
        frame = page((20, 10, 20 + height, 10 + width), paper=0, ink=255)
        frame[24 : 16 + height, 14 : 6 + width] = 0  # an outline, 4 pixels wide
        digit = preprocessing.normalize(frame)
        expected = [round(20 * side / max(height, width)) for side in (height, width)]
        assert np.abs(np.subtract(box_of(digit), expected)).max() <= 1
        assert max(box_of(digit)) == 20
        assert off_centre(digit) <= 0.51


def test_the_centre_of_mass_comes_to_the_middle():
    # A 7 of two bars has its mass above and to the right of its box's middle.
    seven = page((10, 20, 22, 80), (10, 68, 110, 80))
    digit = preprocessing.normalize(seven)
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    assert off_centre(digit) <= 0.51
    assert (rows[0] + rows[-1]) / 2 > 14 and (columns[0] + columns[-1]) / 2 < 14


def test_nothing_is_lost_where_the_mass_lies_at_one_end():
    # A club: nearly all of its mass in the first tenth of its length, so the middle of mass would push its end out.
    club = page((48, 10, 54, 190), (20, 10, 82, 40), shape=(100, 200))
    assert max(box_of(preprocessing.normalize(club))) == 20


def test_dark_on_light_and_light_on_dark_are_one():
    np.testing.assert_array_equal(preprocessing.normalize(FOUR), preprocessing.normalize(page(paper=20) + 240 - FOUR))
    assert preprocessing.normalize(FOUR).max() == 255


@pytest.mark.parametrize("ink", [20, 100, 180, 215])
def test_faint_ink_becomes_full_ink(ink):
    faint = np.where(FOUR < 100, ink, 240)
    np.testing.assert_allclose(preprocessing.normalize(faint).astype(int), preprocessing.normalize(FOUR), atol=2)


def test_place_and_size_on_the_page_make_no_difference():
    four = preprocessing.normalize(FOUR)
    moved = preprocessing.normalize(np.pad(FOUR, ((10, 80), (150, 20)), constant_values=240))
    twice = preprocessing.normalize(np.kron(FOUR, np.ones((2, 2))))
    assert alike(moved, four) > 0.9 and alike(twice, four) > 0.9


def test_strokes_come_near_mnists_width():
    for width in (2, 6, 16, 36):
        ring = np.hypot(*(np.mgrid[-150:150, -150:150] + 0.5))
        digit = preprocessing.normalize(np.where(np.abs(ring - 100) < width / 2, 0, 255))
        across = digit[14].astype(int).sum() / 255 / 2
        assert 2.0 < across < 3.8, width
        assert digit[13:15, 13:15].max() == 0


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_a_blank_page_is_all_zeros(level):
    for shape in ((3, 3), (28, 28), (200, 300)):
        blank = preprocessing.normalize(np.full(shape, level))
        assert (blank.shape, blank.dtype, blank.max()) == ((28, 28), np.uint8, 0)


def test_paper_alone_is_all_zeros():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:200j, -1:1:240j]
    light = 220 * (1 - 0.3 * x) * (1 - 0.2 * (x**2 + y**2))
    assert preprocessing.normalize(light).max() == 0
    assert preprocessing.normalize(light + rng.normal(0, 4, light.shape)).max() == 0


def test_shadow_slope_and_noise_change_little():
    rng = np.random.default_rng(0)
    four = np.kron(FOUR, np.ones((2, 2)))
    y, x = np.mgrid[-1 : 1 : four.shape[0] * 1j, -1 : 1 : four.shape[1] * 1j]
    light = (1 - 0.25 * x) * (1 - 0.2 * (x**2 + y**2)) / (1 + 0.5 / (1 + np.exp(-(y - 0.8 + 0.1 * x) / 0.02)))
    seen = np.clip(four * light + rng.normal(0, 4, four.shape), 0, 255)
    assert alike(preprocessing.normalize(seen), preprocessing.normalize(four)) > 0.9


def test_specks_and_lines_from_the_border_are_left_out():
    dirty = np.pad(FOUR, 60, constant_values=240)
    clean = preprocessing.normalize(dirty)
    dirty[5:8, 10:13] = dirty[200:202, 190:193] = 0
    dirty[:, 214:] = 90  # the edge of a table
    dirty[228:231] = 40  # a ruled line
    assert alike(preprocessing.normalize(dirty), clean) > 0.95


def test_a_digit_in_pieces_stays_whole():
    five = page((10, 20, 18, 80), (26, 20, 60, 28), (60, 20, 68, 80), (60, 72, 110, 80), (102, 20, 110, 80))
    apart = preprocessing.normalize(five)
    assert apart[4:8].max() > 200 and max(box_of(apart)) == 20


def test_a_digit_cut_close_is_read_all_the_same():
    close = FOUR[10:110, 20:70]
    assert alike(preprocessing.normalize(close), preprocessing.normalize(FOUR)) > 0.9


def test_large_pictures_are_read():
    large = np.full((3_000, 4_000), 230, np.float32)
    large[800:2_240, 1_400:2_600] = np.kron(FOUR, np.ones((12, 12)))
    assert alike(preprocessing.normalize(large), preprocessing.normalize(FOUR)) > 0.9


def test_mnists_own_form_passes_through():
    for label in range(10):
        digit = preprocessing.normalize(synthetic_digits.draw(label, 1))
        assert max(box_of(digit)) == 20 and off_centre(digit) <= 0.6
        np.testing.assert_array_equal(preprocessing.normalize(digit), digit)


def test_a_picture_is_not_changed_and_gives_the_same_again():
    four = FOUR.copy()
    np.testing.assert_array_equal(preprocessing.normalize(four), preprocessing.normalize(four.astype(np.uint8)))
    np.testing.assert_array_equal(four, FOUR)


@pytest.mark.parametrize("picture", [np.zeros(9), np.zeros((3, 3, 3)), np.zeros((0, 9)), np.full((9, 9), np.nan)])
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(ImageError, match="not a luminance picture"):
        preprocessing.normalize(picture)


def test_any_numbers_give_a_valid_digit():
    rng = np.random.default_rng(2)
    for number in range(200):
        height, width = rng.integers(1, (4, 300) if number % 3 == 0 else (60, 60))
        picture = rng.uniform(0, 255, (height, width))
        if number % 2:
            picture = np.where(ndimage.gaussian_filter(picture, rng.uniform(0, 4)) > 127, 255, rng.uniform(0, 250))
        digit = preprocessing.normalize(picture)
        assert (digit.shape, digit.dtype) == ((28, 28), np.uint8)
        assert digit.max() in (0, 255)


def naive_way(picture: np.ndarray) -> np.ndarray:
    """Return a luminance picture (h, w) shrunk to (28, 28) of uint8, and inverted if its border is light.

    Most programs do this; it is what `preprocessing.normalize` is compared with.
    """
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    small = np.asarray(
        Image.fromarray(np.asarray(picture, np.float32)).resize(
            (preprocessing.SIDE, preprocessing.SIDE), Image.Resampling.BOX
        )
    )
    return np.clip(np.rint(255 - small if border.mean() > 127 else small), 0, 255).astype(np.uint8)


def test_the_naive_way_squeezes_and_turns_over():
    picture = np.full((56, 56), 255.0)
    picture[20:22, 30:32] = 0
    small = naive_way(picture)
    assert small[10, 15] == 255 and small.sum() == 255
    np.testing.assert_array_equal(naive_way(255 - picture), small)


# --- drawings ---------------------------------------------------------------------------------------


def test_a_drawing_is_decided_by_its_seed():
    for label in range(10):
        drawing = synthetic_digits.draw(label, 7)
        assert (drawing.shape, drawing.dtype) == ((200, 200), np.uint8)
        np.testing.assert_array_equal(drawing, synthetic_digits.draw(label, 7))
        assert (drawing != synthetic_digits.draw(label, 8)).any()
        border = np.concatenate([drawing[0], drawing[-1], drawing[:, 0], drawing[:, -1]])
        assert border.min() == 245 and drawing.min() == 30


def test_there_are_ten_digits_to_draw():
    with pytest.raises(ConfigError, match="no such digit; expected 0 to 9, got 10"):
        synthetic_digits.draw(10, 1)


# --- kept pictures -----------------------------------------------------------------------------------


def test_the_kept_pictures_are_many_small_and_various():
    sizes = [path.stat().st_size for path in PICTURES]
    assert len(sizes) >= 70 and max(sizes) < 15_000 and sum(sizes) < 500_000
    assert {path.name[0] for path in PICTURES} == set("0123456789")
    assert {path.suffix for path in PICTURES} == {".png", ".jpg", ".gif", ".bmp", ".webp"}


def test_the_kept_pictures_come_into_mnists_form():
    for path in PICTURES:
        digit = preprocessing.read_file(path)
        assert digit.max() == 255 and max(box_of(digit)) == 20, path.name
        assert off_centre(digit) <= 0.6, path.name


def test_mnist_passes_through(mnist):
    for image in mnist.test.inputs[:1_000]:
        np.testing.assert_array_equal(preprocessing.normalize(image), image)


@pytest.mark.slow
def test_a_network_reads_the_kept_pictures(mnist):
    from study.training import loop, network, program  # here, because the fast tests need not wait for TensorFlow
    from study.training.config import TrialConfig

    config = TrialConfig.parse({"hidden": "512", "dropout": 0.2, "epochs": 5, "batch_size": 64})
    model = network.build(config, network.Rows.of(mnist))
    model.set_weights(loop.train(config, mnist).weights)
    labels = np.array([int(path.name[0]) for path in PICTURES])
    contents = [path.read_bytes() for path in PICTURES]

    def right(digits) -> np.ndarray:
        return program.logits(model, np.stack(digits)).argmax(axis=1) == labels

    with_care, naive = (
        right([*map(preprocessing.read, contents)]),
        right([naive_way(preprocessing.decode(c)) for c in contents]),
    )
    wrong = ", ".join(path.name for path, hit in zip(PICTURES, with_care, strict=True) if not hit)
    print(f"\n{len(labels)} pictures: {with_care.mean():.1%} through read, {naive.mean():.1%} resized; wrong: {wrong}")
    assert with_care.mean() >= 0.9
    assert with_care.mean() > naive.mean()

    # MNIST's own test images as a drawing programme would show them: large, and dark on light.
    subset, truth = mnist.test.inputs[:1_000], mnist.test.labels[:1_000]
    shown = [255 - np.pad(np.kron(image, np.ones((6, 6), np.uint8)), 20) for image in subset]
    rates = [
        float((program.logits(model, np.stack(digits)).argmax(axis=1) == truth).mean())
        for digits in (
            subset,
            [preprocessing.normalize(image) for image in subset],
            [preprocessing.normalize(i) for i in shown],
        )
    ]
    print("1,000 MNIST images as they are, passed through, enlarged:", *(f"{rate:.1%}" for rate in rates))
    assert rates[1] > rates[0] - 0.005
    assert rates[2] > rates[0] - 0.015


def test_a_spot_that_thinning_leaves_nothing_of_is_no_ink():
    rows, columns = np.mgrid[:200, :200]
    for grey in range(150, 190, 5):
        picture = np.where((rows - 100) ** 2 + (columns - 100) ** 2 < 45**2, grey, 255).astype(np.uint8)
        picture[99:101, 99:101] = 0
        assert preprocessing.normalize(picture).shape == (28, 28)
