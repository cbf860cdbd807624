"""The rounds: every tool does each step in turn (A B C, in the next round C B A), on a tree and in a store of its own."""

import os
import shutil
import sys
import time
from pathlib import Path

from . import places, trees
from .results import FAILED, OVER, Row
from .step import Failed, Overran
from .tool import FLOOR

# Above so many files, a directory is deleted only after all measuring in a place: ext4 creates files up to ten times slower for
# minutes after a mass delete, which would punish whoever comes next. Its large files are emptied, and other directories go at
# once, since disks are finite.
MANY_FILES, LARGE_FILE = 500, 1 << 20


class Entrant:
    """A tool in one round of one group: its tree, its store, its home."""

    def __init__(self, tool, root, programs, limit):
        self.tool, self.root, self.limit = tool, root, limit
        self.tree = root / "data"
        for name in ("data", "home", "tmp"):
            (root / name).mkdir(parents=True)
        self.weighed, self.link = None, None
        self.places = {**programs, "store": root / "store", "home": root / "home", "dir": self.tree}
        self.ids, self.before, self.stored = {}, "", 0
        self.base = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "tmp"),
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def move_to(self, server, place):
        """The store is an empty bucket at the end of the link of a place."""
        name = "".join(letter if letter.isalnum() else "-" for letter in self.root.name.lower())
        self.link, self.weighed = server.to(place), server.bucket(name)
        self.places |= {"store": f"s3://{name}/store", "bucket": name, "folder": self.weighed, "endpoint": self.link.url}
        self.places["port"] = self.link.url.rpartition(":")[2]
        self.base |= places.environment(self.link.url)

    @property
    def env(self):
        """What its commands see."""
        return self.base | {key: value.format(**self.places) for key, value in self.tool.env.items()}

    def line(self, template, **more):
        """A template of the tool with its places filled in."""
        return self.tool.line(template, **self.places, **more)

    def run(self, meter, template, **more):
        """What a command costs, and what it moved."""
        before = self.traffic()
        cost = meter.run(self.line(template, **more), self.env, self.root, self.limit)
        return cost, self.traffic().since(before)

    def traffic(self):
        """Over its link so far."""
        return self.link.traffic() if self.link else places.Traffic()

    def start(self, meter):
        """The empty store, untimed."""
        if self.tool.start:
            self.run(meter, "start")
            self.stored = self.weigh()

    def ingest(self, meter, version):
        """Take in the tree as it is."""
        template = "again" if self.before and self.tool.again else "ingest"
        cost = self.run(meter, template, version=version.name, before=self.before)
        self.before = version.name
        if self.tool.find:
            self.ids[version.name] = self.run(meter, "find", version=version.name)[0].output.strip()
        return cost

    def restore(self, meter, version, cold):
        """Give a version back; returns the cost, whether all bytes are right, and where they are."""
        if cold:
            for path in (self.root / "home" / "cache", self.root / "home" / "state"):
                if path.exists():
                    discard(path)
        out = self.root / f"out-{version.name}"
        out.mkdir()
        os.sync()
        cost = self.run(meter, "restore", version=version.name, out=out, id=self.ids.get(version.name, ""))
        return cost, version.is_in(out / "data"), out

    def weigh(self):
        """Bytes that count as stored."""
        return trees.bytes_below(self.weighed or self.line("stored"))


class Contest:
    """Programs, data, a place to work in, a server of buckets if one is wanted, and where the rows of a unit go."""

    def __init__(self, programs, data, work, meter, server, limit):
        self.programs, self.data, self.work = programs, data, Path(work)
        self.meter, self.server, self.limit = meter, server, limit
        self.attic = self.work / "attic"
        self.attic.mkdir(parents=True, exist_ok=True)
        self.rows, self.versions = [], {}

    def unit(self, place, group, turn, table):
        """One group in one place by all tools of a table: its rows."""
        self.rows = []
        key = (group, place.most)
        if key not in self.versions:
            self.versions[key] = trees.versions(self.data, *key)
        order = list(table)
        entrants = [self.entrant(tool, place, group, turn) for tool in (order if turn % 2 == 0 else order[::-1])]
        self.steps(place, group, self.versions[key], turn, entrants)
        for entrant in entrants:
            self.set_aside(entrant.root)
            if entrant.link:
                self.set_aside(entrant.weighed)
        return self.rows

    def entrant(self, tool, place, group, turn):
        """With nothing in its store yet."""
        root = self.work / f"{place.name}-{group}-{turn + 1}-{tool.name.replace(' ', '')}"
        self.set_aside(root)
        entrant = Entrant(tool, root, self.programs, self.limit if place.cold else 1800)
        if place.delay is not None:
            self.set_aside(self.server.root / root.name)
            entrant.move_to(self.server, place)
        return entrant

    def steps(self, place, group, versions, turn, entrants):
        """Each version into every store, then those to be given back out of each."""
        begun = (place, group, turn)
        going = [one for one in entrants if self.tries(one, begun, f"ingest {versions[0].name}", lambda it: it.start(self.meter))]
        for version in versions:
            for entrant in going:
                version.apply(entrant.tree)
            os.sync()
            # No tool takes files of this very second for settled: some wait for it to end, some read them again the next time.
            time.sleep(1.1)
            step = lambda one, version=version: self.ingest(one, begun, version)
            going = [one for one in going if self.tries(one, begun, f"ingest {version.name}", step)]
        for version in dict.fromkeys(versions[at] for at in place.restores):
            step = lambda one, version=version: self.restore(one, begun, version)
            going = [one for one in going if self.tries(one, begun, f"restore {version.name}", step)]

    def ingest(self, entrant, begun, version):
        """One measured ingest."""
        cost = entrant.ingest(self.meter, version)
        stored = entrant.weigh()
        self.put(entrant, begun, f"ingest {version.name}", version, cost, stored - entrant.stored, stored, True)
        entrant.stored = stored

    def restore(self, entrant, begun, version):
        """One measured restore."""
        cost, right, out = entrant.restore(self.meter, version, begun[0].cold)
        self.put(entrant, begun, f"restore {version.name}", version, cost, 0, entrant.stored, right)
        self.set_aside(out)

    def put(self, entrant, begun, step, version, costs, new, stored, right, note=""):
        """A row. The floor says itself how long each of its passes took; what it does between them does not count."""
        (place, group, turn), (cost, traffic) = begun, costs
        tool, wall, cpu = entrant.tool, cost.wall, cost.cpu
        if tool.kind == FLOOR:
            passes = [line.split() for line in cost.output.splitlines()]
            wall, cpu = sum(float(seconds) for _, seconds in passes), 0.0
            note = " ".join(f"{name}={seconds}" for name, seconds in passes)
        where = (place.name, group, step, tool.name, turn + 1)
        amounts = (version.size, len(version.files), len(version.changed), stored, new)
        moved = (traffic.up, traffic.down, traffic.requests)
        row = Row(*where, wall, cpu, cost.sync, cost.memory, *amounts, *moved, int(right), note)
        self.rows.append(row)
        say(row)

    def tries(self, entrant, begun, step, action):
        """Whether a step went well; a tool that fails is out of this group, loudly, and a row says so."""
        try:
            action(entrant)
        except Failed as error:
            place, group, turn = begun
            note = f"{OVER} {self.limit:g} s" if isinstance(error, Overran) else FAILED
            where = (place.name, group, step, entrant.tool.name, turn + 1)
            self.rows.append(Row(*where, 0.0, 0.0, 0.0, *[0] * 10, note))
            print(f"DROPPED: {', '.join(map(str, where))}: {error}", file=sys.stderr, flush=True)
            return False
        return True

    def set_aside(self, path):
        """Out of the way."""
        if not path.exists():
            return
        files = trees.files_below(path)
        if len(files) < MANY_FILES:
            discard(path)
            return
        for file in files.values():
            if not file.is_symlink() and file.lstat().st_size >= LARGE_FILE:
                file.chmod(0o600)
                os.truncate(file, 0)
        path.rename(self.attic / f"{path.name}-{len(os.listdir(self.attic))}")

    def clean(self):
        """What was set aside goes, and what the server wrote down of objects that are gone."""
        discard(self.attic)
        self.attic.mkdir()
        for path in self.server.root.glob(".bucket-*") if self.server else ():
            path.unlink()
        os.sync()


def say(row):
    """A row for people."""
    print(
        f"{row.place} {row.group:10} {row.step:11} round {row.round} {row.tool:20} wall {row.wall:6.2f} cpu {row.cpu:6.2f}"
        f" memory {row.memory >> 20:5} MiB new {row.new / 1e6:7.1f} MB up {row.up / 1e6:7.2f} MB down {row.down / 1e6:7.2f} MB"
        f" in {row.requests} requests{'' if row.right else '  WRONG BYTES'}",
        file=sys.stderr,
    )


def discard(path):
    """Delete a tree, read-only directories in it too."""
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
    shutil.rmtree(path)
