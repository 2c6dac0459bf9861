"""Loading: what comes out of each data set, and what is said when it cannot."""

import numpy as np
import pytest
from pydantic import ValidationError

from datasets.errors import DataError
from datasets.load import load, scaled
from datasets.settings import DataSettings

# fmt: off
SHAPES = [
    # name, shape of x, classes, subjects, official test samples
    ("digits", (1797, 8, 8, 1), 10, 0, 0),
    ("har", (10299, 128, 1, 6), 6, 30, 2947),
    ("fashion", (70000, 28, 28, 1), 10, 0, 10000),
    ("mnist", (20000, 28, 28, 1), 10, 0, 10000),
    ("speech", (3000, 49, 20, 1), 10, 6, 300),
    ("cwru", (4366, 1024, 1, 1), 10, 4, 0),
]
# fmt: on


@pytest.mark.parametrize(("name", "shape", "classes", "subjects", "test"), SHAPES)
def test_every_data_set_has_the_layout_that_the_contract_says(
    name, shape, classes, subjects, test, data_file
):
    if name != "digits":
        data_file(name)
    data = load(DataSettings(name=name))
    assert (data.x.shape, data.x.dtype, data.y.dtype) == (shape, np.float32, np.int32)
    assert np.unique(data.y).tolist() == list(range(classes)) == list(range(len(data.classes)))
    assert (0 if data.subject is None else len(np.unique(data.subject))) == subjects
    assert (0 if data.official_test is None else int(data.official_test.sum())) == test
    assert -1 <= data.x.min() < data.x.max() == 1
    assert data.source
    assert data.licence


def test_the_official_test_of_har_is_its_nine_people(data_file):
    data_file("har")
    data = load(DataSettings(name="har"))
    people = np.unique(data.subject[data.official_test]).tolist()
    assert people == [2, 4, 9, 10, 12, 13, 18, 20, 24]
    assert not np.isin(data.subject[~data.official_test], people).any()


def test_loading_an_image_set_gives_the_files_own_pixels(data_file):
    raw = np.load(data_file("mnist"))
    data = load(DataSettings(name="mnist"))
    np.testing.assert_array_equal(np.rint(data.x[:10, :, :, 0] * 255), raw["x_train"][:10])
    np.testing.assert_array_equal(data.y[-10:], raw["y_test"][-10:])


def test_an_unset_variable_is_told_with_file_origin_and_remedy(monkeypatch):
    monkeypatch.delenv("MICROFED_DATA", raising=False)
    with pytest.raises(DataError, match=r"har\.npz.*Human Activity.*archive\.ics.*MICROFED_DATA"):
        load(DataSettings(name="har"))


def test_a_missing_file_is_told_with_the_place_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("MICROFED_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"Free Spoken Digit.*there is no .*/fsdd\.npz"):
        load(DataSettings(name="speech"))


def test_an_unknown_name_is_refused_by_the_settings():
    with pytest.raises(ValidationError, match="name"):
        DataSettings(name="cifar")


def own(tmp_path, **arrays):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    return load(DataSettings(name=f"npz:{path}"))


def test_a_file_of_ones_own_is_loaded(tmp_path):
    data = own(
        tmp_path,
        x=np.arange(24, dtype=np.uint8).reshape(4, 2, 3),
        y=np.array(["up", "down", "up", "up"]),
        subject=np.array([7, 7, 3, 3]),
    )
    assert data.x.shape == (4, 2, 3, 1)
    assert data.classes == ("down", "up")
    assert data.y.tolist() == [1, 0, 1, 1]
    assert data.subject.tolist() == [1, 1, 0, 0]
    assert data.official_test is None


@pytest.mark.parametrize(
    ("shape", "layout"), [((4, 9), (4, 9, 1, 1)), ((4, 9, 2), (4, 9, 2, 1)), ((4, 9, 1, 2),) * 2]
)
def test_signals_and_images_of_ones_own_become_four_dimensional(tmp_path, shape, layout):
    assert own(tmp_path, x=np.ones(shape), y=np.arange(4) % 2).x.shape == layout


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 51, 255], np.uint8), [0, 0.2, 1]),
        (np.array([0, 51, 255], np.int64), [0, 0.2, 1]),
        (np.array([-127, 0, 127], np.int8), [-1, 0, 1]),
        (np.array([-4095, 0, 4095], np.int16), [-1, 0, 1]),
        (np.array([0, 65535], np.uint16), [0, 1]),
        (np.array([0, 2**63 - 1], np.uint64), [0, 1]),
        (np.array([0, 0]), [0, 0]),
        (np.array([False, True]), [0, 1]),
        (np.array([-3.5, 0.25]), [-3.5, 0.25]),
    ],
)
def test_integers_of_any_type_are_scaled_by_the_bits_that_hold_them(values, expected):
    np.testing.assert_allclose(scaled(values), np.float32(expected), rtol=1e-7)


def test_the_lowest_int8_does_not_halve_the_scale():
    assert scaled(np.array([-128, 127], np.int8))[1] == 1


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.ones((3, 2))}, "lacks the arrays y; it holds x"),
        ({"x": np.ones(3), "y": np.arange(3)}, r"x is float64 of shape \(3,\)"),
        ({"x": np.ones((0, 2)), "y": np.arange(0)}, "none empty"),
        ({"x": np.ones((3, 2), complex), "y": np.arange(3)}, "x is complex128"),
        ({"x": np.ones((3, 2)), "y": np.arange(2)}, r"y is int64 of shape \(2,\)"),
        ({"x": np.ones((3, 2)), "y": np.ones(3)}, "y is float64"),
        ({"x": np.ones((3, 2)), "y": np.ones(3, int)}, "the one class"),
        ({"x": np.full((3, 2), np.nan), "y": np.arange(3)}, "not finite"),
        ({"x": np.ones((3, 2)), "y": np.arange(3), "subject": np.arange(4)}, "subject is int64"),
        ({"x": np.array([{}, {}]), "y": np.arange(2)}, "without pickles"),
    ],
)
def test_a_malformed_file_of_ones_own_is_refused_with_the_reason(tmp_path, arrays, told):
    with pytest.raises(DataError, match=told):
        own(tmp_path, **arrays)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"own\.npz cannot be read"):
        load(DataSettings(name=f"npz:{path}"))


def test_a_bare_array_is_refused(tmp_path):
    path = tmp_path / "own.npz"
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(DataError, match="one bare array"):
        load(DataSettings(name=f"npz:{path}"))


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no file .*nowhere\.npz"):
        load(DataSettings(name=f"npz:{tmp_path}/nowhere.npz"))
