import numpy as np
import pytest

from study.base.errors import DataError
from study.inference import novelty
from study.inference.novelty import BLANK, DOUBTFUL, FAINT, HEAVY, OFF_CENTRE, UNLIKE, Reference


@pytest.fixture(scope="module")
def reference(digits) -> Reference:
    return novelty.fit(digits.train.inputs, digits.train.labels)


@pytest.fixture(scope="module")
def of_mnist(mnist) -> Reference:
    return novelty.fit(mnist.train.inputs, mnist.train.labels)


def flagged(reference, images) -> float:
    return np.mean(novelty.score(reference, np.asarray(images, np.uint8))[0] >= DOUBTFUL)


def shifted(images, down, right):
    moved = np.zeros_like(images)
    height, width = images.shape[1:]
    moved[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = images[
        :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return moved


def test_held_out_digits_have_doubts_of_every_size_and_few_have_reasons(reference, digits):
    doubts, reasons = novelty.score(reference, digits.test.inputs)
    assert doubts.shape == (len(digits.test),)
    assert 0.3 < np.median(doubts) < 0.7
    assert np.mean(doubts >= DOUBTFUL) < 0.05
    assert [bool(reason) for reason in reasons] == (doubts >= DOUBTFUL).tolist()


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.zeros((28, 28)), BLANK),
        (np.full((28, 28), 7), BLANK),
        (np.pad(np.full((2, 2), 255), 13), FAINT),
        (np.full((28, 28), 250), HEAVY),
        (np.pad(np.full((10, 10), 255), ((0, 18), (0, 18))), OFF_CENTRE),
        (np.indices((28, 28)).sum(axis=0) % 2 * 255, UNLIKE),
    ],
)
def test_reasons_say_what_is_odd(reference, picture, reason):
    doubts, reasons = novelty.score(reference, picture[None].astype(np.uint8))
    assert (doubts[0], reasons) == (pytest.approx(1), [reason])


def test_what_is_no_digit_is_doubted(reference, digits):
    rng = np.random.default_rng(1)
    assert flagged(reference, rng.integers(0, 256, (50, 28, 28))) == 1
    assert flagged(reference, 255 - digits.test.inputs[:50]) == 1
    assert flagged(reference, [np.full((28, 28), grey) for grey in range(0, 256, 5)]) == 1


def test_reference_survives_its_bytes(reference, digits):
    content = reference.to_bytes()
    again = Reference.from_bytes(content)
    assert len(content) < 500_000
    for name, values in vars(reference).items():
        np.testing.assert_array_equal(getattr(again, name), values)
    # Not to the last bit: BLAS adds up in another order from call to call.
    first, second = (novelty.score(one, digits.test.inputs[:20])[0] for one in (reference, again))
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_score_of_an_image_does_not_depend_on_the_others(reference, digits):
    images = digits.test.inputs[:30]
    together, _ = novelty.score(reference, images)
    alone = [novelty.score(reference, image[None])[0][0] for image in images]
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_no_images_have_no_doubts(reference):
    doubts, reasons = novelty.score(reference, np.zeros((0, 28, 28), np.uint8))
    assert (len(doubts), reasons) == (0, [])


def test_images_of_another_size_are_refused(reference):
    with pytest.raises(DataError, match=r"another size .*expected \(n, 28, 28\), got \(1, 8, 8\)"):
        novelty.score(reference, np.zeros((1, 8, 8), np.uint8))


def test_few_images_make_a_reference_too(few_digits):
    reference = novelty.fit(few_digits.train.inputs, few_digits.train.labels)
    assert flagged(reference, few_digits.test.inputs) < 0.2
    with pytest.raises(DataError, match="too few images"):
        novelty.fit(few_digits.train.inputs[:10], few_digits.train.labels[:10])


def test_images_need_not_be_square():
    images = np.random.default_rng(1).integers(0, 256, (40, 12, 20)).astype(np.uint8)
    reference = novelty.fit(images, np.zeros(40, int))
    assert novelty.score(reference, images)[0].shape == (40,)


def test_of_mnists_test_images_at_most_two_in_a_hundred_are_doubted(of_mnist, mnist):
    assert flagged(of_mnist, mnist.test.inputs) < 0.02
    assert len(of_mnist.to_bytes()) < 500_000


def test_beside_mnist_nearly_all_is_doubted(of_mnist, mnist):
    rng, images = np.random.default_rng(1), mnist.test.inputs[:1_000]
    others = {
        "noise": rng.integers(0, 256, (500, 28, 28)),
        "sparse noise": (rng.random((500, 28, 28)) < 0.15) * 255,
        "grey": [np.full((28, 28), grey) for grey in range(256)],
        "inverted": 255 - images,
        "shuffled pixels": images.reshape(-1, 784)[:, rng.permutation(784)].reshape(-1, 28, 28),
        **{f"shifted {by}": shifted(images, *by) for by in ((8, 0), (-8, 0), (0, 8), (0, -8), (8, 8))},
    }
    rates = {name: flagged(of_mnist, pictures) for name, pictures in others.items()}
    assert min(rates.values()) > 0.99, rates


def test_letters_that_look_like_no_digit_are_mostly_doubted(of_mnist):
    # Drawn as MNIST draws digits. An O, l, S or Z is a digit to everybody.
    assert flagged(of_mnist, [letter(one) for one in "ACEFHKLMNPRTUVWXYaehkmnruvwx"]) > 0.7


def letter(text: str) -> np.ndarray:
    from PIL import Image, ImageDraw, ImageFont

    from study.inference import preprocessing

    picture = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(picture).text((100, 100), text, font=ImageFont.load_default(120), fill=0, anchor="mm")
    return preprocessing.normalize(np.asarray(picture, np.float32))
