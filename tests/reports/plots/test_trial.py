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


def pixels(figure: Figure) -> np.ndarray:
    return imread(io.BytesIO(style.png(figure)))


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
    image = pixels(draw(*numbers, "title"))
    assert image.shape[:2] == (height, width)
    assert image[0, 0, :3].tolist() == [1, 1, 1]
    assert image.std() > 0.02


def test_the_same_numbers_make_the_same_bytes():
    first, second = (style.png(trial.learning_curves(CURVES, 2, "t")) for _ in range(2))
    assert first == second


# --- learning curves --------------------------------------------------------------------------------


def test_learning_curves_are_drawn_by_epoch_and_in_percent():
    figure = trial.learning_curves(CURVES, 2, "dropout=0.1 · seed 1")
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
    figure = trial.learning_curves(dict.fromkeys(CURVES, [0.5] * epochs), 1, "t")
    for axes in figure.axes:
        ticks = [tick for tick in axes.get_xticks() if 1 <= tick <= epochs]
        assert 1 <= len(ticks) <= 10 and all(tick == int(tick) for tick in ticks)


def test_a_diverged_trial_can_be_drawn():
    pixels(trial.learning_curves(dict.fromkeys(CURVES, (0.5, NAN)), 1, "t"))
    pixels(trial.step_losses(np.array([2.0, 1.0, np.inf, NAN]), 2, "t"))
    pixels(trial.step_losses(np.full(3, NAN), 1, "t"))


# --- confusion matrices -----------------------------------------------------------------------------


def test_a_confusion_matrix_shows_counts_and_shades_shares():
    figure = trial.confusion_matrices({"test": evaluation([[3, 1], [0, 1200]])}, "t")
    (axes,) = figure.axes
    (image,) = axes.get_images()
    np.testing.assert_allclose(image.get_array() ** 2, [[0.75, 0.25], [0, 1]])
    # At column 1 of row 0 one image of class 0 that was taken for class 1; zeros are left out.
    assert {text.get_position(): text.get_text() for text in axes.texts} == {(0, 0): "3", (1, 0): "1", (1, 1): "1200"}
    assert {text.get_text(): text.get_color() for text in axes.texts} == {"3": "white", "1": "#24292e", "1200": "white"}
    assert axes.get_title() == "test: 99.92% of 1,204 right"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


def test_each_split_has_a_matrix_of_its_own():
    evaluations = {"validation": evaluation([[2, 0], [0, 2]]), "test": evaluation([[1, 1], [1, 1]])}
    figure = trial.confusion_matrices(evaluations, "t")
    assert [axes.get_title() for axes in figure.axes] == ["validation: 100.00% of 4 right", "test: 50.00% of 4 right"]


@pytest.mark.parametrize("classes, numbered", [(20, True), (21, False)])
def test_many_classes_are_drawn_without_numbers(classes, numbered):
    (axes,) = trial.confusion_matrices({"test": evaluation(np.eye(classes, dtype=int))}, "t").axes
    assert bool(axes.texts) == numbered


def test_a_class_without_images_stays_white():
    (axes,) = trial.confusion_matrices({"test": evaluation([[3, 1], [0, 0]])}, "t").axes
    assert axes.get_images()[0].get_array()[1].tolist() == [0, 0]


# --- the loss of every step -------------------------------------------------------------------------


def test_step_losses_have_their_moving_average_and_epochs():
    (axes,) = trial.step_losses(np.arange(1.0, 61.0), 20, "t").axes
    drawn = lines(axes)
    assert drawn["each batch"] == (list(range(1, 61)), list(range(1, 61)))
    # A tenth of 20 steps are 2: at step 2 the mean of 1 and 2, at step 60 of 59 and 60.
    steps, average = drawn["mean of the last 2"]
    assert (steps[0], average[0], steps[-1], average[-1]) == (2, 1.5, 60, 59.5)
    ends = [line.get_xdata()[0] for line in axes.get_lines() if line.get_label().startswith("_")]
    assert ends == [20, 40]
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize("losses, steps_an_epoch", [([3.0, 2.0, 1.0], 1), ([2.0] * 19, 19), ([2.0], 100)])
def test_few_steps_have_no_moving_average(losses, steps_an_epoch):
    (axes,) = trial.step_losses(np.array(losses), steps_an_epoch, "t").axes
    assert list(lines(axes)) == ["each batch"]


def test_a_loss_of_zero_keeps_the_scale_linear():
    (axes,) = trial.step_losses(np.array([1.0, 0.0, 2.0]), 3, "t").axes
    assert axes.get_yscale() == "linear"


def test_a_long_training_is_thinned_out():
    (axes,) = trial.step_losses(np.linspace(2, 1, 100_000), 10_000, "t").axes
    drawn = lines(axes)
    assert drawn["each batch"][0][:3] == [1, 26, 51]
    assert len(drawn["each batch"][0]) == 4_000
    steps, average = drawn["mean of the last 1000"]
    assert steps[0] == 1_000 and average[0] == pytest.approx(np.linspace(2, 1, 100_000)[:1_000].mean())
