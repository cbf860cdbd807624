"""Where the stores of a contest lie: a directory, or an S3 server at the other end of a link that counts every byte.

The server is s3s-fs, which keeps each bucket as a directory; the link is `examples/bucket.rs`.
"""

import contextlib
import dataclasses
import os
import socket
import subprocess
import time

from . import trees

KEY, SECRET, REGION = "benches", "a-secret-of-the-benches", "us-east-1"


@dataclasses.dataclass(frozen=True)
class Place:
    """A place and what is done there."""

    name: str
    groups: tuple
    most: int | None  # versions of a group
    delay: float | None  # milliseconds of a round trip; None: a directory
    restores: tuple  # which versions are given back, as places in the list of versions
    cold: bool  # whether a restore starts without the caches of the ingests
    minutes: float  # of one round at the default scale, roughly


# Three versions by tools that deduplicate, for the limits of winning.py; and the next version of each dataset everywhere.
TREE = "tree"
PLACES = {
    place.name: place
    for place in (
        Place(TREE, tuple(trees.GROUPS), None, None, (0, -1), False, 8),
        Place("directory", trees.DATASETS, 2, None, (-1,), True, 6),
        Place("s3", trees.DATASETS, 2, 0, (-1,), True, 7),
        Place("s3-20ms", trees.DATASETS, 2, 20, (-1,), True, 9),
        Place("s3-100ms", trees.DATASETS, 2, 100, (-1,), True, 13),
    )
}


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What went over a link so far."""

    up: int = 0  # bytes to the server
    down: int = 0  # bytes from it
    requests: int = 0

    def since(self, before):
        """What came to it."""
        return Traffic(self.up - before.up, self.down - before.down, self.requests - before.requests)


class Link:
    """A link to a server of this machine."""

    def __init__(self, program, port, delay):
        self.process = subprocess.Popen(
            [program, "--to", str(port), "--delay", str(delay)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self.process.stdout.readline().strip()

    def traffic(self):
        """So far."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        up, down, requests, _ = map(int, self.process.stdout.readline().split())
        return Traffic(up, down, requests)

    def end(self):
        """No bytes pass any more."""
        self.process.stdin.close()
        self.process.wait()


class Server:
    """An S3 server with its buckets below a directory, and links to it as they are asked for. Ends what it started."""

    def __init__(self, program, link, root, log):
        self.link, self.root, self.links = link, root, {}
        root.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--access-key", KEY, "--secret-key", SECRET, root]
        # It ends with its input, as a link does, so that nothing is left of a run that was killed.
        line = ["sh", "-c", '"$0" "$@" & read -r _; kill $!; wait', program, *words]
        with open(log, "ab") as out:
            env = {**os.environ, "RUST_LOG": "error"}
            self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=out, stderr=out, env=env)

    def __enter__(self):
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            time.sleep(0.05)
        raise OSError("the S3 server does not answer")

    def __exit__(self, *_):
        for link in self.links.values():
            link.end()
        self.process.stdin.close()
        self.process.wait()

    def to(self, place):
        """The link of a place; the same for all who ask."""
        if place.name not in self.links:
            self.links[place.name] = Link(self.link, self.port, place.delay)
        return self.links[place.name]

    def bucket(self, name):
        """A new and empty one: its directory."""
        folder = self.root / name
        folder.mkdir()
        return folder


def environment(url):
    """What clients of S3 read, all the same."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
