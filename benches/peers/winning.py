"""What winning means: each ratio that is to be reached, and whether it is, all from one run.

The best peer of a time is the fastest tool that deduplicates (not `cp -r`, not the floor) and gave back the right bytes.
"""

import dataclasses

from .tool import COPIES, DEDUPLICATES, FLOOR, OURS, VERB

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One line of the table. `met` is None where something needed was not measured."""

    what: str
    target: str
    reference: str
    measured: str
    met: bool | None
    cpu: str = ""  # our processor time to that of the reference: quieter than wall
    floor: str = ""  # our wall time to the floor's


@dataclasses.dataclass(frozen=True)
class Time:
    """A limit on our wall seconds of a step, by the library or a verb: at most `limit` times those of the reference."""

    what: str
    group: str
    step: str
    limit: float
    against: str = DEDUPLICATES
    ours: str = OURS


@dataclasses.dataclass(frozen=True)
class Bytes:
    """A limit on our bytes (`field`: stored, or new) after a step: at most `limit` times the smallest peer's."""

    what: str
    group: str
    step: str
    field: str
    limit: float


TIMES = (
    Time("cold ingest, large", "large", "ingest v1", 0.6),
    Time("next version, large", "large", "ingest v2", 0.6),
    Time("third version, large", "large", "ingest v3", 0.6),
    Time("cold ingest, small files", "images", "ingest v1", 0.35),
    Time("cold ingest, small files", "images", "ingest v1", 1.0, COPIES),
    Time("next version, small files", "images", "ingest v2", 0.25),
    Time("next version, small files, `git datamon commit`", "images", "ingest v2", 0.25, ours=VERB),
    Time("restore first, large", "large", "restore v1", 0.45),
    Time("restore last, large", "large", "restore v3", 0.40),
    Time("restore first, small files", "images", "restore v1", 0.5),
    Time("restore first, small files", "images", "restore v1", 1.0, COPIES),
)
BYTES = (
    Bytes("bytes added by v2, large", "large", "ingest v2", "new", 1.05),
    Bytes("bytes added by v3, large", "large", "ingest v3", "new", 1.05),
    Bytes("stored after three versions, large", "large", "ingest v3", "stored", 0.93),
)
MEMORY = 128 * MIB


class Judge:
    """Knows the results and what kind of tool each name is."""

    def __init__(self, results, kinds):
        self.results, self.kinds = results, kinds

    def named(self, group, step, kind):
        """Tools of a kind that did a step; of others than ours those that did it rightly."""
        names = [name for name in self.results.tools(group, step) if self.kinds.get(name) == kind]
        return [name for name in names if kind in (OURS, VERB) or self.results.right(group, step, name)]

    def best(self, group, step, kind, field="wall"):
        """The one with the least, or None."""
        names = self.named(group, step, kind)
        return min(names, key=lambda name: self.results.median(group, step, name, field), default=None)

    def ratio(self, group, step, name, kind, field="wall"):
        """Of a tool to the best of a kind; None where there is none."""
        best = self.best(group, step, kind, field)
        under = best and self.results.median(group, step, best, field)
        return self.results.median(group, step, name, field) / under if under else None

    def shown(self, group, step, name, field):
        """The reference in words."""
        if not name:
            return "not measured"
        amount = self.results.median(group, step, name, field)
        return f"{name} {amount:.2f} s" if field in ("wall", "cpu") else f"{name} {amount / 1e6:.1f} MB"

    def verdicts(self):
        """All lines."""
        for row in TIMES:
            yield self.time(row)
        yield self.processor()
        for row in BYTES:
            yield self.bytes(row)
        yield self.memory()

    def time(self, row):
        """Wall seconds against a peer or a copy."""
        ours, best = self.best(row.group, row.step, row.ours), self.best(row.group, row.step, row.against)
        target = f"≤ {row.limit:g} x wall"
        reference = self.shown(row.group, row.step, best, "wall")
        if not ours or not best:
            return Verdict(row.what, target, reference, "not measured", None)
        ratio = self.ratio(row.group, row.step, ours, row.against)
        floor = self.ratio(row.group, row.step, ours, FLOOR)
        processor = [self.results.median(row.group, row.step, name, "cpu") for name in (ours, best)]
        cpu = f"{processor[0] / processor[1]:.2f} x" if processor[1] else ""
        own = self.results.median(row.group, row.step, ours, "wall")
        right = self.results.right(row.group, row.step, ours)
        measured = f"{ratio:.2f} x ({own:.2f} s){'' if right else ', WRONG BYTES'}"
        above = f"{floor:.2f} x" if floor else ""
        return Verdict(row.what, target, reference, measured, right and ratio <= row.limit, cpu, above)

    def processor(self):
        """Not bought with more processor than the fastest peer took."""
        group, step = "large", "ingest v1"
        ours, best = self.best(group, step, OURS), self.best(group, step, DEDUPLICATES)
        what, target = "cold ingest, large: processor", "≤ 1 x CPU of the fastest"
        reference = self.shown(group, step, best, "cpu")
        if not ours or not best:
            return Verdict(what, target, reference, "not measured", None)
        own, other = (self.results.median(group, step, name, "cpu") for name in (ours, best))
        return Verdict(what, target, reference, f"{own / other:.2f} x ({own:.2f} s)", own <= other)

    def bytes(self, row):
        """Bytes against the smallest peer; each is compared with the one that is best at just this."""
        ours = self.best(row.group, row.step, OURS, row.field)
        best = self.best(row.group, row.step, DEDUPLICATES, row.field)
        target = f"≤ {row.limit:g} x bytes"
        reference = self.shown(row.group, row.step, best, row.field)
        if not ours or not best:
            return Verdict(row.what, target, reference, "not measured", None)
        own, other = (self.results.median(row.group, row.step, name, row.field) for name in (ours, best))
        measured = f"{own / other:.3f} x ({own / 1e6:.1f} MB)"
        return Verdict(row.what, target, reference, measured, own <= row.limit * other)

    def memory(self):
        """The worst of all steps of all groups."""
        what, target = "memory, all our processes, worst step", f"≤ {MEMORY // MIB} MiB"
        peaks = [
            (self.results.median(group, step, name, "memory"), f"{group} {step}")
            for group, step in self.results.steps()
            for kind in (OURS, VERB)
            for name in self.named(group, step, kind)
        ]
        if not peaks:
            return Verdict(what, target, "", "not measured", None)
        most, where = max(peaks)
        return Verdict(what, target, "", f"{most / MIB:.0f} MiB ({where})", most <= MEMORY)
