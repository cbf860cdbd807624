"""Seeded draws: randomness, words, sentences, and the places of versions."""

import shutil

import numpy

WORDS = (
    "account agent archive atlas audit batch beacon billing bridge broker bucket buffer cache campaign canary catalog channel "
    "claim cluster column commit config contract credit cursor customer daemon dataset delivery digest discount driver editor "
    "engine epoch error event export feature filter fleet forecast gateway graph header history import index invoice journal "
    "kernel label lattice ledger lender limit loader market matrix member merge metric mirror model monitor node notice number "
    "object offer order packet parcel partner patch payment pipeline planner policy portal price process product profile proxy "
    "queue quota record refund region registry release replica report request reserve response result retry route sample "
    "schema sensor server session shard shipment signal snapshot source station status storage stream subject supply table "
    "target task tenant ticket token topic tracker trader transfer update usage user value vendor version voucher window worker"
).split()


def random(*seed):
    """A generator of its own for each purpose, so that a change of one draw moves nothing else."""
    return numpy.random.Generator(numpy.random.PCG64(list(seed)))


def versions(out, name, count):
    """Empty directories `out/name/v1` … `v<count>`; what was there goes."""
    root = out / name
    shutil.rmtree(root, ignore_errors=True)
    made = [root / f"v{number}" for number in range(1, count + 1)]
    for path in made:
        path.mkdir(parents=True)
    return made


def sentences(draw, rows, least, most):
    """`rows` texts of `least` to `most` words, separated by spaces."""
    lengths = draw.integers(least, most + 1, rows).tolist()
    words = draw.integers(0, len(WORDS), sum(lengths)).tolist()
    at = 0
    for length in lengths:
        yield " ".join(WORDS[word] for word in words[at : at + length])
        at += length
