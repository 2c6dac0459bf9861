"""The one error of this folder."""

from __future__ import annotations


class BuildError(Exception):
    """A model cannot be built as asked, or the file that came out is not what was asked for.

    The message says which stage or setting, what was found and what is allowed.
    """
