"""How one tool is called.

Placeholders: `{bin}` where peers are installed, `{ours}` where our examples are built, `{store}` what counts as stored, a path or
in a bucket its URL, `{home}` a directory for whatever else the tool keeps (manifests; `{home}/cache` and `{home}/state` are what a
machine that comes new does not have; not counted), `{dir}` the tree to take in, `{version}` and `{before}` the names of this
version and the one before, `{out}` an empty directory: the tree is expected in `{out}/data`, `{id}` what `find` printed after
the ingest of that version. Of a bucket: its name `{bucket}`, the directory `{folder}` in which its server keeps it,
and where the server is, `{endpoint}` and `{port}`.
"""

import dataclasses
import subprocess

DEDUPLICATES, OURS, VERB, COPIES, FLOOR = "peer", "ours", "verb", "copy", "floor"


@dataclasses.dataclass(frozen=True)
class Tool:
    """A name, a kind, and templates: lines of sh."""

    name: str
    kind: str
    ingest: str
    restore: str
    again: str = ""  # ingest of a version that has one before it, where that is another command
    start: str = ""  # not timed: makes the store
    find: str = ""  # not timed: prints what the tool calls the version just taken in
    version: str = ""  # prints which one this is
    stored: str = "{store}"  # what of it counts as stored
    env: dict = dataclasses.field(default_factory=dict)
    remark: str = ""

    def line(self, template, **places):
        """A template with everything filled in."""
        return getattr(self, template).format(**places)

    def which(self, places):
        """The first line of what it says of its version."""
        if not self.version:
            return ""
        done = subprocess.run(
            ["sh", "-c", self.version.format(**places)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        return (done.stdout or done.stderr).partition("\n")[0].strip()
