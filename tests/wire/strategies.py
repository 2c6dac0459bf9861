"""Messages for Hypothesis, made from the Specs they are declared with."""

from dataclasses import fields

from hypothesis import strategies as st

from wire.cbor import encode
from wire.fields import spec_of
from wire.messages import TYPES

REALS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def values(spec):
    """Every value that `spec` allows; byte strings stay short."""
    if spec.enum is not None:
        return st.sampled_from(spec.enum)
    match spec.kind:
        case "uint":
            return st.integers(spec.least, spec.most)
        case "real":
            return REALS
        case "text":
            return st.text(max_size=spec.most).filter(lambda text: len(text.encode()) <= spec.most)
        case "blob":
            return st.binary(min_size=spec.least, max_size=min(spec.most, 300))
        case "record":
            return parts(spec.of)
        case "many":
            return st.lists(parts(spec.of), max_size=spec.most).map(tuple)


def parts(cls):
    """Instances of one message class."""
    return st.builds(cls, **{f.name: values(spec_of(f)) for f in fields(cls)})


def messages():
    """Any message of the protocol."""
    return st.one_of([parts(cls) for cls in TYPES.values()])


@st.composite
def damaged(draw, original):
    """Bytes of `original` with a few of them changed, cut, repeated or grown."""
    data = bytearray(draw(original))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 4)):
            case 0:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del data[at:]
            case 2:
                data[at:at] = draw(st.binary(min_size=1, max_size=9))
            case 3:
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case 4:
                del data[at : at + draw(st.integers(1, 8))]
    return bytes(data)


def payloads():
    """What may arrive: noise, messages, and messages that were damaged on the way."""
    good = messages().map(encode)
    return st.one_of(st.binary(max_size=400), good, damaged(good))
