"""Numbers and sentences as the report says them."""

from __future__ import annotations

from dataclasses import dataclass

from report.record import RunRecord

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"

# What each refusal of an update means to the reader; keys are wire.messages.Reason names.
REASONS = {
    "LATE": "its round had closed",
    "DUPLICATE": "the device already had an update counted in that round",
    "MALFORMED": "not a message of the protocol",
    "STALE": "trained from another model version than the round's",
    "FOREIGN": "the device was not in the round's cohort",
    "TOO_LARGE": "larger than the model allows",
    "CORRUPT": "its checksum did not match",
    "OUT_OF_RANGE": "values that no honest training gives",
    "UNSUPPORTED": "a codec that the round did not use",
}


def percent(share: float) -> str:
    """0.9123 -> "91.2 %"."""
    return f"{100 * share:.1f}{NBSP}%"


def points(difference: float) -> str:
    """0.051 -> "+5.1 points": a difference of two shares, signed."""
    value = round(100 * difference, 1)
    sign = "+" if value > 0 else MINUS if value < 0 else "±"
    return f"{sign}{abs(value):.1f}{NBSP}points"


def size(count: float) -> str:
    """Bytes in decimal units with about three digits: 312480 -> "312 KB"."""
    if round(count) < 1000:
        return f"{count:.0f}{NBSP}B"
    value, unit = count / 1e3, "KB"
    for larger in ("MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1e3, larger
    return f"{value:.{0 if value >= 99.95 else 1}f}{NBSP}{unit}"


def energy(joules: float) -> str:
    """Joules with three digits: 0.0123 -> "12.3 mJ"."""
    for unit, scale in (("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6)):
        if joules >= scale:
            return f"{joules / scale:.3g}{NBSP}{unit}"
    return f"0{NBSP}J" if joules == 0 else f"{joules * 1e9:.3g}{NBSP}nJ"


SPENT_ON = {
    "training": "Training",
    "up": "Sending",
    "down": "Receiving",
    "connecting": "Connecting",
    "sleep": "Sleeping",
}


def times(ratio: float) -> str:
    """12.34 -> "12×", 4.56 -> "4.6×"."""
    return f"{ratio:.{0 if ratio >= 9.95 else 1}f}×"


def duration(seconds: float) -> str:
    """102 -> "1 min 42 s"; a second has one decimal below ten."""
    if seconds < 9.95:
        return f"{seconds:.1f}{NBSP}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NBSP}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest}{NBSP}s"
    return f"{minutes // 60}{NBSP}h {minutes % 60}{NBSP}min"


def plural(count: int, noun: str) -> str:
    """1 -> "1 round", 40 -> "40 rounds"."""
    return f"{count:,}{NBSP}{noun}{'' if count == 1 else 's'}"


def headline(record: RunRecord) -> str:
    """The run in one sentence."""
    if not record.rounds:
        return f"No round has closed: the model stands at {percent(record.accuracy_start)}."
    who = plural(len(record.devices), "device") if record.devices else "The fleet"
    start, end = percent(record.accuracy_start), percent(record.accuracy_end)
    if start == end:
        did = f"left the model at {end}"
    elif record.accuracy_end > record.accuracy_start:
        did = f"taught the model from {start} to {end}"
    else:
        did = f"took the model from {start} down to {end}"
    up = size(record.totals.bytes_up)
    return f"{who} {did} in {plural(len(record.rounds), 'round')}, {up} up."


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the page's opening: what it is, the number, what to read it against."""

    label: str
    value: str
    note: str


def key_figures(record: RunRecord) -> tuple[Figure, ...]:
    """The few numbers that a reader came for."""
    totals, model = record.totals, record.model
    figures = [_accuracy(record)]
    if record.accuracy_central is not None:
        gap = points(record.accuracy_end - record.accuracy_central)
        note = f"{percent(record.accuracy_central)} with all data in one place"
        figures.append(Figure("Against central training", gap, note))
    if record.updates:
        each = size(totals.bytes_up / record.updates)
        ratio = times(totals.bytes_up_float32 / max(1, totals.bytes_up))
        note = f"{each} an update; raw float32 is {ratio} that"
        figures.append(Figure("Sent up", size(totals.bytes_up), note))
        each = size(totals.bytes_down / record.updates)
        figures.append(Figure("Sent down", size(totals.bytes_down), f"{each} an update"))
    zeros = f"{percent(model.sparsity)} zeros"
    ram = "" if model.peak_ram is None else f", {size(model.peak_ram)} of RAM"
    figures.append(Figure("int8 model", size(model.bytes), zeros + ram))
    return tuple(figures)


def _accuracy(record: RunRecord) -> Figure:
    change = points(record.accuracy_end - record.accuracy_start)
    best = f"{change}; best {percent(record.accuracy_best)}" if record.rounds else "as built"
    return Figure("Accuracy", percent(record.accuracy_end), best)
