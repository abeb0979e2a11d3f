"""TensorFlow and Keras, imported without their chatter and held to one thread.

One trial runs on one core: two processes of one thread did twice the work of one, while threads inside one
process sometimes run one after the other. And one thread adds floating-point numbers up in one order, which
makes a trial's result the same bits each time.
"""

import tempfile
from pathlib import Path

from study.base.startup import hush, stderr_without_chatter, use_tensorflow

hush()
use_tensorflow()
with stderr_without_chatter():
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.list_logical_devices("CPU")  # looks for GPUs, and complains where there is none

if keras.config.backend() != "tensorflow":  # a notebook had imported Keras before
    raise ImportError(f"Keras runs on {keras.config.backend()} in this process; set KERAS_BACKEND=tensorflow first")
# A person's keras.json may say otherwise, and results would depend on it.
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")

__all__ = ["from_bytes", "keras", "tf"]


def from_bytes(content: bytes) -> keras.Model:
    """Return the model of a ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:  # Keras reads from paths only
        path = Path(folder, "model.keras")
        path.write_bytes(content)
        return keras.models.load_model(path, compile=False)
