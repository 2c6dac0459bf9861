"""What each stage of the build weighs, drawn as falling bars."""

from __future__ import annotations

from report import words
from report.record import RunRecord
from report.svg import FIRST, INK, SOFT, WIDTH, Chart, drawing, finish, label, plot_area

ROW = 54  # pixels of a stage: its name, then its bars


def sizes(record: RunRecord) -> Chart:
    """For each stage the file (faint) and its gzip (full), against the first stage's file."""
    stages = record.stages
    first = stages[0].bytes
    widest = max(1, *(max(s.bytes, s.bytes_gzip) for s in stages))
    with drawing(ROW * len(stages) + 6) as figure:
        ax = plot_area(figure, left=2, right=2, top=2, bottom=4)
        ax.set_axis_off()
        ax.set_xlim(0, WIDTH - 4)
        ax.set_ylim(ROW * len(stages), 0)
        for place, stage in enumerate(stages):
            y = ROW * place
            ax.text(0, y + 14, label(stage.name), va="center", color=INK)
            known = f"{words.size(stage.bytes)} · gzip {words.size(stage.bytes_gzip)}"
            ax.text(WIDTH - 4, y + 14, known, ha="right", va="center", color=SOFT)
            for part, alpha in ((stage.bytes, 0.28), (stage.bytes_gzip, 1.0)):
                length = (WIDTH - 4) * part / widest
                ax.barh(y + 32, length, 16, color=FIRST, alpha=alpha, linewidth=0)
        last = stages[-1]
        ratio = words.times(first / max(1, last.bytes_gzip))
        text = (
            f"From {words.size(first)} ({stages[0].name}) to {words.size(last.bytes)}, "
            f"{words.size(last.bytes_gzip)} with gzip ({last.name}): {ratio} smaller."
        )
        return finish(figure, "sizes", "What the build squeezed out", text)
