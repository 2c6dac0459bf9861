"""TensorFlow, Keras 2 and the model optimisation toolkit, started once and quietly.

Every other module of this folder takes them from here:

    from pipeline.tf import keras, tf, tfmot
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Read when TensorFlow's libraries are loaded, so before the imports below.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors of the C++ side only
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # tf.keras is Keras 2, as tfmot needs


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what native code writes to stderr; show it only if the body fails.

    TensorFlow's libraries log before and beside their own log level, straight
    to file descriptor 2, and their imports warn of their own old idioms.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as aside, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


with quiet():
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras as keras

    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()

__all__ = ["keras", "quiet", "tf", "tfmot"]
