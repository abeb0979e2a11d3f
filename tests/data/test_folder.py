import io
import os

import numpy as np
import pytest
from PIL import Image

from study.base.errors import StudyError
from study.data import memory
from study.data.dataset import load_dataset
from study.data.pictures import pixels
from study.data.split import TEST_BY_CLASS


@pytest.fixture
def folder(tmp_path):
    """A folder of six dark cats and nine light dogs: grey pictures of different sizes and forms."""
    root = tmp_path / "pets"
    for name, shade, count in (("cat", 40, 6), ("dog", 200, 9)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture = Image.new("L", (12 + number, 20), shade + number)
            picture.save(root / name / f"{number}.{'png' if number % 2 else 'bmp'}")
    return root


def message(*arguments, **settings) -> str:
    with pytest.raises(StudyError) as error:
        load_dataset(*map(str, arguments), **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_each_folder_is_a_class_in_the_order_of_the_names(folder):
    (folder / ".cache").mkdir()
    (folder / "cat" / ".DS_Store").write_bytes(b"x")
    dataset = load_dataset(str(folder), size="8x6")
    assert (dataset.name, dataset.kind, dataset.class_names, dataset.size) == ("pets", "pixels", ("cat", "dog"), "8x6")
    assert dataset.row_shape == (8, 6) and dataset.train.inputs.dtype == np.uint8
    assert dataset.test_split == TEST_BY_CLASS and np.bincount(dataset.test.labels).tolist() == [1, 2]
    shades = np.concatenate([dataset.pool.inputs[:, 0, 0], dataset.test.inputs[:, 0, 0]])
    assert sorted(shades.tolist()) == [*range(40, 46), *range(200, 209)]
    assert ((dataset.pool.inputs > 100).all(axis=(1, 2)) == dataset.pool.labels).all()
    assert load_dataset(str(folder), size="8x6").sha256 == dataset.sha256
    (folder / "cat").rename(folder / "fox")
    assert load_dataset(str(folder), size="8x6").sha256 != dataset.sha256


def test_one_picture_in_colour_makes_all_of_them_so(folder):
    Image.new("RGB", (9, 9), (10, 20, 30)).save(folder / "cat" / "9.png")
    dataset = load_dataset(str(folder), size="4x4")
    assert dataset.row_shape == (4, 4, 3)
    coloured = [image for image in (*dataset.pool.inputs, *dataset.test.inputs) if (image != image[..., :1]).any()]
    assert len(coloured) == 1 and coloured[0][0, 0].tolist() == [10, 20, 30]


def bytes_of(image: Image.Image, kind="PNG", **settings) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def test_pictures_of_every_kind_are_scaled_as_they_are_seen():
    upright = Image.fromarray(np.repeat([[0, 255]], 8, axis=0).repeat(4, axis=1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    turned = pixels(bytes_of(upright, "JPEG", exif=exif, quality=95), 2, 2)
    assert (turned[0] < 50).all() and (turned[1] > 205).all()
    assert pixels(bytes_of(Image.new("RGBA", (4, 4), (9, 9, 9, 0))), 2, 3).tolist() == [[255] * 3] * 2
    deep = Image.fromarray(np.full((4, 4), 257 * 77, np.uint16))
    assert pixels(bytes_of(deep), 3, 3).tolist() == [[77] * 3] * 3
    assert pixels(bytes_of(Image.new("1", (4, 4), 1)), 3, 3).tolist() == [[255] * 3] * 3
    assert pixels(bytes_of(Image.new("P", (4, 4), 0).convert("RGB")), 3, 3).shape == (3, 3)


def spoil(folder, kind):
    match kind:
        case "damaged":
            path = folder / "cat" / "1.png"
            path.write_bytes(path.read_bytes()[:45])
        case "text":
            (folder / "cat" / "notes.txt").write_text("of cats")
        case "empty file":
            (folder / "cat" / "a.png").touch()
        case "file beside":
            (folder / "LICENSE").write_text("free")
        case "empty class":
            (folder / "fox").mkdir()
        case "one class":
            (folder / "dog").rename(folder.parent / "dog")
        case "nothing":
            for name in ("cat", "dog"):
                (folder / name).rename(folder.parent / name)
        case "folder inside":
            (folder / "cat" / "wild").mkdir()
        case "loop":
            (folder / "all").symlink_to(folder, target_is_directory=True)
        case "link to itself":
            (folder / "cat" / "a.png").symlink_to(folder / "cat" / "a.png")
        case "pipe":
            os.mkfifo(folder / "cat" / "a.png")
        case "many pixels":
            content = bytearray((folder / "cat" / "1.png").read_bytes())
            content[16:24] = b"\x00\x00\xff\xff" * 2
            (folder / "cat" / "a.png").write_bytes(content)


FORM = "one folder of pictures for each class, and nothing else"
PICTURE = "expected a PNG, JPEG, GIF, BMP or WebP picture"


@pytest.mark.parametrize("kind, said", [
    ("damaged", f"{{0}}/cat/1.png: a damaged or incomplete picture; {PICTURE}."),
    ("text", f"{{0}}/cat/notes.txt: not a picture that can be read; {PICTURE}."),
    ("empty file", f"{{0}}/cat/a.png: an empty file; {PICTURE}."),
    ("file beside", f"{{0}}/LICENSE: not a folder; expected in {{0}}: {FORM}."),
    ("empty class", "{0}/fox: a class without pictures."),
    ("one class", "{0}: there is only one class; expected 2 to 1,000 classes, got the label cat alone."),
    ("nothing", f"{{0}}: the folder has no pictures; expected {FORM}."),
    ("folder inside", f"{{0}}/cat/wild: a folder inside a class; expected in {{0}}: {FORM}."),
    ("loop", "{0}/all: a link that leads back to where it lies."),
    ("link to itself", "{0}/cat/a.png: cannot be read (Too many levels of symbolic links)."),
    ("pipe", "{0}/cat/a.png: a pipe; expected a file."),
    ("many pixels", "{0}/cat/a.png: too many pixels; expected at most 25,000,000, got 65535 × 65535."),
])  # fmt: skip
def test_what_is_no_folder_of_pictures_is_refused(folder, kind, said):
    spoil(folder, kind)
    assert message(folder, size="4x4") == said.format(folder)


def test_more_pictures_than_the_memory_holds_are_refused_before_one_is_read(folder, monkeypatch):
    spoil(folder, "damaged")
    monkeypatch.setattr(memory, "memory_available", lambda: 10**7)
    assert message(folder, size="1024x512") == (
        f"{folder}: 15 pictures need more memory than is free; expected at most 0.01 GB, got 0.05 GB. "
        "A smaller size= needs less."
    )


def test_a_folder_needs_a_size_and_no_target(folder):
    assert message(folder).endswith("Say how large its pictures are to be: -P size=28x28.")
    assert message(folder, size="4x4", target="x") == f"{folder}: target=x has no effect with a folder."
