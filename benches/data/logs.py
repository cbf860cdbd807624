"""The log of a web server.

v2: lines inserted at five places in its first 3 %, as when a late collector catches up, and 2 % appended.
"""

import numpy

from . import seeded

LINES = 1_750_000
HOUR, DAY = 3_600_000, 86_400_000


def make(out, scale):
    """Both versions."""
    first, second = seeded.versions(out, "logs", 2)
    count = round(LINES * scale)
    text = list(lines(count, 51, 0))
    write(first, text)
    places = seeded.random(52).integers(10, max(11, count * 3 // 100), 5).tolist()
    for at, place in enumerate(sorted(places, reverse=True)):
        text[place:place] = lines(20 + 7 * at, 530 + at, 1000 * place)
    text += lines(count // 50, 54, count * 45)
    write(second, text)


def write(place, text):
    """One file."""
    with open(place / "server.log", "w", encoding="ascii") as file:
        file.writelines(text)


def lines(count, seed, begin):
    """Requests from millisecond `begin` on: few addresses ask for most, times are exponential, each has its own trace."""
    draw = seeded.random(seed)
    times = (begin + numpy.cumsum(draw.integers(0, 90, count))).tolist()
    hosts = (draw.zipf(1.4, count) % 60_000).tolist()
    lucks = draw.integers(0, 100, count).tolist()
    sizes = draw.lognormal(8, 1.5, count).astype(int).tolist()
    delays = draw.exponential(40, count).tolist()
    words = draw.integers(0, len(seeded.WORDS), (count, 3)).tolist()
    ways = draw.integers(0, 10, count).tolist()
    traces = draw.integers(0, 1 << 48, count).tolist()
    for at in range(count):
        path, page, key = (seeded.WORDS[word] for word in words[at])
        level, status = ("INFO", 200) if lucks[at] < 93 else ("WARN", 500)
        yield (
            f"{moment(times[at])} {level} 10.{hosts[at] >> 8 & 255}.{hosts[at] & 255}.{ways[at]}"
            f" {'GET' if ways[at] < 8 else 'POST'} /api/{path}/{page}?{key}={sizes[at]} {status} {delays[at]:.2f}ms"
            f" trace={traces[at]:012x}\n"
        )


def moment(time):
    """A time of the log as text; its months have 28 days."""
    day = time // DAY
    clock = f"{time // HOUR % 24:02d}:{time // 60_000 % 60:02d}:{time // 1000 % 60:02d}.{time % 1000:03d}Z"
    return f"2026-{1 + day // 28 % 12:02d}-{1 + day % 28:02d}T{clock}"
