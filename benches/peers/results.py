"""What was measured: a row of tab-separated values for each step of each tool in each round, and medians of rounds."""

import dataclasses
import statistics

# Beginnings of notes.
FAILED, OVER = "failed", "over"


@dataclasses.dataclass(frozen=True)
class Row:
    """One step; names of fields are the heads of the columns."""

    place: str
    group: str
    step: str
    tool: str
    round: int
    wall: float  # seconds
    cpu: float  # seconds, user + system of all processes
    sync: float  # seconds of syncing the file system after it
    memory: int  # bytes, all processes together at the worst moment
    logical: int  # bytes of the tree
    files: int  # of the tree
    changed: int  # files that are not those of the version before
    stored: int  # bytes in the store after it
    new: int  # bytes by which the store grew
    up: int  # bytes that went over the link to the server
    down: int  # bytes that came back
    requests: int  # over the link
    right: int  # 1 when what was restored is equal, byte by byte
    note: str = ""  # what the tool said, or why there is nothing to say

    @property
    def sent(self):
        """Bytes that left the machine; into a directory, what it grew by."""
        return self.up or self.new

    @property
    def stopped(self):
        """Whether the step did not end well, so that its numbers say nothing."""
        return self.note.startswith((FAILED, OVER))

    def line(self):
        """As it is written."""
        values = dataclasses.astuple(self)
        return "\t".join(f"{value:.4f}" if isinstance(value, float) else str(value) for value in values)


FIELDS = dataclasses.fields(Row)
HEAD = "\t".join(field.name for field in FIELDS)


def load(path):
    """The rows of a file; none where there is no file."""
    if not path.exists():
        return []
    head, *lines = path.read_text().splitlines()
    if head != HEAD:
        raise ValueError(f"{path} has other columns than this program writes; measure again")
    return [Row(*(field.type(value) for field, value in zip(FIELDS, line.split("\t"), strict=True))) for line in lines]


class Results:
    """Medians over rounds."""

    def __init__(self, rows):
        self.rows = [row for row in rows if not row.stopped]
        self.stops = {(row.group, row.step, row.tool): row.note for row in rows if row.stopped}
        self.by_cell = {}
        for row in self.rows:
            self.by_cell.setdefault((row.group, row.step, row.tool), []).append(row)

    @property
    def rounds(self):
        """How many of them there were, of the step that was done most often."""
        return max(map(len, self.by_cell.values()), default=0)

    def steps(self):
        """Pairs of group and step, in the order in which they were first done."""
        return list(dict.fromkeys((row.group, row.step) for row in self.rows))

    def tools(self, group, step):
        """The tools that did a step."""
        return list(dict.fromkeys(row.tool for row in self.rows if (row.group, row.step) == (group, step)))

    def has(self, group, step, tool):
        """Whether a tool did a step."""
        return (group, step, tool) in self.by_cell

    def cell(self, group, step, tool):
        """All rounds of a step of a tool."""
        return self.by_cell[group, step, tool]

    def median(self, group, step, tool, field):
        """Of one field over all rounds; `durable` is wall + sync."""
        rows = self.cell(group, step, tool)
        if field == "durable":
            return statistics.median(row.wall + row.sync for row in rows)
        return statistics.median(getattr(row, field) for row in rows)

    def right(self, group, step, tool):
        """Whether every round gave back what was taken in."""
        return all(row.right for row in self.cell(group, step, tool))
