"""The results as Markdown: a table a group and step, what winning means, how it was measured."""

from .tool import COPIES, DEDUPLICATES, FLOOR, OURS, VERB
from .winning import MIB, Judge

HEAD = "| tool | wall s | x best peer | x floor | CPU s | durable s | memory MiB | new MB | stored MB | right |"
RULE = "|---|---|---|---|---|---|---|---|---|---|"


def times(ratio):
    """A ratio, or nothing."""
    return f"{ratio:.2f}" if ratio else ""


class Report:
    """Writes the page from results and the tools they are of."""

    def __init__(self, results, tools):
        self.results, self.tools = results, tools
        self.judge = Judge(results, {name: tool.kind for name, tool in tools.items()})

    def winning(self):
        """The verdicts."""
        lines = ["| what | to reach | reference | measured | CPU | to the floor | met |", "|---|---|---|---|---|---|---|"]
        for one in self.judge.verdicts():
            met = "not measured" if one.met is None else "yes" if one.met else "**NO**"
            lines.append(f"| {one.what} | {one.target} | {one.reference} | {one.measured} | {one.cpu} | {one.floor} | {met} |")
        return "\n".join(lines)

    def steps(self):
        """A table a step, the fastest first."""
        for group, step in self.results.steps():
            first = self.results.cell(group, step, self.results.tools(group, step)[0])[0]
            changed = f", {first.changed} of them changed" if step.startswith("ingest") and step != "ingest v1" else ""
            title = f"**{group}, {step}**: {first.logical / 1e6:.0f} MB in {first.files} files{changed}"
            names = sorted(self.results.tools(group, step), key=lambda name: self.results.median(group, step, name, "wall"))
            yield "\n".join([title, "", HEAD, RULE, *(self.line(group, step, name) for name in names)])

    def line(self, group, step, name):
        """A tool's row of a step."""
        of = lambda field: self.results.median(group, step, name, field)
        kind = self.tools[name].kind
        shown = f"**{name}**" if kind in (OURS, VERB) else name
        peer, floor = (times(self.judge.ratio(group, step, name, other)) for other in (DEDUPLICATES, FLOOR))
        if kind == FLOOR:
            return f"| {shown} | {of('wall'):.2f} | {peer} | {floor} | | | | | | yes |"
        new = f"{of('new') / 1e6:.1f}" if step.startswith("ingest") else ""
        right = "yes" if self.results.right(group, step, name) else "**NO**"
        return (
            f"| {shown} | {of('wall'):.2f} | {peer} | {floor} | {of('cpu'):.2f} | {of('durable'):.2f}"
            f" | {of('memory') / MIB:.0f} | {new} | {of('stored') / 1e6:.1f} | {right} |"
        )

    def passes(self):
        """What the floor is made of: medians of each pass."""
        lines = ["| | seconds of each pass |", "|---|---|"]
        for group, step in self.results.steps():
            for name in self.judge.named(group, step, FLOOR):
                rows = [dict(word.split("=") for word in row.note.split()) for row in self.results.cell(group, step, name)]
                middle = {key: sorted(float(row[key]) for row in rows)[len(rows) // 2] for key in rows[0]}
                words = ", ".join(f"{key} {seconds:.3f}" for key, seconds in middle.items())
                lines.append(f"| {group}, {step} | {words} |")
        return "\n".join(lines) if len(lines) > 2 else ""

    def commands(self, which):
        """How each tool was called."""
        lines = ["| tool | version | ingest | restore | |", "|---|---|---|---|---|"]
        for name in dict.fromkeys(row.tool for row in self.results.rows):
            tool = self.tools[name]
            ingest, restore = (f"`{shown(line)}`" for line in (tool.again or tool.ingest, tool.restore))
            lines.append(f"| {name} | {which.get(name, '')} | {ingest} | {restore} | {tool.remark} |")
        return "\n".join(lines)


def shown(template):
    """A template as it is written for people: `$STORE` for what was filled in; a bar would end the cell."""
    words = ("bin", "ours", "store", "home", "dir", "version", "before", "out", "id", "bucket", "folder", "endpoint", "port")
    return (
        template.format(**{word: f"${word.upper()}" for word in words})
        .replace("$BIN/", "")
        .replace("$OURS/", "")
        .replace("|", "\\|")
    )


def page(report, facts, which, plot):
    """Everything that stands between the marks."""
    names = {row.tool for row in report.results.rows}
    without = [name for name in report.tools if name not in names]
    absent = f" Not in this run: {', '.join(without)}." if without else ""
    copies = ", ".join(name for name, tool in report.tools.items() if tool.kind == COPIES)
    how = (
        f"Medians of {report.results.rounds} round(s); in each, every tool does each step in turn (A B C, then C B A). Whole"
        " processes, page cache hot, each tool on its own tree, in which unchanged files keep inode and times. CPU: user +"
        " system of all processes. Durable: wall, and `sync -f` of the file system after it. Memory:"
        f" {facts['memory']}. New: by how much the store grew. Right: what was restored is equal byte by byte. The best peer is"
        f" the fastest that deduplicates, so not {copies}. The floor is one pass after the other, each on all cores, with the"
        f" program's own cutting and compression.{absent}"
    )
    parts = [
        f"`{facts['command']}`",
        facts["machine"],
        how,
        "### What winning means",
        report.winning(),
        *([f"![Seconds of each step, tool by tool]({plot})"] if plot else []),
        "### Each step",
        *report.steps(),
        "### The floor",
        report.passes() or "Not measured in this run.",
        "### Commands",
        report.commands(which),
    ]
    return "\n\n".join(parts) + "\n"
