"""The one error of this folder: what is wrong with the data, and where."""

from __future__ import annotations


class DataError(Exception):
    """Data that is missing, malformed, or cannot be divided as asked.

    The message names the file or setting, what was found, and what is allowed;
    it is meant to be shown to a person as it stands.
    """
