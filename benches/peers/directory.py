"""The tools that store in a directory. A new tool is one more function."""

from . import repositories
from .tool import COPIES, DEDUPLICATES, FLOOR, OURS, Tool

ENCRYPTS = "encrypts, which cannot be switched off"
CASYNC = "--without=all --with=permissions --store={store}/chunks.castr {store}/{version}.caidx"
TREE = "{ours}/tree ingest {store} {home}/{version} {dir}"


def ours():
    """Our library."""
    return Tool(
        "git-datamon",
        OURS,
        TREE,
        "{ours}/tree restore {store} {home}/{version} {out}/data",
        again=TREE + " --previous {home}/{before}",
        start="{ours}/tree init {store}",
        env={"DATAMON_CACHE_DIR": "{home}/cache", "DATAMON_STATE_DIR": "{home}/state"},
        remark="its library on a tree, by `examples/tree.rs`; every object it writes to a directory is fsynced before it ends",
    )


def xet():
    """Its local client; there is no server of it to be had."""
    return Tool(
        "xet",
        DEDUPLICATES,
        "{bin}/xet-tree ingest {store} {home}/{version} {dir}",
        "{bin}/xet-tree restore {store} {home}/{version} {out}/data",
        stored="{store}/xet/xorbs",
        version="grep xet-data {bin}/../versions",
        env={"HF_HOME": "{home}/hf", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_XET_LOG_LEVEL": "error", "RUST_LOG": "error"},
        remark="by `benches/xet`; its local client stands in for its server and works in the same process",
    )


def borg(name, compression):
    """Borg with one of its compressions."""
    return Tool(
        name,
        DEDUPLICATES,
        f"cd {{dir}}/.. && {{bin}}/borg create --compression {compression} {{store}}::{{version}} data",
        "cd {out} && {bin}/borg extract {store}::{version}",
        start="{bin}/borg init --encryption none {store}",
        version="{bin}/borg --version",
        env={"BORG_BASE_DIR": "{home}", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"},
    )


def rustic(repository="{store}", env=None):
    """Rustic, whose repositories in a bucket are named by its environment."""
    command = f"{{bin}}/rustic --log-level error --no-progress -r {repository} --password x --cache-dir {{home}}/cache"
    return Tool(
        "rustic",
        DEDUPLICATES,
        f"cd {{dir}}/.. && {command} backup --tag {{version}} data",
        f"{command} restore {{id}}:data {{out}}/data",
        start=f"{command} init",
        find=f'{command} snapshots --json --filter-tags {{version}} | grep -oE \'"id": *"[0-9a-f]{{{{64}}}}"\' | tail -n 1'
        " | grep -oE '[0-9a-f]{{64}}'",
        version="{bin}/rustic --version",
        env=env or {},
        remark=ENCRYPTS,
    )


def restic(repository="{store}"):
    """Restic."""
    return Tool(
        "restic",
        DEDUPLICATES,
        "cd {dir}/.. && {bin}/restic backup -q --tag {version} data",
        "{bin}/restic restore -q latest --tag {version} --target {out}",
        start="{bin}/restic init -q",
        version="{bin}/restic version",
        env={"RESTIC_PASSWORD": "x", "RESTIC_REPOSITORY": repository, "RESTIC_CACHE_DIR": "{home}/cache"},
        remark=ENCRYPTS,
    )


def casync():
    """Casync, files and their modes only."""
    return Tool(
        "casync",
        DEDUPLICATES,
        f"{{bin}}/casync make {CASYNC} {{dir}}",
        f"{{bin}}/casync extract {CASYNC} {{out}}/data",
        start="mkdir {store}",
        version="{bin}/casync --version",
        remark="has no cache of the files it has seen",
    )


def copy():
    """What the system brings."""
    return Tool(
        "cp -r",
        COPIES,
        "cp -r {dir} {store}/{version}",
        "cp -r {store}/{version} {out}/data",
        start="mkdir {store}",
        version="cp --version",
        remark="keeps every version whole",
    )


def rclone():
    """Mirrors a directory."""
    return Tool(
        "rclone sync",
        COPIES,
        "{bin}/rclone sync {dir} {store}/data",
        "{bin}/rclone sync {store}/data {out}/data",
        version="{bin}/rclone version",
        env={"RCLONE_CONFIG": "{home}/rclone.conf"},
        remark="keeps the newest version only, so that it grows by less than it writes",
    )


def floor():
    """No tool: what the work takes at least."""
    return Tool(
        "floor",
        FLOOR,
        "{ours}/passes ingest {store} {version} {dir}",
        "{ours}/passes restore {store} {version} {out}/data",
        remark="the sum of the physical passes, one after the other, each on all cores, by `examples/passes.rs`",
    )


def peers():
    """All that deduplicate."""
    return [xet(), borg("borg-lz4", "lz4"), borg("borg-zstd1", "zstd,1"), rustic(), restic(), casync()]


def trees():
    """For all versions of a few groups."""
    return [ours(), repositories.commit(), *peers(), copy(), floor()]


def datasets():
    """For the next version of each dataset."""
    directory = "type=directory directory={store} encryption=none autoenable=false"
    return [
        ours(),
        repositories.verbs(),
        repositories.plain(),
        *peers(),
        repositories.file_agent(),
        repositories.annex(directory, "directory={store}", "mkdir {store} && "),
        repositories.dvc(),
        rclone(),
        copy(),
    ]
