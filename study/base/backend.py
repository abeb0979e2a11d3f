"""TensorFlow and Keras, imported without their chatter and held to one thread.

One trial runs on one core: two processes of one thread did twice the work of one, while threads inside one
process sometimes run one after the other. And one thread adds floating-point numbers up in one order, which
makes a trial's result the same bits each time.
"""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

from study.base import keras_file, xla_cache
from study.base.errors import TrackingError, first_line
from study.base.startup import hush, stderr_without_chatter, use_tensorflow, without_extras

hush()
use_tensorflow()
xla_cache.use()
with stderr_without_chatter(), without_extras():
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.list_logical_devices("CPU")  # looks for GPUs, and complains where there is none

if keras.config.backend() != "tensorflow":  # a notebook had imported Keras before
    raise ImportError(f"Keras runs on {keras.config.backend()} in this process; set KERAS_BACKEND=tensorflow first")
# Not what the person's keras.json says: the code, and so the fingerprint, decides in what precision is calculated.
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")

__all__ = ["from_bytes", "keras", "tf"]


def to_bytes(model: keras.Model) -> bytes:
    """Return a model's ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:  # Keras writes to paths only
        path = Path(folder, "model.keras")
        model.save(path)
        return path.read_bytes()


def from_bytes(
    content: bytes, where: object = "model.keras", custom_objects: Mapping[str, type] | None = None
) -> keras.Model:
    """Return the model of a ``.keras`` file; raises TrackingError unless it is whole and safe to open.

    `custom_objects` are the classes of layers that do not belong to Keras, by name. This is the only place that lets
    Keras open a file.
    """
    own = dict(custom_objects or {})
    left = keras_file.check(content, where, own)

    class Counted(keras.initializers.Initializer):  # type: ignore[misc]
        """Makes the weights of a layer that the file may hold, as zeros, and refuses a layer of more."""

        def __call__(self, shape: tuple[int, ...], dtype: object = None) -> tf.Tensor:
            nonlocal left
            left -= math.prod(shape)
            if left < 0:
                raise TrackingError("a model file that is not opened: a layer larger than its weights", where=where)
            return tf.zeros(shape, dtype)

    with tempfile.TemporaryDirectory() as folder:  # Keras reads from paths only
        path = Path(folder, "model.keras")
        path.write_bytes(keras_file.counted(content))
        try:
            objects = own | {keras_file.COUNTED: Counted}
            return keras.models.load_model(path, custom_objects=objects, compile=False, safe_mode=True)
        except TrackingError:
            raise
        except Exception as failure:  # Keras raises whatever its parts raise
            raise TrackingError(f"no model that Keras can open ({first_line(failure)})", where=where) from failure
