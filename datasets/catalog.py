"""The data files that are known by name: what each is and where it comes from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import DataError

VARIABLE = "MICROFED_DATA"


@dataclass(frozen=True)
class Source:
    """One data file: its name in the data folder, its content, origin and licence."""

    file: str
    content: str
    origin: str
    licence: str


SOURCES = {
    "har": Source(
        "har.npz",
        "UCI Human Activity Recognition: x int8 (10299, 128, 6) gyroscope and total acceleration "
        "windows, y, subject 1-30, names, clip",
        "https://archive.ics.uci.edu/dataset/240 (Anguita et al. 2013)",
        "CC BY 4.0",
    ),
    "fashion": Source(
        "fashion.npz",
        "Fashion-MNIST: uint8 x_train (60000, 28, 28), y_train, x_test, y_test",
        "https://github.com/zalandoresearch/fashion-mnist",
        "MIT",
    ),
    "mnist": Source(
        "mnist.npz",
        "MNIST: uint8 x_train (n, 28, 28), y_train, x_test, y_test",
        "https://yann.lecun.org/exdb/mnist",
        "CC BY-SA 3.0",
    ),
    "speech": Source(
        "fsdd.npz",
        "Free Spoken Digit Dataset as log-mel: x uint8 (3000, 49, 20), y, speaker, index, range",
        "https://github.com/Jakobovski/free-spoken-digit-dataset",
        "CC BY-SA 4.0",
    ),
    "cwru": Source(
        "cwru.npz",
        "CWRU bearing vibration, drive end, 12 kHz: x int16 (4366, 1024), y, load, names",
        "https://engineering.case.edu/bearingdatacenter "
        "(credit: Case Western Reserve University Bearing Data Center)",
        "no formal licence",
    ),
}


def path_of(name: str) -> Path:
    """Where the file of a named data set is.

    Raises:
        DataError: MICROFED_DATA is not set, or the file is not in that folder.
    """
    source = SOURCES[name]
    about = (
        f"data set {name!r} needs the file {source.file} ({source.content}; from {source.origin})"
    )
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise DataError(
            f"{about}, but {VARIABLE} is not set: "
            f"set it to the folder that holds {source.file}, as in `export {VARIABLE}=~/data`"
        )
    path = Path(folder).expanduser() / source.file
    if not path.is_file():
        raise DataError(
            f"{about}, but there is no {path}: "
            f"put it there, or set {VARIABLE} to the folder that holds it (now {folder})"
        )
    return path
