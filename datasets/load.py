"""From a name to arrays: every data set as float32 samples, scaled for a network.

Layouts are (n, height, width, channels).  One-dimensional signals are written
as images of width 1, so that a 1-D network is an ordinary 2-D one and its
file holds no operator for the change of shape.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.catalog import SOURCES, path_of
from datasets.errors import DataError
from datasets.settings import DataSettings

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Dataset:
    """All samples of one data set; nothing is divided yet.

    Attributes:
        name: as in the settings.
        x: (n, height, width, channels) float32, of the order of 1.
        y: (n,) the class of each sample, an index into `classes`.
        classes: what each class is called.
        subject: (n,) who or what a sample was taken from; None where nobody knows.
        official_test: (n,) True where the authors of the data say "test"; None where they do not.
        source: where the data comes from.
        licence: under what terms.
    """

    name: str
    x: F32
    y: I32
    classes: tuple[str, ...]
    subject: I32 | None
    official_test: NDArray[np.bool_] | None
    source: str
    licence: str


def load(settings: DataSettings) -> Dataset:
    """Load the data set that the settings name.

    Raises:
        DataError: a file is missing or is not what it should be; the message says
            which file, what it is, and where it comes from.
    """
    if settings.name == "digits":
        return _digits()
    if settings.name.startswith("npz:"):
        return _own(Path(settings.name.removeprefix("npz:")).expanduser())
    path = path_of(settings.name)
    reader, needed = _READERS[settings.name]
    return reader(settings.name, _read(path, needed))


def scaled(x: NDArray[Any]) -> F32:
    """Integers as float32 in [-1, 1]: divided by the smallest range of whole bits that holds them.

    uint8 images give x/255, int8 windows x/127, 12-bit samples in an int16 x/4095,
    and 0..255 stored as int64 still x/255.  Booleans and floats stay as they are.

    >>> scaled(np.array([0, 51, 255]))
    array([0. , 0.2, 1. ], dtype=float32)
    """
    if x.dtype.kind not in "iu":
        return x.astype(np.float32)
    greatest = max(int(x.max()), -1 - int(x.min())) if x.size else 0
    return x.astype(np.float32) / np.float32(2 ** max(greatest.bit_length(), 1) - 1)


def _digits() -> Dataset:
    from sklearn.datasets import load_digits  # noqa: PLC0415  it takes a second to import

    x, y = load_digits(return_X_y=True)
    return Dataset(
        name="digits",
        x=(x.reshape(-1, 8, 8, 1) / 16).astype(np.float32),
        y=y.astype(np.int32),
        classes=tuple("0123456789"),
        subject=None,
        official_test=None,
        source="scikit-learn load_digits (UCI data set 80, Alpaydin and Kaynak 1998)",
        licence="CC BY 4.0",
    )


def _har(name: str, arrays: Arrays) -> Dataset:
    test_subjects = (2, 4, 9, 10, 12, 13, 18, 20, 24)
    return _dataset(
        name,
        x=arrays["x"][:, :, None, :] / np.float32(127),
        y=arrays["y"],
        classes=arrays["names"],
        subject=arrays["subject"],
        official_test=np.isin(arrays["subject"], test_subjects),
    )


def _images(name: str, arrays: Arrays) -> Dataset:
    train, test = arrays["y_train"], arrays["y_test"]
    x = np.concatenate([arrays["x_train"], arrays["x_test"]])
    return _dataset(
        name,
        x=x[..., None] / np.float32(255),
        y=np.concatenate([train, test]),
        classes=_FASHION if name == "fashion" else tuple("0123456789"),
        subject=None,
        official_test=np.arange(len(train) + len(test)) >= len(train),
    )


def _speech(name: str, arrays: Arrays) -> Dataset:
    return _dataset(
        name,
        x=arrays["x"][..., None] / np.float32(255),
        y=arrays["y"],
        classes=tuple("0123456789"),
        subject=arrays["speaker"],
        official_test=arrays["index"] < 5,
    )


def _cwru(name: str, arrays: Arrays) -> Dataset:
    # A healthy bearing is a hundredth as loud as a broken one: on one common scale int8
    # would leave it a few codes.  So each window is standardised, as a device can do too.
    x = arrays["x"].astype(np.float32)
    x = (x - x.mean(axis=1, keepdims=True)) / np.maximum(x.std(axis=1, keepdims=True), 1)
    return _dataset(
        name,
        x=np.clip(x / 4, -1, 1)[:, :, None, None],
        y=arrays["y"],
        classes=arrays["names"],
        subject=arrays["load"],
        official_test=None,
    )


def _own(path: Path) -> Dataset:
    """The user's own file: x (n, ...), y (n,) and, if present, subject (n,).

    x of shape (n, d) becomes (n, d, 1, 1), a signal; (n, h, w) becomes (n, h, w, 1),
    an image; a signal of several channels is (n, time, 1, channels).  `y` and `subject`
    may be numbers or text.  Integers in x are scaled as `scaled` says.
    """
    if not path.is_file():
        raise DataError(f"no file {path} (data.name = 'npz:{path}'): give the path of an .npz file")
    arrays = _read(path, ("x", "y"))
    x, y = arrays["x"], arrays["y"]
    if x.dtype.kind not in "iufb" or not 2 <= x.ndim <= 4 or x.size == 0:
        raise DataError(
            f"{path}: x is {x.dtype} of shape {x.shape}; "
            "allowed are numbers of shape (n, d), (n, h, w) or (n, h, w, channels), none empty"
        )
    for key in ("y", "subject"):
        if key in arrays and (
            arrays[key].shape != (len(x),) or arrays[key].dtype.kind not in "iuU"
        ):
            raise DataError(
                f"{path}: {key} is {arrays[key].dtype} of shape {arrays[key].shape}; "
                f"it must be integers or text of shape ({len(x)},), one per sample of x"
            )
    if x.dtype.kind == "f" and not (np.abs(x) < np.finfo(np.float32).max).all():
        raise DataError(f"{path}: x holds values that are not finite, or too large for float32")
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{path}: y holds the one class {classes[0]!r}; two or more are needed")
    subject = arrays.get("subject")
    trailing = {2: (1, 1), 3: (1,), 4: ()}[x.ndim]
    return Dataset(
        name=f"npz:{path}",
        x=scaled(x).reshape(*x.shape, *trailing),
        y=codes.astype(np.int32),
        classes=tuple(str(c) for c in classes),
        subject=None
        if subject is None
        else np.unique(subject, return_inverse=True)[1].astype("i4"),
        official_test=None,
        source=str(path),
        licence="the owner's",
    )


def _dataset(
    name: str,
    *,
    x: NDArray[Any],
    y: NDArray[Any],
    classes: tuple[str, ...] | NDArray[Any],
    subject: NDArray[Any] | None,
    official_test: NDArray[np.bool_] | None,
) -> Dataset:
    source = SOURCES[name]
    return Dataset(
        name=name,
        x=np.ascontiguousarray(x, np.float32),
        y=y.astype(np.int32),
        classes=tuple(str(c) for c in classes),
        subject=None if subject is None else subject.astype(np.int32),
        official_test=official_test,
        source=source.origin,
        licence=source.licence,
    )


def _read(path: Path, needed: tuple[str, ...]) -> Arrays:
    try:
        # opened here, because np.load leaves a file open that turns out to be no archive
        with path.open("rb") as raw:
            file = np.load(raw, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"{path} holds one bare array; an .npz archive is needed")
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise DataError(f"{path} cannot be read as an .npz archive without pickles: {e}") from e
    lacking = [key for key in needed if key not in arrays]
    if lacking:
        raise DataError(
            f"{path} lacks the arrays {', '.join(lacking)}; it holds {', '.join(arrays) or 'none'}"
        )
    return arrays


_FASHION = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "boot",
)  # fmt: skip

_READERS: dict[str, tuple[Callable[[str, Arrays], Dataset], tuple[str, ...]]] = {
    "har": (_har, ("x", "y", "subject", "names")),
    "fashion": (_images, ("x_train", "y_train", "x_test", "y_test")),
    "mnist": (_images, ("x_train", "y_train", "x_test", "y_test")),
    "speech": (_speech, ("x", "y", "speaker", "index")),
    "cwru": (_cwru, ("x", "y", "load", "names")),
}
