import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from study.reports.plots import style, trial
from study.training.metrics import Evaluation

NAN = float("nan")
CURVES = {
    "loss": [1.0, 0.5, 0.25],
    "val_loss": [0.9, 0.6, 0.7],
    "accuracy": [0.5, 0.75, 0.875],
    "val_accuracy": [0.6, 0.7, 0.65],
}


def lines(axes) -> dict[str, tuple[list, list]]:
    """The x and y of each line that the legend could name."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def pixels(png: bytes) -> np.ndarray:
    return imread(io.BytesIO(png))[..., :3]


def evaluation(confusion) -> Evaluation:
    confusion = np.asarray(confusion)
    return Evaluation(0.0, float(np.trace(confusion) / confusion.sum()), confusion)


@pytest.mark.parametrize("draw, numbers, width, height", [
    (trial.learning_curves, (CURVES, 2), 1000, 400),
    (trial.step_losses, (np.linspace(2, 1, 60), 20), 1000, 400),
    (trial.confusion_matrices, ({"test": evaluation(np.eye(3, dtype=int))},), 560, 560),
    (trial.confusion_matrices, (dict.fromkeys("ab", evaluation(np.eye(3, dtype=int))),), 1120, 560),
])  # fmt: skip
def test_a_figure_becomes_a_png_with_something_on_white(draw, numbers, width, height):
    image = pixels(draw(*numbers, "title").png())
    assert image.shape == (height, width, 3)
    assert image[0, 0].tolist() == [1, 1, 1]
    assert image.std() > 0.02


LONG = {name: [0.01, *values, NAN, 0.3] for name, values in CURVES.items()}
NOTHING = {name: [NAN] for name in CURVES}
TWO_LINES = "a title that has words enough for two lines " * 4


@pytest.mark.parametrize("draw, one, others", [
    (trial.learning_curves, (CURVES, 2, "one"),
     [(CURVES, 1, "$other"), (LONG, 4, "other"), (CURVES, 3, TWO_LINES), (NOTHING, 1, "nothing")]),
    (trial.step_losses, (np.linspace(2, 1, 60), 20, "one"),
     [(np.linspace(0, 1, 60), 20, "linear"), (np.linspace(900, 1, 61), 10, "other"), (np.full(3, NAN), 1, "nothing"),
      (np.linspace(3, 1, 60), 20, "looks", [(10, 4.0), (20, 0.1)])]),
    (trial.confusion_matrices, ({"test": evaluation(np.eye(3, dtype=int))}, "one"),
     [({"test": evaluation([[7, 1, 0], [0, 9, 0], [2, 2, 2]])}, "other"), ({"test": evaluation(np.eye(30))}, "many"),
      ({"test": evaluation(np.eye(3, dtype=int))}, "names", ("a", "b", "c" * 40))]),
])  # fmt: skip
def test_a_picture_does_not_depend_on_those_before_it_and_is_what_matplotlib_would_draw(draw, one, others):
    first = draw(*one).png()
    for other in others:
        assert draw(*other).png() != first
        assert draw(*one).png() == first
        whole = pixels(style.png(draw(*other).figure))
        np.testing.assert_array_equal(pixels(draw(*other).png()), whole)


# --- learning curves --------------------------------------------------------------------------------


def test_learning_curves_are_drawn_by_epoch_and_in_percent():
    figure = trial.learning_curves(CURVES, 2, "dropout=0.1 · seed 1").figure
    loss, accuracy = figure.axes
    assert figure.get_suptitle() == "dropout=0.1 · seed 1"
    best = ([2, 2], [0, 1])
    assert lines(loss) == {
        "training": ([1, 2, 3], CURVES["loss"]),
        "validation": ([1, 2, 3], CURVES["val_loss"]),
        "lowest val_loss: epoch 2": best,
    }
    assert lines(accuracy) == {
        "training": ([1, 2, 3], [50, 75, 87.5]),
        "validation": ([1, 2, 3], pytest.approx([60, 70, 65])),
        "lowest val_loss: epoch 2": best,
    }
    assert (loss.get_ylabel(), accuracy.get_ylabel(), loss.get_xlabel()) == ("loss (nats)", "accuracy (%)", "epoch")
    assert legend(figure) == ["training", "validation", "lowest val_loss: epoch 2"]


@pytest.mark.parametrize("epochs", [1, 2, 10, 25, 400])
def test_epochs_are_whole_and_few(epochs):
    figure = trial.learning_curves(dict.fromkeys(CURVES, [0.5] * epochs), 1, "t").figure
    for axes in figure.axes:
        ticks = [tick for tick in axes.get_xticks() if 1 <= tick <= epochs]
        assert 1 <= len(ticks) <= 10 and all(tick == int(tick) for tick in ticks)


def test_a_diverged_trial_can_be_drawn():
    pixels(trial.learning_curves(dict.fromkeys(CURVES, (0.5, NAN)), 1, "t").png())
    pixels(trial.step_losses(np.array([2.0, 1.0, np.inf, NAN]), 2, "t").png())
    pixels(trial.step_losses(np.full(3, NAN), 1, "t").png())


# --- confusion matrices -----------------------------------------------------------------------------


def cells(axes) -> np.ndarray:
    """The image of a matrix's cells, 100 pixels wide and high."""
    (artist,) = axes.artists
    return artist.pixels(100, 100)


def test_a_confusion_matrix_shows_counts_and_shades_shares():
    (axes,) = trial.confusion_matrices({"test": evaluation([[3, 1], [0, 1200]])}, "t").figure.axes
    assert axes.get_title() == "test: 99.92% of 1,204 right"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    image = cells(axes).astype(int)
    corners = image[[2, 2, 52, 52], [2, 52, 2, 52], 0]  # of the cells: more red is lighter
    assert corners[2] > corners[1] > corners[0] > corners[3]  # shares 0, 1/4, 3/4, 1
    numbered = [np.ptp(image[rows, columns, 0]) > 0 for rows in (slice(0, 50), slice(50, 100))
                for columns in (slice(0, 50), slice(50, 100))]  # fmt: skip
    assert numbered == [True, True, False, True]  # zeros are left out
    assert image[:50, :50, 0].max() > 200 > image[:50, 50:, 0].min()  # light on dark, dark on light


def test_each_split_has_a_matrix_of_its_own():
    evaluations = {"validation": evaluation([[2, 0], [0, 2]]), "test": evaluation([[1, 1], [1, 1]])}
    axes = trial.confusion_matrices(evaluations, "t").figure.axes
    assert [one.get_title() for one in axes] == ["validation: 100.00% of 4 right", "test: 50.00% of 4 right"]


@pytest.mark.parametrize(
    "classes, numbered, marked", [(20, True, 20), (21, False, 11), (100, False, 20), (997, False, 20)]
)
def test_many_classes_are_drawn_without_numbers_and_with_few_ticks(classes, numbered, marked):
    (axes,) = trial.confusion_matrices({"test": evaluation(np.eye(classes, dtype=int))}, "t").figure.axes
    assert (len({*map(tuple, cells(axes)[:5, :5].reshape(-1, 4))}) > 2) == numbered
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == marked


def test_classes_have_their_names_at_the_ticks():
    names = ("cat", "_dog", "a name that is much too long")
    (axes,) = trial.confusion_matrices({"test": evaluation(np.eye(3, dtype=int))}, "t", names).figure.axes
    shown = ["cat", " _dog", "a name that is …"]
    assert [text.get_text() for text in axes.get_xticklabels()] == shown
    assert [text.get_text() for text in axes.get_yticklabels()] == shown


def test_a_class_without_images_stays_white():
    (axes,) = trial.confusion_matrices({"test": evaluation([[3, 1], [0, 0]])}, "t").figure.axes
    assert len({*map(tuple, cells(axes)[50:].reshape(-1, 4))}) == 1


# --- the loss of every step -------------------------------------------------------------------------


def test_step_losses_have_their_moving_average_and_epochs():
    (axes,) = trial.step_losses(np.arange(1.0, 61.0), 20, "t").figure.axes
    drawn = lines(axes)
    assert drawn["each batch"] == (list(range(1, 61)), list(range(1, 61)))
    # A tenth of 20 steps are 2: at step 2 the mean of 1 and 2, at step 60 of 59 and 60.
    steps, average = drawn["mean of the last 2"]
    assert (steps[0], average[0], steps[-1], average[-1]) == (2, 1.5, 60, 59.5)
    (ends,) = axes.collections
    assert [segment[0][0] for segment in ends.get_segments()] == [20, 40]
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize("losses, steps_an_epoch", [([3.0, 2.0, 1.0], 1), ([2.0] * 19, 19), ([2.0], 100)])
def test_few_steps_have_no_moving_average(losses, steps_an_epoch):
    (axes,) = trial.step_losses(np.array(losses), steps_an_epoch, "t").figure.axes
    assert list(lines(axes)) == ["each batch"]


def test_a_loss_of_zero_keeps_the_scale_linear():
    (axes,) = trial.step_losses(np.array([1.0, 0.0, 2.0]), 3, "t").figure.axes
    assert axes.get_yscale() == "linear"


def test_a_long_training_is_thinned_out():
    (axes,) = trial.step_losses(np.linspace(2, 1, 100_000), 10_000, "t").figure.axes
    drawn = lines(axes)
    assert drawn["each batch"][0][:3] == [1, 26, 51]
    assert len(drawn["each batch"][0]) == 4_000
    steps, average = drawn["mean of the last 1000"]
    assert steps[0] == 1_000 and average[0] == pytest.approx(np.linspace(2, 1, 100_000)[:1_000].mean())
