"""What can be wrong with a model file: two errors that say where."""

from __future__ import annotations


class ModelError(Exception):
    """The bytes are not a model this project can read, or do not fit what is asked of them."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what


class UnsupportedModel(ModelError):  # noqa: N818 - it reads as what it says
    """The model is well formed, but uses something that the caller cannot do.

    `operator` is its name in the schema ("CONV_2D"), `index` its place in
    execution order, `tensors` the names of what it reads and writes.
    """

    def __init__(self, operator: str, index: int, tensors: tuple[str, ...], what: str) -> None:
        named = ", ".join(repr(name) for name in tensors if name)
        super().__init__(f"operator {index} {operator}" + (f" ({named})" if named else ""), what)
        self.operator = operator
        self.index = index
        self.tensors = tensors
