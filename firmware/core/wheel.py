"""Compiles the core when the package is built or installed; without a compiler, goes on without."""

from __future__ import annotations

import subprocess
from pathlib import Path
from sysconfig import get_platform
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "core/libmicrofed.so"


class CoreBuildHook(BuildHookInterface[Any]):
    """Runs `make` here; what it makes becomes a part of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the library and this machine's tag; or say what is missing and what it costs."""
        del version
        try:
            subprocess.run(["make", "-C", Path(__file__).parent], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(
                f"the C core was not compiled ({error}): devices will train in NumPy, slower"
            )
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{get_platform().replace('-', '_').replace('.', '_')}"
        build_data["artifacts"].append(LIBRARY)
