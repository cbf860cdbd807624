#!/usr/bin/env python3
"""Seeded, versioned, realistic datasets for benches: OUT/NAME/v1, v2, … each a whole tree of that version.

    $PEERS/venv/bin/python benches/datasets.py OUT [--scale S] [--scale NAME=S]… [--only NAME]…

Scale 1 is some 3.9 GB over all versions. The same seeds, scale and libraries (requirements.txt) give the same bytes; the list
that is printed, and kept in OUT/datasets.tsv, ends each line with the SHA-256 over the names and bytes of that tree.
What each version changes is written at the head of its module in benches/data.
"""

import argparse
import hashlib
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from data import database, images, logs, source, tables, weights

MAKERS = {
    "weights": weights.make,
    "images": images.make,
    "sqlite": database.make,
    "logs": logs.make,
    "source": source.make,
}
NAMES = (*tables.NAMES, *MAKERS)


def jobs(out, wanted, scales):
    """Calls that make what is wanted; tables of one scale are made together, since they hold the same rows."""
    by_scale = {}
    for name in tables.NAMES:
        if name in wanted:
            by_scale.setdefault(scales[name], []).append(name)
    for scale, names in by_scale.items():
        yield tables.make, out, scale, names
    for name, maker in MAKERS.items():
        if name in wanted:
            yield maker, out, scales[name]


def run(job):
    """In a process of its own."""
    maker, *arguments = job
    maker(*arguments)


def facts(version):
    """Files, bytes and digest of a tree."""
    digest, size = hashlib.sha256(), 0
    files = sorted(path for path in version.rglob("*") if path.is_file())
    for path in files:
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{content}  {path.relative_to(version)}\n".encode())
        size += path.stat().st_size
    return len(files), size, digest.hexdigest()


def listing(out):
    """A line of tab-separated facts for each tree there is."""
    for dataset in sorted(out.iterdir()):
        if dataset.name in NAMES:
            for version in sorted(dataset.iterdir()):
                yield "\t".join(map(str, (dataset.name, version.name, *facts(version))))


def scales_of(words):
    """The scale of each dataset from words like `0.25` (all of them) and `images=0.3`."""
    scales = dict.fromkeys(NAMES, 1.0)
    for word in words:
        name, named, scale = word.rpartition("=")
        if named and name not in NAMES:
            raise ValueError(f"{name} is not one of {', '.join(NAMES)}")
        scales.update({name: float(scale)} if named else dict.fromkeys(NAMES, float(scale)))
    return scales


def main():
    """Make, then list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", action="append", default=[], help="of all, or NAME=S of one; later ones win")
    parser.add_argument("--only", action="append", choices=NAMES, help="only these")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    args = parser.parse_args()
    try:
        scales = scales_of(args.scale)
    except ValueError as error:
        parser.error(str(error))
    args.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.jobs) as pool:
        list(pool.map(run, jobs(args.out, args.only or NAMES, scales)))
    lines = list(listing(args.out))
    (args.out / "datasets.tsv").write_text("dataset\tversion\tfiles\tbytes\tsha256\n" + "".join(f"{line}\n" for line in lines))
    print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
