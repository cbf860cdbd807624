"""Versions of a group of datasets, and the working tree that goes from one to the next."""

import filecmp
import os
import shutil
from pathlib import Path

# Each group has a store of its own. A dataset with fewer versions than the group stays at its last.
GROUPS = {
    "large": ("tabular", "csv", "weights", "sqlite", "logs"),
    "images": ("images",),
    "source": ("source",),
}
# Each of them is a group of its own too.
DATASETS = ("tabular", "tabularcdc", "csv", "weights", "sqlite", "logs", "images", "source")


def files_below(root):
    """All files of a tree: path below `root`, and where it lies."""
    found, folders = {}, [Path(root)]
    while folders:
        for entry in os.scandir(folders.pop()):
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            else:
                found[os.path.relpath(entry.path, root)] = Path(entry.path)
    return found


def bytes_below(root):
    """Of all files of a tree, as their lengths say; 0 where there is no tree."""
    if not os.path.isdir(root):
        return 0
    return sum(path.lstat().st_size for path in files_below(root).values())


class Version:
    """One version of a group: every file of its tree, where it lies, and what changed since the version before."""

    def __init__(self, name, files, before):
        self.name, self.files = name, files
        self.size = sum(path.stat().st_size for path in files.values())
        old = before.files if before else {}
        self.gone = sorted(old.keys() - files.keys())
        self.changed = sorted(path for path in files if path not in old or not same_bytes(files[path], old[path]))

    def apply(self, tree):
        """Make the tree of the version before into this one. Files that did not change keep inode and times."""
        for path in self.gone:
            os.unlink(tree / path)
        for path in self.changed:
            target = tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copyfile(self.files[path], target)

    def is_in(self, tree):
        """Whether a tree has exactly these files with exactly these bytes."""
        if not tree.is_dir():
            return False
        there = files_below(tree)
        return there.keys() == self.files.keys() and all(
            filecmp.cmp(self.files[path], there[path], shallow=False) for path in there
        )


def same_bytes(one, other):
    """Of two files; the same file has them."""
    return one == other or filecmp.cmp(one, other, shallow=False)


def versions(data, group, most=None):
    """The versions of a group, in order; the first so many."""
    datasets = GROUPS.get(group, (group,))
    names = sorted({path.name for dataset in datasets for path in (data / dataset).iterdir()})
    made = []
    for name in names[:most]:
        files = {}
        for dataset in datasets:
            held = max(path.name for path in (data / dataset).iterdir() if path.name <= name)
            files.update({f"{dataset}/{path}": where for path, where in files_below(data / dataset / held).items()})
        made.append(Version(name, files, made[-1] if made else None))
    return made
