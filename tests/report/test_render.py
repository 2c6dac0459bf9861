"""The page: complete, self-contained, escaped, and the same every time."""

import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from report.record import DeviceRow, RoundPoint
from report.render import render, write
from report.svg import label

VOID = {"meta", "link", "br", "hr", "img", "input", "col", "base", "source", "wbr", "embed"}
LOADS = {"src", "href", "xlink:href", "srcset", "data", "poster", "action", "background"}


class Page(HTMLParser):
    """What a page is made of; complains about tags that do not nest and ids used twice."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.loads, self.ids, self.text = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.loads += [value for name, value in attrs if name in LOADS]
        self.ids += [value for name, value in attrs if name == "id"]
        for name, value in attrs:
            self.loads += re.findall(r"url\(([^)]*)\)", value or "")
            if name == "aria-labelledby":
                self.loads += [f"#{word}" for word in value.split()]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).replace("\xa0", " ").split())


def test_a_full_run_shows_every_drawing_and_table(full):
    page = Page(render(full))
    for said in (
        "3 devices taught the model from 86.1 % to 91.2 % in 4 rounds, 5.0 KB up.",
        "Accuracy, round by round",
        "Accuracy against bytes sent up",
        "Loss on the devices",
        "Who took part",
        "1 more round ended below the quorum",
        "Whose data is what",
        "What the build squeezed out",
        "too large larger than the model allows 1",
        "CONV_2D ×2 → MEAN → FULLY_CONNECTED",
        'partition = "subject"',
        "NumPy 2.4.6",
    ):
        assert said in page.words
    assert page.tags.count("svg") == 6
    assert page.tags.count("desc") == 6
    assert "stale" not in page.words  # a reason that never occurred


def test_what_a_run_lacks_is_left_out_with_a_sentence(minimal):
    page = Page(render(minimal))
    assert page.tags.count("svg") == 0
    for said in (
        "no round has closed",
        "Central training is not shown",
        "what data the devices hold is not known",
        "no card.json",
        "None: every update that came was counted.",
    ):
        assert said in page.words


def test_energy_is_told_by_what_it_was_spent_on_and_what_is_not_known(full, minimal):
    words = Page(render(full)).words
    assert "Training 4.5 J 1.5 J 92.6 %" in words
    assert "Sleeping – – –" in words
    assert "Together 4.86 J 1.62 J" in words
    assert "For a point of accuracy 953 mJ" in words
    assert "stm32f405 by ble: instructions counted in QEMU" in words
    assert "Without sleep: what stm32f405 draws has no source." in words
    assert "Energy" not in Page(render(minimal)).words


def test_devices_whose_labels_are_unknown_have_no_heat_map(full):
    devices = tuple(replace(device, labels=()) for device in full.devices)
    page = Page(render(replace(full, devices=devices)))
    assert page.tags.count("svg") == 5
    assert "what data the devices hold is not known" in page.words


def test_one_round_of_one_device_is_drawn(full):
    page = Page(render(replace(full, rounds=full.rounds[:1], devices=full.devices[:1])))
    assert page.tags.count("svg") == 6


def test_the_page_loads_nothing(full):
    text = render(full)
    page = Page(text)
    assert page.loads
    inside = {f"#{name}" for name in page.ids}
    assert set(page.loads) <= inside
    assert not {"script", "link", "iframe", "img", "object", "embed", "base"} & set(page.tags)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_drawings_are_in_the_pages_colours_only(full):
    drawings = re.findall(r"<svg.*?</svg>", render(full), flags=re.DOTALL)
    assert not [c for d in drawings for c in re.findall(r"(?:fill|stroke): (#\w+)", d)]


@pytest.fixture(scope="module")
def usual_tags(full):
    return set(Page(render(replace(full, refusals={"LATE": 1}))).tags)


@pytest.mark.parametrize(
    "hostile",
    [
        "</svg><script>alert(1)</script>",
        '"><img src=http://evil.example/x onerror=alert(1)>',
        "{{ run.name }}{% raw %}",
        "$\\frac{1}{0}$ $x_1$",
        "--><!-- ]]> &lt;b&gt; </title></style>",
        "\x00\x07\x1b[31m\u202e名前\ud800",
        "",
        "x" * 5_000,
    ],
)
def test_hostile_names_stay_text(full, usual_tags, hostile):
    record = replace(
        full,
        name=hostile,
        classes=(hostile, "b", "c"),
        devices=(replace(full.devices[0], id=hostile), *full.devices[1:]),
        stages=(replace(full.stages[0], name=hostile), *full.stages[1:]),
        refusals={hostile: 3},
        versions={hostile: hostile},
        config=hostile,
        model=replace(full.model, operators=(hostile,)),
    )
    assert set(Page(render(record)).tags) == usual_tags


def test_labels_are_printable_and_short():
    assert label("\x00名前") == "\N{REPLACEMENT CHARACTER}名前"
    assert label("x" * 25) == "x" * 23 + "…"


def test_the_same_record_gives_the_same_bytes_in_another_process(full, tmp_path):
    here, there = tmp_path / "here.html", tmp_path / "there.html"
    write(full, here)
    (tmp_path / "matplotlibrc").write_text("xtick.labelsize: 30\naxes.linewidth: 9\n")
    code = (
        "import pickle, pathlib, sys; from report.render import write;"
        "write(pickle.loads(sys.stdin.buffer.read()), pathlib.Path(sys.argv[1]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(there)],
        input=pickle.dumps(full),
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONHASHSEED": "7",
            "PYTHONPATH": str(Path.cwd()),
            "TZ": "Asia/Tokyo",
        },
        check=True,
    )
    assert here.read_bytes() == there.read_bytes()


def test_a_long_run_of_many_devices_stays_small(full):
    rounds = tuple(
        RoundPoint(n, 0.9 - 0.3 / n + n % 7 / 99, 1 / n, 0.5 / n, 1000, 990, 7, 2.5, 10**6, 10**7)
        for n in range(1, 3_001)
    )
    devices = tuple(
        DeviceRow(f"dev-{n:04}", 100, (n % 3, 50, 50 - n % 3), 9, 10**6, 10**6)
        for n in range(2_000)
    )
    text = render(replace(full, rounds=rounds, devices=devices))
    assert len(text.encode()) < 600_000
    assert "500, evenly picked, are drawn" in Page(text).words
    assert "48 of 2,000 devices, evenly picked" in Page(text).words


def test_writing_replaces_the_old_page_and_leaves_nothing_beside_it(full, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write(full, path)
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_drawing_leaves_the_old_page(full, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="format"):
        write(replace(full, accuracy_end="none"), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_rename_leaves_nothing_beside(minimal, tmp_path):
    path = tmp_path / "report.html"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write(minimal, path)
    assert list(tmp_path.iterdir()) == [path]


def test_the_record_and_the_writer_import_neither_matplotlib_nor_numpy():
    code = (
        "import sys, report.record, report.render;"
        "sys.exit(any(m in sys.modules for m in ('matplotlib', 'numpy', 'jinja2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
