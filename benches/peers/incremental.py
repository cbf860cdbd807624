"""The next version of each dataset, in a directory and in buckets: the figure that is promised, and a table a place.

Bytes are compared with the smallest and seconds with the fastest of all tools that deduplicate and gave back the right bytes;
in one place those may be two.
"""

import dataclasses

from .places import PLACES
from .report import shown
from .results import FAILED
from .tool import DEDUPLICATES, OURS, VERB

FIRST, NEXT, BACK = "ingest v1", "ingest v2", "restore v2"
BYTES, WALL = 1.05, 1.0
OUR_VERBS = "commit + push"


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Ours to the best peer of one kind."""

    ours: float
    peer: str
    best: float

    @property
    def times(self):
        """How many times as much."""
        return self.ours / self.best


@dataclasses.dataclass(frozen=True)
class Line:
    """One dataset in one place. What was not measured is None."""

    place: str
    group: str
    sent: Ratio | None
    wall: Ratio | None
    verb_sent: Ratio | None
    verb_wall: Ratio | None
    cpu: float | None  # our processor time to that of the fastest: quieter than wall

    @property
    def met(self):
        """Whether the library, which does what the peers do, keeps both limits."""
        if not self.sent or not self.wall:
            return None
        return self.sent.times <= BYTES and self.wall.times <= WALL


class Figure:
    """Knows the results of each place, and its tools."""

    def __init__(self, results, tables):
        self.results, self.tables = results, tables

    def lines(self):
        """All of them, place by place."""
        for place, found in self.results.items():
            for group in dict.fromkeys(group for group, _ in found.steps()):
                names = (self.library(place), OUR_VERBS)
                ratios = [self.ratio(place, group, name, field) for name in names for field in ("sent", "wall")]
                yield Line(place, group, *ratios, self.processor(place, group, ratios[1]))

    def library(self, place):
        """The name of ours."""
        return next(name for name, tool in self.tables[place].items() if tool.kind == OURS)

    def ratio(self, place, group, name, field):
        """Of one of ours to the best peer, if both are right."""
        found = self.results[place]
        peers = [
            other
            for other in found.tools(group, NEXT)
            if self.tables[place][other].kind == DEDUPLICATES and self.is_sound(place, group, other)
        ]
        if not peers or not found.has(group, NEXT, name) or not self.is_sound(place, group, name):
            return None
        of = lambda other: found.median(group, NEXT, other, field)
        best = min(peers, key=of)
        return Ratio(of(name), best, of(best)) if of(best) else None

    def processor(self, place, group, wall):
        """Of ours to the one that is fastest by the clock."""
        of = lambda name: self.results[place].median(group, NEXT, name, "cpu")
        return of(self.library(place)) / of(wall.peer) if wall and of(wall.peer) else None

    def is_sound(self, place, group, name):
        """Whether nothing that a tool did with a dataset went wrong."""
        found = self.results[place]
        failed = any(found.stops.get((group, step, name), "").startswith(FAILED) for step in (FIRST, NEXT, BACK))
        did = (step for step in (FIRST, NEXT, BACK) if found.has(group, step, name))
        return not failed and all(found.right(group, step, name) for step in did)

    def table(self):
        """The figure."""
        rows = [
            "| place | data | smallest peer | ours sends | commit + push | fastest peer | ours takes | CPU | commit + push | met |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for line in self.lines():
            met = "not measured" if line.met is None else "yes" if line.met else "**NO**"
            sent, wall = peer(line.sent, 1e6, "MB"), peer(line.wall, 1, "s")
            cpu = f"{line.cpu:.2f} x" if line.cpu else ""
            cells = (sent, times(line.sent), times(line.verb_sent), wall, times(line.wall), cpu, times(line.verb_wall), met)
            rows.append(f"| {line.place} | {line.group} | {' | '.join(cells)} |")
        return "\n".join(rows)

    def place(self, name):
        """Everything of a place: a line a dataset and tool."""
        found, linked = self.results[name], PLACES[name].delay is not None
        columns = ["wall s", "CPU s", "MB up", *(["requests"] if linked else [])]
        back = ["wall s", "CPU s", *(["MB down", "requests"] if linked else [])]
        heads = ["data", "tool", *(f"first: {it}" for it in columns), *(f"next: {it}" for it in columns)]
        heads += [*(f"back: {it}" for it in back), "MiB", "right"]
        yield f"| {' | '.join(heads)} |"
        yield "|---" * len(heads) + "|"
        for group in dict.fromkeys(group for group, _ in found.steps()):
            tried = {tool for other, _, tool in {**found.by_cell, **found.stops} if other == group}
            for tool in (tool for tool in self.tables[name] if tool in tried):
                cells = self.moved(found, group, FIRST, tool, "sent", linked)
                cells += self.moved(found, group, NEXT, tool, "sent", linked)
                cells += self.moved(found, group, BACK, tool, "down" if linked else "", linked)
                did = [step for step in (FIRST, NEXT, BACK) if found.has(group, step, tool)]
                memory = max((found.median(group, step, tool, "memory") for step in did), default=0)
                right = "" if BACK not in did else "yes" if found.right(group, BACK, tool) else "**NO**"
                shown = f"**{tool}**" if self.tables[name][tool].kind in (OURS, VERB) else tool
                yield f"| {group} | {shown} | {' | '.join(cells)} | {memory / (1 << 20):.0f} | {right} |"

    def moved(self, found, group, step, tool, field, linked):
        """The cells of a step."""
        count = 2 + bool(field) + linked
        if not found.has(group, step, tool):
            return [found.stops.get((group, step, tool), "")] + [""] * (count - 1)
        of = lambda field: found.median(group, step, tool, field)
        cells = [f"{of('wall'):.2f}", f"{of('cpu'):.2f}"]
        cells += [f"{of(field) / 1e6:.2f}"] if field else []
        return cells + ([f"{of('requests'):.0f}"] if linked else [])


def times(ratio):
    """As it stands in the table."""
    return f"{ratio.times:.3f} x" if ratio else ""


def peer(ratio, unit, name):
    """Who was the best, and how good."""
    return f"{ratio.peer} {ratio.best / unit:.2f} {name}" if ratio else ""


def commands(figure, which):
    """How each tool was called, in a directory and in a bucket."""
    lines = ["| tool | version | | start | push | restore | |", "|---|---|---|---|---|---|---|"]
    seen = set()
    for place, found in figure.results.items():
        kind = "directory" if PLACES[place].delay is None else "bucket"
        for name in dict.fromkeys(row.tool for row in found.rows):
            tool = figure.tables[place][name]
            if (name, kind) not in seen:
                seen.add((name, kind))
                templates = (tool.start, tool.again or tool.ingest, tool.restore)
                cells = (f"`{shown(line)}`" if line else "" for line in templates)
                words = (name, which.get(name, ""), kind, *cells, tool.remark)
                lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines)


def page(figure, facts, which, plot):
    """Everything that stands between the marks."""
    rounds = max((found.rounds for found in figure.results.values()), default=0)
    how = (
        f"Medians of {rounds} round(s); in each, every tool does each step in turn (A B C, then C B A). MB up and down and requests"
        " are counted at the link, with their heads and signatures; in a directory *up* is by how much the store grew. First: into"
        " an empty store. Next: the second version of the tree, unchanged files as they were. Back: that version, on a machine"
        " without any cache of the tool. Right: equal byte by byte to what was taken in. MiB: the most memory of the three. A"
        " peer is one that deduplicates; who keeps whole files is in the tables and is not compared. Met: ours sends at most"
        f" {BYTES:g} x the smallest peer's bytes, and takes no longer than the fastest one. CPU: of ours to that one's, which moves"
        " less than the clock where others work too. Ours is the library on a tree, as the peers are programs on a tree;"
        " *commit + push* is what a user types, git's own work with it. A peer may leave its bytes unsynced (xet, casync)."
    )
    parts = [f"`{facts['command']}`", facts["machine"], how, figure.table()]
    parts += [f"![Seconds of the next push of each dataset, place by place]({plot})"] if plot else []
    for name in figure.results:
        parts.append(f"<details><summary>{name}: every step</summary>\n\n" + "\n".join(figure.place(name)) + "\n\n</details>")
    parts.append(f"<details><summary>Commands</summary>\n\n{commands(figure, which)}\n\n</details>")
    return "\n\n".join(parts) + "\n"
