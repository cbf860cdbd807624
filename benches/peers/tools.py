"""The tools that are compared: a table of command templates. A new tool is a row of `table`.

Placeholders: `{bin}` where peers are installed, `{ours}` where our examples are built, `{store}` what counts as stored,
`{home}` a directory for whatever else the tool keeps (caches, manifests; not counted), `{dir}` the tree to take in,
`{version}` and `{before}` the names of this version and the one before, `{out}` an empty directory: the tree is expected in
`{out}/data`, `{id}` what `find` printed after the ingest of that version.
"""

import dataclasses
import os
import subprocess

DEDUPLICATES, OURS, VERB, COPIES, FLOOR = "peer", "ours", "verb", "copy", "floor"


@dataclasses.dataclass(frozen=True)
class Tool:
    """How one tool is called; every template is a line of sh."""

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


def borg(name, compression, remark=""):
    """Borg with one of its compressions."""
    return Tool(
        name,
        DEDUPLICATES,
        f"cd {{dir}}/.. && {{bin}}/borg create --compression {compression} {{store}}::{{version}} data",
        "cd {out} && {bin}/borg extract {store}::{version}",
        start="{bin}/borg init --encryption none {store}",
        version="{bin}/borg --version",
        env={"BORG_BASE_DIR": "{home}", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"},
        remark=remark,
    )


RUSTIC = "{bin}/rustic --log-level error --no-progress -r {store} --password x --cache-dir {home}/cache"
CASYNC = "--without=all --with=permissions --store={store}/chunks.castr {store}/{version}.caidx"
TREE = "{ours}/tree ingest {store} {home}/{version} {dir}"


def table():
    """All tools by name, in the order in which a round goes through them."""
    tools = [
        Tool(
            "git-datamon",
            OURS,
            TREE,
            "{ours}/tree restore {store} {home}/{version} {out}/data",
            again=TREE + " --previous {home}/{before}",
            env={"DATAMON_CACHE_DIR": "{home}/cache", "DATAMON_STATE_DIR": "{home}/state"},
            remark="its library on a tree, by `examples/tree.rs`; every object it writes is fsynced before it ends",
        ),
        Tool(
            "git datamon commit",
            VERB,
            "cd {dir}/.. && git datamon -q commit -m {version} data",
            "git -C {dir}/.. datamon -q download {id} --dest {out}",
            start="cd {dir}/.. && git init -q && git lfs install >/dev/null && git datamon -q install"
            " && git datamon -q init --store {store} --track 'data/**' && git commit -qm 'set up'",
            find="git -C {dir}/.. rev-parse HEAD",
            env={
                "PATH": f"{{ours}}/..:{os.environ['PATH']}",
                "DATAMON_CACHE_DIR": "{home}/cache",
                "DATAMON_STATE_DIR": "{home}/state",
                **{f"GIT_{who}_{what}": "bench@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
            },
            remark="the verb, with all that git and its hooks do for a commit, the version of the dataset and its note",
        ),
        Tool(
            "xet",
            DEDUPLICATES,
            "{bin}/xet-tree ingest {store} {home}/{version} {dir}",
            "{bin}/xet-tree restore {store} {home}/{version} {out}/data",
            stored="{store}/xet/xorbs",
            version="grep xet-data {bin}/../versions",
            env={"HF_HOME": "{home}/hf", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_XET_LOG_LEVEL": "error", "RUST_LOG": "error"},
            remark="by `benches/xet`; its local client stands in for its server and works in the same process",
        ),
        borg("borg-lz4", "lz4"),
        borg("borg-zstd1", "zstd,1"),
        Tool(
            "rustic",
            DEDUPLICATES,
            f"cd {{dir}}/.. && {RUSTIC} backup --tag {{version}} data",
            f"{RUSTIC} restore {{id}}:data {{out}}/data",
            start=f"{RUSTIC} init",
            find=f'{RUSTIC} snapshots --json --filter-tags {{version}} | grep -oE \'"id": *"[0-9a-f]{{{{64}}}}"\' | tail -n 1'
            " | grep -oE '[0-9a-f]{{64}}'",
            version="{bin}/rustic --version",
            remark="encrypts, which cannot be switched off",
        ),
        Tool(
            "restic",
            DEDUPLICATES,
            "cd {dir}/.. && {bin}/restic backup -q --tag {version} data",
            "{bin}/restic restore -q latest --tag {version} --target {out}",
            start="{bin}/restic init -q",
            version="{bin}/restic version",
            env={"RESTIC_PASSWORD": "x", "RESTIC_REPOSITORY": "{store}", "RESTIC_CACHE_DIR": "{home}/cache"},
            remark="encrypts, which cannot be switched off",
        ),
        Tool(
            "casync",
            DEDUPLICATES,
            f"{{bin}}/casync make {CASYNC} {{dir}}",
            f"{{bin}}/casync extract {CASYNC} {{out}}/data",
            start="mkdir {store}",
            version="{bin}/casync --version",
            remark="has no cache of the files it has seen",
        ),
        Tool(
            "cp -r",
            COPIES,
            "cp -r {dir} {store}/{version}",
            "cp -r {store}/{version} {out}/data",
            start="mkdir {store}",
            version="cp --version",
        ),
        Tool(
            "floor",
            FLOOR,
            "{ours}/passes ingest {store} {version} {dir}",
            "{ours}/passes restore {store} {version} {out}/data",
            remark="the sum of the physical passes, one after the other, each on all cores, by `examples/passes.rs`",
        ),
    ]
    return {tool.name: tool for tool in tools}
