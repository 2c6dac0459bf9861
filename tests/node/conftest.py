"""The node's C, compiled for this machine as one library."""

import ctypes

import pytest

from firmware.host import HostCompiler
from firmware.qemu import CORE, HERE, NoToolError

NODE = HERE / "node"
CHECKED = ("-O1", "-g", "-fsanitize=undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="session")
def node(tmp_path_factory) -> ctypes.CDLL:
    """Every function of firmware/node/src and of the core, undefined behaviour an error."""
    out = tmp_path_factory.mktemp("node") / "libnode.so"
    flags = (*CHECKED, f"-I{NODE / 'include'}", f"-I{NODE / 'src'}")
    core = [p for f in ("codec", "train") for p in sorted((CORE / "src" / f).glob("*.c"))]
    sources = [*sorted((NODE / "src").glob("*.c")), *core, CORE / "src/paths/portable.c"]
    try:
        HostCompiler(flags=flags).run("-shared", *sources, "-lm", "-o", out)
    except NoToolError as error:
        pytest.skip(str(error))
    return ctypes.CDLL(str(out))
