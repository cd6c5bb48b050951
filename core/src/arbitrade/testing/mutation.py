"""Frames with a few things about them changed, for suites that feed a decoder what nobody sends."""

from random import Random


def mutated(frame: bytes, rng: Random) -> bytes:
    """Return a frame with a few things about it changed: bytes, pieces, numbers."""
    changed = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        if not changed:
            break
        at = rng.randrange(len(changed))
        kind = rng.randrange(9)
        if kind == 0:
            changed[at] = rng.randrange(256)
        elif kind == 1:
            changed[at] = rng.choice(b'0123456789.eE+-"\\,:{}[] \t\r\0')
        elif kind == 2:
            del changed[at : at + rng.choice((1, 1, 2, 8, 40))]
        elif kind == 3:
            changed[at:at] = rng.choice(_PIECES)
        elif kind == 4:
            upto = at + rng.choice((1, 2, 9, 30))
            changed[at:at] = changed[at:upto]
        elif kind == 5:
            del changed[at:]
        else:
            _change_number(changed, at, rng)
    return bytes(changed)


_PIECES = (
    b"0",
    b"00",
    b"1",
    b".",
    b".0",
    b"e5",
    b"E-3",
    b"+",
    b"-",
    b" ",
    b"\t",
    b"\0",
    b"\n",
    b"\\",
    b"999999999999",
    b"000000000000000000000",
    "\u0661".encode(),
    b"\xd9",
    b"NaN",
    b"Infinity",
    b',"price":1',
    b',"symbol":"BTC/USD"',
    b',"checksum":1',
    b'{"price":1,"qty":1},',
    b',"bids":[]',
    b"[" * 200,
)


def _change_number(frame: bytearray, near: int, rng: Random) -> None:
    """Write the next number of a frame another way, of the same value or not."""
    while near < len(frame) and not 48 <= frame[near] <= 57:
        near += 1
    end = near
    while end < len(frame) and (48 <= frame[end] <= 57 or frame[end] == 46):
        end += 1
    text = bytes(frame[near:end])
    if not text:
        return
    frame[near:end] = rng.choice(
        (
            b"0" + text,
            text + b"0",
            text + b".0",
            text + b".",
            b"." + text,
            b"+" + text,
            b"-" + text,
            b"-0",
            b"0",
            b"0.0",
            text + b"e0",
            text + b"e5",
            text + b"E-5",
            text.rstrip(b"0") or b"0",
            text.replace(b".", b""),
            text[:1] + b"." + text[1:],
            text.replace(b".", b" ."),
            text[:2] + b" " + text[2:],
            text * 2,
            text * 3,
            b"9" * rng.randrange(15, 25),
            b"1" + b"0" * rng.randrange(14, 45),
            b"0." + b"0" * rng.randrange(14, 30) + b"1",
            b'"' + text + b'"',
            b"null",
            b"true",
            text + b"\0",
        )
    )
