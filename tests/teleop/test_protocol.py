"""What the page may say, and that nothing else is understood."""

import random
import struct
import tracemalloc

import pytest

from expertgen.teleop.protocol import (
    BURST,
    Choice,
    Command,
    Input,
    ProtocolError,
    RateLimit,
    film_body,
    parse_message,
    picture_message,
)

VIEWS = ("right", "above")
GOOD = {
    '{"number": 7, "action": [0, 0.5, -1, 1.0]}': Input(7, (0.0, 0.5, -1.0, 1.0)),
    '{"do": "keep"}': Command("keep"),
    '{"pace": 0.5}': Choice(pace=0.5),
    '{"pace": 1}': Choice(pace=1.0),
    '{"view": "above"}': Choice(view="above"),
}
BAD = [
    b'{"do": "keep"}', "", "{", "null", "[]", "7", '"do"', "{}", '{"do": "start"}', '{"do": ["keep"]}', '{"do": {}}',
    '{"do": "keep", "pace": 1}', '{"pace": 2}', '{"pace": true}', '{"pace": "1"}', '{"pace": NaN}', '{"view": 0}',
    '{"view": "below"}', '{"view": ["right"]}', '{"number": 1}', '{"number": 1, "action": [0, 0, 0]}',
    '{"number": 1, "action": [0, 0, 0, 0, 0]}', '{"number": 1, "action": [0, 0, 0, NaN]}',
    '{"number": 1, "action": [0, 0, 0, Infinity]}', '{"number": 1, "action": [0, 0, 0, 1.01]}',
    '{"number": 1, "action": [0, 0, 0, true]}', '{"number": 1, "action": [0, 0, 0, null]}',
    '{"number": 1, "action": {"0": 0}}', '{"number": 0, "action": [0, 0, 0, 0]}',
    '{"number": 1.0, "action": [0, 0, 0, 0]}', '{"number": true, "action": [0, 0, 0, 0]}',
    '{"number": 4294967296, "action": [0, 0, 0, 0]}', '{"number": 1, "action": [0, 0, 0, 1e999]}',
    '{"number": 1, "action": [0, 0, 0, 1' + "0" * 900 + "]}", "[" * 1000, '{"a":' * 200,
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_messages_of_the_page_are_understood(text):
    assert parse_message(text, 4, VIEWS) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_others_are_not(text):
    with pytest.raises(ProtocolError):
        parse_message(text, 4, VIEWS)


NOISE = ['"', "{", "\0", "é", "9" * 30, "-", "true", ""]


def mangled(generator: random.Random) -> str | bytes:
    """A message of the page with something wrong, or noise."""
    if generator.random() < 0.3:
        return generator.randbytes(generator.randrange(200))
    text = list(generator.choice([*GOOD, *(text for text in BAD if isinstance(text, str))]))
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(text) + 1)
        text[place : place + generator.randint(0, 3)] = generator.choice(
            ['"', "{", "\0", "é", "9" * 30, "-", "true", ""]
        )
    return "".join(text)


def test_ten_thousand_malformed_messages():
    generator = random.Random(0)
    understood = 0
    tracemalloc.start()
    for i in range(10_000):
        try:
            parse_message(mangled(generator), 4, VIEWS)
            understood += 1  # some mangling leaves a message as good as it was
        except ProtocolError:
            pass
        if i == 1000:
            before = tracemalloc.get_traced_memory()[0]
    growth = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert understood < 1000
    assert growth < 100_000


def test_a_picture_and_a_film():
    message = picture_message(3, 70_000, 12, b"picture")
    assert struct.unpack_from("<BxxxIII", message) == (3, 70_000, 12, 7)
    assert message[16:] == b"picture"
    assert film_body([b"one", b"three"]) == b"\3\0\0\0one\5\0\0\0three"


def test_too_many_messages(monkeypatch):
    now = 100.0
    monkeypatch.setattr("expertgen.teleop.protocol.time.monotonic", lambda: now)
    limit = RateLimit()
    for _ in range(int(BURST)):
        limit.count()
    with pytest.raises(ProtocolError, match="too many"):
        limit.count()
    now += 1.0
    for _ in range(250):
        limit.count()
