"""Weights of a model in safetensors, as 32 bit and as bfloat16 numbers.

v2 is a fine-tuning of a tenth of the tensors, v3 has one tensor more a third of the way in.
"""

import json

import numpy

from . import seeded

BYTES = 130_000_000
WIDTH = 768
LAYER = (
    ("attn.q", (WIDTH, WIDTH)),
    ("attn.k", (WIDTH, WIDTH)),
    ("attn.v", (WIDTH, WIDTH)),
    ("attn.o", (WIDTH, WIDTH)),
    ("mlp.up", (4 * WIDTH, WIDTH)),
    ("mlp.down", (WIDTH, 4 * WIDTH)),
    ("ln1", (WIDTH,)),
    ("ln2", (WIDTH,)),
)


def make(out, scale):
    """One file a number format in each version."""
    places = seeded.versions(out, "weights", 3)
    for kind, size, seed in (("F32", 4, 21), ("BF16", 2, 22)):
        shapes = architecture(round(BYTES * scale / size))
        tensors = {name: initial(name, shape, seed, at) for at, (name, shape) in enumerate(shapes.items())}
        name = f"model-{kind.lower()}.safetensors"
        write(places[0] / name, kind, tensors)
        write(places[1] / name, kind, fine_tune(tensors, seed))
        write(places[2] / name, kind, insert(tensors, seed))


def architecture(numbers):
    """Names and shapes of all tensors of a model of about so many numbers, one seventh of them in the embedding."""
    each = sum(int(numpy.prod(shape)) for _, shape in LAYER)
    layers = max(1, round(numbers * 0.85 / each))
    shapes = {"embed": (max(64, int(numbers * 0.15 / WIDTH)), WIDTH)}
    for layer in range(layers):
        shapes.update({f"layers.{layer}.{name}": shape for name, shape in LAYER})
    return shapes


def initial(name, shape, seed, at):
    """Normal numbers, as training starts with."""
    spread = 1.0 if name.endswith(("ln1", "ln2")) else 0.02
    return seeded.random(seed, at).standard_normal(shape, dtype=numpy.float32) * numpy.float32(spread)


def fine_tune(tensors, seed):
    """A tenth of the tensors moves a little, all their numbers."""
    names = list(tensors)
    for at in seeded.random(seed, 999).choice(len(names), max(1, len(names) // 10), replace=False).tolist():
        step = seeded.random(seed, 5000 + at).standard_normal(tensors[names[at]].shape, dtype=numpy.float32)
        tensors[names[at]] = tensors[names[at]] + step * numpy.float32(1e-3)
    return tensors


def insert(tensors, seed):
    """One tensor more; all that follow move by its length."""
    items = list(tensors.items())
    extra = seeded.random(seed, 777).standard_normal((WIDTH, 129), dtype=numpy.float32) * numpy.float32(0.02)
    items.insert(len(items) // 3, ("adapter.extra", extra))
    return dict(items)


def encoded(kind, tensor):
    """Little-endian bytes; bfloat16 is the upper half of the 32 bits, rounded to even."""
    if kind == "F32":
        return tensor.tobytes()
    bits = tensor.view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16).tobytes()


def write(path, kind, tensors):
    """The length of the header, the header as JSON, the tensors one after the other."""
    size = 4 if kind == "F32" else 2
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in tensors.items():
        end = offset + tensor.size * size
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(encoded(kind, tensor))
