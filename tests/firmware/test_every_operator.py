"""The tests of the core's operators once more, on compiled C.

A C compiler takes longer to start than to compile one of these models, so all are compiled
together: the tests are called once to learn which files they have, and then they run.
"""

import ctypes
import inspect
import re
from zlib import crc32

import numpy as np
import pytest

from firmware.compiler.compile import compile_model
from firmware.host import batch
from tests.core.test_int8_layers import *  # noqa: F403 - every test of it is meant
from tests.core.test_int8_operators import *  # noqa: F403
from tests.firmware.conftest import COMPILERS
from tflite_models.errors import ModelError

HEADERS = '#include <stddef.h>\n#include <string.h>\n#include "microfed/layers.h"\n'


@pytest.fixture(scope="module")
def libraries(request, kernels, tmp_path_factory):
    """(compiled models and errors by the files' checksums, for each path a library of all)."""
    models, refused = {}, {}

    def learn(file, x=None):
        del x
        try:
            models[crc32(file)] = compile_model(file, f"case_{crc32(file):08x}")
        except ModelError as error:
            refused[crc32(file)] = error

    for item in request.session.items:
        if item.module is request.module:
            known = {"same_as_oracle": learn, "all_codes": learn} | getattr(
                getattr(item, "callspec", None), "params", {}
            )
            item.obj(**{name: known[name] for name in inspect.signature(item.obj).parameters})
    folder = tmp_path_factory.mktemp("together")
    (folder / "all.c").write_text(HEADERS + "".join(map(with_own_names, models.values())))
    loaded = {}
    for name, compiler in COMPILERS.items():
        library = folder / f"{name}.so"
        compiler.run("-O0", "-shared", folder / "all.c", kernels[name], "-o", library)
        loaded[name] = ctypes.CDLL(str(library))
    return models, refused, loaded


def with_own_names(compiled):
    """The C of one model, to be compiled behind that of others."""
    files = compiled.files
    text = "".join(files[f] for f in ("model.h", "weights.h", "model.c", "weights.c"))
    text = re.sub(r'#include "(model|weights)\.h"', "", text + batch(compiled))
    layers = [layer.name for layer in compiled.network.layers]
    own = {"arena", "run_batch", *layers, *(f"{x}_filter" for x in layers)}
    # a name, and not the field of a struct that is called the same
    return re.sub(rf"(?<!\.)\b({'|'.join(sorted(own))})\b", rf"{compiled.name}_\1", text)


@pytest.fixture
def run_compiled(libraries):
    """As in conftest.py, of models that are compiled already."""
    models, refused, loaded = libraries

    def run(file, x):
        if crc32(file) in refused:
            raise refused[crc32(file)]
        network = models[crc32(file)].network
        target = network.tensors[network.output]
        x, found = np.ascontiguousarray(x), {}
        for name, library in loaded.items():
            y = np.empty((len(x), *target.shape), np.dtype(target.dtype))
            call = library[f"case_{crc32(file):08x}_run_batch"]
            call.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)
            call(x.ctypes.data, y.ctypes.data, len(x))
            found[name] = y
        return found

    return run
