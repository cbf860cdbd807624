"""The rounds: every tool does each step in turn (A B C, in the next round C B A), on a tree and in a store of its own."""

import os
import shutil
import sys
import time
from pathlib import Path

from . import trees
from .results import Row
from .step import Failed
from .tools import FLOOR

# Above so many files, a directory is deleted only after all measuring: ext4 creates files up to ten times slower for minutes
# after a mass delete, which would punish whoever comes next. Its large files are emptied, and other directories go at once,
# since disks are finite.
MANY_FILES, LARGE_FILE = 500, 1 << 20


class Entrant:
    """A tool in one round of one group: its tree, its store, its home."""

    def __init__(self, tool, root, places):
        self.tool, self.root = tool, root
        self.tree = root / "data"
        for name in ("data", "home", "tmp"):
            (root / name).mkdir(parents=True)
        self.places = {**places, "store": root / "store", "home": root / "home", "dir": self.tree}
        self.ids, self.before, self.stored = {}, "", 0
        self.env = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "tmp"),
            **{key: value.format(**self.places) for key, value in tool.env.items()},
        }

    def line(self, template, **more):
        """A template of the tool with its places filled in."""
        return self.tool.line(template, **self.places, **more)

    def start(self, meter):
        """The empty store, untimed."""
        if self.tool.start:
            meter.run(self.line("start"), self.env, self.root)
            self.stored = self.weigh()

    def ingest(self, meter, version):
        """Take in the tree as it is."""
        template = "again" if self.before and self.tool.again else "ingest"
        cost = meter.run(self.line(template, version=version.name, before=self.before), self.env, self.root)
        self.before = version.name
        if self.tool.find:
            self.ids[version.name] = meter.run(self.line("find", version=version.name), self.env, self.root).output.strip()
        return cost

    def restore(self, meter, version):
        """Give a version back; returns the cost, whether all bytes are right, and where they are."""
        out = self.root / f"out-{version.name}"
        out.mkdir()
        os.sync()
        line = self.line("restore", version=version.name, out=out, id=self.ids.get(version.name, ""))
        return meter.run(line, self.env, self.root), version.is_in(out / "data"), out

    def weigh(self):
        """Bytes that count as stored."""
        return trees.bytes_below(self.line("stored"))


class Contest:
    """Tools, data, a place to work in, and where the rows go."""

    def __init__(self, tools, places, data, work, meter, emit):
        self.tools, self.places, self.data, self.work = tools, places, data, Path(work)
        self.meter, self.emit = meter, emit
        self.attic = self.work / "attic"
        self.attic.mkdir(parents=True, exist_ok=True)
        self.dropped = set()

    def run(self, groups, rounds):
        """All rounds of all groups."""
        for group in groups:
            versions = trees.versions(self.data, group)
            for turn in range(rounds):
                order = [tool for tool in self.tools if (tool.name, group) not in self.dropped]
                self.round(group, versions, turn, order if turn % 2 == 0 else order[::-1])

    def round(self, group, versions, turn, order):
        """Each version into every store, then the first and the last out of each."""
        entrants = []
        for tool in order:
            root = self.work / f"{group}-{turn + 1}-{tool.name.replace(' ', '')}"
            self.set_aside(root)
            entrants.append(Entrant(tool, root, self.places))
        entrants = [one for one in entrants if self.tries(one, group, "start", lambda one: one.start(self.meter))]
        for version in versions:
            for entrant in list(entrants):
                step = lambda one, version=version: self.ingest(one, group, version, turn)
                if not self.tries(entrant, group, f"ingest {version.name}", step):
                    entrants.remove(entrant)
        for version in dict.fromkeys((versions[0], versions[-1])):
            for entrant in list(entrants):
                step = lambda one, version=version: self.restore(one, group, version, turn)
                if not self.tries(entrant, group, f"restore {version.name}", step):
                    entrants.remove(entrant)
        for entrant in entrants:
            self.set_aside(entrant.root)

    def ingest(self, entrant, group, version, turn):
        """One measured ingest."""
        version.apply(entrant.tree)
        os.sync()
        # No tool takes files of this very second for settled: some wait for it to end, some read them again the next time.
        time.sleep(1.1)
        cost = entrant.ingest(self.meter, version)
        stored = entrant.weigh()
        self.put(entrant, group, f"ingest {version.name}", turn, version, cost, stored - entrant.stored, stored, True)
        entrant.stored = stored

    def restore(self, entrant, group, version, turn):
        """One measured restore."""
        cost, right, out = entrant.restore(self.meter, version)
        self.put(entrant, group, f"restore {version.name}", turn, version, cost, 0, entrant.stored, right)
        self.set_aside(out)

    def put(self, entrant, group, step, turn, version, cost, new, stored, right):
        """A row. The floor says itself how long each of its passes took; what it does between them does not count."""
        tool, wall, cpu, note = entrant.tool, cost.wall, cost.cpu, ""
        if tool.kind == FLOOR:
            passes = [line.split() for line in cost.output.splitlines()]
            wall, cpu = sum(float(seconds) for _, seconds in passes), 0.0
            note = " ".join(f"{name}={seconds}" for name, seconds in passes)
        places = (group, step, tool.name, turn + 1)
        amounts = (version.size, len(version.files), len(version.changed), stored, new)
        self.emit(Row(*places, wall, cpu, cost.sync, cost.memory, *amounts, int(right), note))

    def tries(self, entrant, group, step, action):
        """Whether a step went well; a tool that fails is out of this group, loudly."""
        try:
            action(entrant)
        except Failed as error:
            self.dropped.add((entrant.tool.name, group))
            print(f"DROPPED: {entrant.tool.name}, {group}, {step}: {error}", file=sys.stderr, flush=True)
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
            if file.lstat().st_size >= LARGE_FILE:
                file.chmod(0o600)
                os.truncate(file, 0)
        path.rename(self.attic / f"{path.name}-{len(os.listdir(self.attic))}")

    def clean(self):
        """What was set aside; nothing is measured after this."""
        discard(self.attic)


def discard(path):
    """Delete a tree, read-only directories in it too."""
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
    shutil.rmtree(path)
