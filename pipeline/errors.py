"""The errors of this folder, by who can mend them."""

from __future__ import annotations


class BuildError(Exception):
    """A model cannot go this way: its training, its conversion, or its file is not supported.

    The message says which stage or setting, what was found and what is allowed.
    """


class ModelRefusedError(BuildError):
    """The settings ask for a network that cannot be built, or not on this data."""


class BudgetError(BuildError):
    """A file came out, and misses what was asked for."""
