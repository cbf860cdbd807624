"""Many small incompressible files, 5 to 60 kB, in 200 folders: photographs, as far as a store can tell.

v2: 1 % removed, 1 % put under another label with the same bytes, 2 % added.
"""

from . import seeded

FILES = 20_000
# The same first bytes in all, as cameras write them.
HEADER = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(range(256)) * 2


def make(out, scale):
    """Both versions."""
    first, second = seeded.versions(out, "images", 2)
    count = round(FILES * scale)
    names = {number: f"class{number % 200:03d}/img_{number:06d}.jpg" for number in range(count)}
    write(first, names)
    write(second, relabelled(names))


def relabelled(names):
    """The names of the second version."""
    count = len(names)
    order = seeded.random(32).permutation(count).tolist()
    names = dict(names)
    for number in order[: count // 100]:
        del names[number]
    for number in order[count // 100 : 2 * (count // 100)]:
        names[number] = f"relabel{number % 20:02d}/img_{number:06d}.jpg"
    for number in range(count, count + count // 50):
        names[number] = f"class{number % 200:03d}/img_{number:06d}.jpg"
    return names


def write(root, names):
    """The file of each number, whatever its name."""
    for number, name in names.items():
        draw = seeded.random(31, number)
        size = int(min(60_000, max(5_000, draw.lognormal(9.8, 0.6))))
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(HEADER + draw.bytes(size - len(HEADER)))
