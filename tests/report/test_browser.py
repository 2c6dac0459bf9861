"""The page as a real browser shows it: nothing complained about, every drawing visible."""

import html
import json
import re
import shutil
import struct
import subprocess
from dataclasses import replace

import pytest

from report.render import render, write

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH")

# The page allows no script, so a page around it measures it.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe style="border:0;width:{width}px;height:9000px" srcdoc="{page}"></iframe>
<pre id="measured"></pre>
<script>
document.querySelector("iframe").onload = event => {{
  const inner = event.target.contentDocument, root = inner.documentElement;
  const box = e => {{ const b = e.getBoundingClientRect();
    return [b.left, b.right, b.height].map(Math.round); }};
  document.getElementById("measured").textContent = JSON.stringify({{
    title: inner.title,
    overflow: root.scrollWidth - root.clientWidth,
    charts: Object.fromEntries([...inner.querySelectorAll("figure svg")].map(
      e => [e.classList[0], box(e)])),
    lines: [...inner.querySelectorAll("figure svg path")].filter(
      e => e.getTotalLength() > 50).length,
    text: Math.min(...[...inner.querySelectorAll("figure svg text")].map(
      e => e.getBoundingClientRect().height)),
    cut: [...inner.querySelectorAll(".card")].flatMap(card =>
      [...card.querySelectorAll("svg text")].filter(e =>
        e.getBoundingClientRect().right > card.getBoundingClientRect().right ||
        e.getBoundingClientRect().left < card.getBoundingClientRect().left
      ).map(e => e.textContent)),
  }});
}};
</script>
"""


def browse(profile, page, *options):
    """Chromium's standard output and what pages said to its console."""
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def measure(tmp_path, text, width):
    page = tmp_path / "frame.html"
    page.write_text(FRAME.format(width=width, page=html.escape(text)), "utf-8", "replace")
    dom, said = browse(tmp_path / "profile", page, "--window-size=1300,900", "--dump-dom")
    found = re.search(r'<pre id="measured">(.*?)</pre>', dom, flags=re.DOTALL)
    return json.loads(html.unescape(found[1])), said


@pytest.mark.parametrize(
    ("width", "classes"), [(1200, "012"), (400, ("WALKING_DOWNSTAIRS", "x" * 40, "LAYING"))]
)
def test_every_drawing_is_there_and_fits(full, tmp_path, width, classes):
    seen, said = measure(tmp_path, render(replace(full, classes=tuple(classes))), width)
    assert said == []
    assert seen["title"] == "har – microfed report"
    assert seen["overflow"] == 0
    assert set(seen["charts"]) == {"accuracy", "price", "loss", "cohort", "skew", "sizes"}
    for left, right, height in seen["charts"].values():
        assert 0 <= left < right <= width
        assert right - left > 300
        assert height > 120
    assert seen["lines"] > 30
    assert seen["text"] > 8  # pixels: still readable
    assert seen["cut"] == []


def test_the_file_opens_and_paints(full, tmp_path):
    page, shot = tmp_path / "report.html", tmp_path / "shot.png"
    write(full, page)
    size = "--window-size=1200,1600"
    _, said = browse(tmp_path / "profile", page, size, f"--screenshot={shot}")
    assert said == []
    png = shot.read_bytes()
    assert struct.unpack(">II", png[16:24]) == (1200, 1600)
    assert len(png) > 60_000  # a blank page of this size is a tenth of it


def test_a_page_that_asks_for_something_is_noticed(full, tmp_path):
    bad = render(full).replace("</main>", '<img src="https://example.org/x.png"></main>')
    _, said = measure(tmp_path, bad, 1200)
    assert "Content Security Policy" in " ".join(said)
