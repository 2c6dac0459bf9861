"""Progress at a terminal: how far, of how many where that is known, and the last note."""

import io

import pytest
from rich.console import Console

from cli.output import Output
from cli.progress import progress


def shown(total, *, terminal):
    out = Output(as_json=False)
    screen = io.StringIO()
    out.console = Console(file=screen, force_terminal=terminal, width=120)
    with progress(out, "build", total) as step:
        step(3, "pruned: accuracy 97.0 %")
    return screen.getvalue()


@pytest.mark.parametrize(("total", "says"), [(5, "3/5"), (None, "3/?")])
def test_a_bar_says_how_far_and_never_guesses_of_how_many(total, says):
    assert says in shown(total, terminal=True)
    assert "pruned: accuracy 97.0 %" in shown(total, terminal=True)


def test_elsewhere_a_step_is_a_line(capsys):
    assert shown(None, terminal=False) == ""
    assert capsys.readouterr().out == "pruned: accuracy 97.0 %\n"
