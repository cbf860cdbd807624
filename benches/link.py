#!/usr/bin/env python3
"""The transfer engine over a link: a bucket in memory, so far away, so wide, and cut when wanted (`examples/bucket.rs`).

    cargo build --release --bin git-datamon --example bucket --example plain
    benches/link.py small            10,000 files of 20 KB, pushed and cloned
    benches/link.py large            1 GiB at random, beside plain parallel PUT and GET of the same bytes
    benches/link.py cut              100 MB on a link of 1 MB/s that is cut every 30 s

`--delay MS` is a round trip, `--rate BYTES` a second each way, `--cut SECONDS`; `--binary PATH` measures another git-datamon,
`--size MIB` another large file.
"""

import argparse
import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
RELEASE = TOP / "target" / "release"


class Bucket:
    """A server behind a link, for one measurement."""

    def __init__(self, weather):
        command = [RELEASE / "examples" / "bucket"]
        for name, value in weather.items():
            if value is not None:
                command += [f"--{name}", str(value)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def counts(self):
        """Bytes up, bytes down, requests, cuts so far."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return [int(word) for word in self.process.stdout.readline().split()]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Place:
    """A home of its own, with git-datamon in it."""

    def __init__(self, root, binary, url):
        self.root = Path(root)
        (self.root / "bin").mkdir()
        (self.root / "bin" / "git-datamon").symlink_to(binary)
        self.env = {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.root),
            "TMPDIR": str(self.root),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "thing",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name, value in [("user.name", "A"), ("user.email", "a@example.com"), ("init.defaultBranch", "main")]:
            self.run("git", "config", "--global", name, value)
        self.run("git", "datamon", "install")

    def run(self, *words, where=".", env=None):
        """Runs a command; gives seconds, the most memory it had in use (bytes), and what it printed."""
        begin = time.monotonic()
        process = subprocess.Popen(
            words, cwd=self.root / where, env={**self.env, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        peak = 0
        while True:
            try:
                out, err = process.communicate(timeout=0.05)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, memory(process.pid))
        if process.returncode:
            raise SystemExit(f"{' '.join(map(str, words))}: {err or out}")
        return time.monotonic() - begin, peak, out

    def repository(self, files):
        """A repository with these files committed, its data still here."""
        self.run("git", "init", "-q", "--bare", "remote.git")
        self.run("git", "init", "-q", "first")
        self.run("git", "remote", "add", "origin", str(self.root / "remote.git"), where="first")
        self.run("git", "datamon", "init", "--store", "s3://bucket/store", "--track", "*.bin", where="first")
        files(self.root / "first")
        self.run("git", "add", ".", where="first")
        self.run("git", "commit", "-qm", "data", where="first")


def memory(pid):
    """The most memory that a process or one of its children ever had in use, bytes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
    own = int(line.split()[1]) * 1024 if line else 0
    return max([own] + [memory(int(child)) for child in children])


def random_file(path, seed, size):
    source = random.Random(seed)
    with open(path, "wb") as file:
        for _ in range(0, size, 1 << 20):
            file.write(source.randbytes(min(size, 1 << 20)))


def small(place, bucket, _):
    def files(folder):
        for n in range(10_000):
            random_file(folder / f"{n}.bin", n, 20_000)

    place.repository(files)
    seconds, peak, _ = place.run("git", "datamon", "push", "-u", "origin", "main", where="first")
    say("push", seconds, peak, bucket)
    seconds, peak, _ = place.run("git", "datamon", "clone", "-q", "remote.git", "second")
    say("clone", seconds, peak, bucket)
    seconds, _, _ = place.run("git", "clone", "-q", "remote.git", "bare", env={"GIT_LFS_SKIP_SMUDGE": "1"})
    print(f"git's own clone  {seconds:6.2f} s")
    same(place, [f"{n}.bin" for n in range(0, 10_000, 97)])


def large(place, bucket, arguments):
    size = arguments.size << 20
    place.repository(lambda folder: random_file(folder / "large.bin", 1, size))
    file, back = place.root / "first" / "large.bin", place.root / "back.bin"
    plain = RELEASE / "examples" / "plain"
    ratios = []
    up = float(place.run(plain, "up", "s3://bucket/plain", file)[2])
    seconds, peak, _ = place.run("git", "datamon", "push", "-u", "origin", "main", where="first")
    say("push", seconds, peak, bucket)
    again = float(place.run(plain, "up", "s3://bucket/plain", file)[2])
    plain_up = (up + again) / 2
    print(f"plain PUT        {plain_up:6.2f} s   ({up:.2f}, {again:.2f}): {plain_up / seconds:.0%}")
    down = float(place.run(plain, "down", "s3://bucket/plain", back)[2])
    back.unlink()
    seconds, peak, _ = place.run("git", "datamon", "clone", "-q", "remote.git", "second")
    say("clone", seconds, peak, bucket)
    again = float(place.run(plain, "down", "s3://bucket/plain", back)[2])
    plain_down = (down + again) / 2
    print(f"plain GET        {plain_down:6.2f} s   ({down:.2f}, {again:.2f}): {plain_down / seconds:.0%}")
    same(place, ["large.bin"])


def cut(place, bucket, _):
    place.repository(lambda folder: random_file(folder / "large.bin", 1, 100_000_000))
    before = bucket.counts()
    seconds, peak, _ = place.run("git", "datamon", "push", "-u", "origin", "main", where="first")
    say("push", seconds, peak, bucket)
    after = bucket.counts()
    print(f"{(after[0] - before[0]) / 1e8:.3f} x the bytes, {after[3] - before[3]} cuts")


def say(what, seconds, peak, bucket):
    up, down, requests, cuts = bucket.counts()
    print(
        f"{what:16} {seconds:6.2f} s   {peak / 2**20:4.0f} MiB   so far {up / 1e6:.1f} MB up, {down / 1e6:.1f} MB down,"
        f" {requests} requests, {cuts} cuts",
        flush=True,
    )


def same(place, names):
    for name in names:
        one, other = (place.root / clone / name for clone in ("first", "second"))
        if one.read_bytes() != other.read_bytes():
            raise SystemExit(f"{name} came back with other bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["small", "large", "cut"])
    parser.add_argument("--delay", type=float, default=20)
    parser.add_argument("--rate", type=int)
    parser.add_argument("--cut", type=float)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--binary", type=Path, default=RELEASE / "git-datamon")
    arguments = parser.parse_args()
    if arguments.what == "cut":
        arguments.rate, arguments.cut = arguments.rate or 1_000_000, arguments.cut or 30
    bucket = Bucket({"delay": arguments.delay, "rate": arguments.rate, "cut": arguments.cut})
    root = tempfile.mkdtemp()
    try:
        place = Place(root, arguments.binary.resolve(), bucket.url)
        {"small": small, "large": large, "cut": cut}[arguments.what](place, bucket, arguments)
    finally:
        bucket.end()
        shutil.rmtree(root, ignore_errors=True)


main()
