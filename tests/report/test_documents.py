"""Documents that list what the code has, list all of it."""

import re
import tomllib
from pathlib import Path

import pytest

from device_sim.radio import RADIOS
from tflite_models.boards import BOARDS, CORES, RUNTIME_FLASH, RUNTIME_RAM, STACK

ROOT = Path(__file__).parents[2]


def packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [project["dependencies"], *project["optional-dependencies"].values()]
    return [re.match(r"[\w-]+", package)[0] for group in named for package in group]


@pytest.mark.parametrize("package", packages())
def test_every_package_has_a_line_of_why(package):
    lines = (ROOT / "docs/dependencies.md").read_text("utf-8").splitlines()
    assert sum(line.startswith(f"| {package} | ") for line in lines) == 1


def test_no_package_is_explained_that_is_not_there():
    text = (ROOT / "docs/dependencies.md").read_text("utf-8").split("## The standard library")[0]
    explained = set(re.findall(r"^\| ([\w-]+) \| ", text, flags=re.MULTILINE)) - {"package", "---"}
    assert explained == set(packages())


def test_the_table_of_boards_is_that_of_the_code():
    text = (ROOT / "docs/boards.md").read_text("utf-8")
    table = text.split("| RAM | source |")[1].split("\n\n")[0]
    told = [line for line in table.splitlines() if line.startswith("| `")]
    assert told == [
        f"| `{b.name}` | {b.title} | {b.core} | {b.clock_mhz} MHz | {b.flash // 1024:,} KiB "
        f"| {b.ram // 1024:,} KiB | [{b.source.split('/')[2]}]({b.source}) |"
        for b in BOARDS.values()
    ]
    assert f"{RUNTIME_FLASH // 1024} KiB for the runtime" in text
    assert f"{RUNTIME_RAM // 1024} KiB for the runtime and {STACK // 1024} KiB of stack" in text


def told_figure(number):
    return "" if number is None else f"{number:g}"


def told_microjoules(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def test_the_table_of_what_boards_draw_is_that_of_the_code():
    text = (ROOT / "docs/boards.md").read_text("utf-8")
    table = text.split("| name | volts |")[1].split("\n\n")[0]
    told = [line for line in table.splitlines() if line.startswith("| `")]
    wanted = []
    for board in BOARDS.values():
        core, power = CORES[board.core], board.power
        cycles = f"{core.cycles:g} ({core.least:g} to {core.most:g})" if core.cycles else ""
        drawn = ("", "", "", "")
        if power:
            source = f"[{power.source.split('/')[2]}]({power.source})"
            figures = (power.volts, power.active_ma, power.sleep_ua)
            drawn = (*map(told_figure, figures), source)
        wanted.append(f"| `{board.name}` | {' | '.join(drawn[:3])} | {cycles} | {drawn[3]} |")
    assert told == [re.sub(r"  +", " ", line) for line in wanted]


def test_the_table_of_links_is_that_of_the_code():
    text = (ROOT / "docs/boards.md").read_text("utf-8")
    table = text.split("| link | what |")[1].split("\n\n")[0]
    told = [line for line in table.splitlines() if line.startswith("| `")]
    wanted = []
    for radio in RADIOS.values():
        ways = [(way, radio.payload_rate(way)) for way in (radio.up, radio.down)]
        if radio.name == "none":
            continue
        each = [told_microjoules(1e3 * radio.joules(way, 1000)) for way, _ in ways]
        rates = [f"{rate:,.0f}" for _, rate in ways]
        wanted.append(
            f"| `{radio.name}` | {radio.title} | {each[0]} | {each[1]} | {rates[0]} | {rates[1]} "
            f"| {radio.header} | {radio.frame or ''} | {radio.connect_joules:g} | {radio.duty:.0%} |"
        )
    assert told == [re.sub(r"  +", " ", line) for line in wanted]
