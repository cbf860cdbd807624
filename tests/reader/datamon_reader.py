#!/usr/bin/env python3
"""An independent reader of a git-datamon store: a directory and an oid in, the file out.

    datamon_reader.py STORE OID FILE      write the file of OID, or "-" for standard output
    datamon_reader.py STORE               list oid and size of every live file
    datamon_reader.py STORE --hooks       list prefix and pack of every hook
    datamon_reader.py STORE --bundles     list id, repo, seq, commit, tree and labels of every bundle
    datamon_reader.py STORE --bundle ID   list mode, size, oid (or target, or commit) and path of its entries, both in hexadecimal
    datamon_reader.py STORE --bundle ID PATH FILE   write the file at PATH (in hexadecimal) of a bundle
    datamon_reader.py --all FOLDER        read every file and every bundle of each store in a folder, and list them as above

It shares no code with the program and follows docs/format.md, in the standard library and libzstd, so that data outlives the program that wrote it and
the document is known to be complete. It verifies what the standard library can: the SHA-256 of the whole file.
"""

import ctypes
import hashlib
import json
import os
import struct
import sys
import uuid

MAX_FRAME = 16 << 20
MAX_ENTRY = 16 << 20
CODECS = (0, 1, 2, 4, 8)


class Damaged(Exception):
    """The store does not say what docs/format.md lets it say."""


# What the bytes of a store that is not as the document says make of this program.
WRONG = (Damaged, OSError, KeyError, IndexError, TypeError, ValueError, struct.error)


# --- libraries -------------------------------------------------------------------------------------------------------


def load_zstd():
    try:
        from compression import zstd  # Python 3.14

        return lambda stored, raw: zstd.decompress(stored)
    except ImportError:
        pass
    for name in ("libzstd.so.1", "libzstd.1.dylib", "libzstd.dylib"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.ZSTD_decompress.restype = ctypes.c_size_t
        library.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

        def decompress(stored, raw):
            buffer = ctypes.create_string_buffer(max(raw, 1))
            # Above the size of any buffer the returned number is an error code.
            length = library.ZSTD_decompress(buffer, raw, stored, len(stored))
            if length != raw:
                raise Damaged("a frame cannot be decompressed")
            return buffer.raw[:raw]

        return decompress
    sys.exit("datamon_reader: no libzstd here, and this needs it: apt-get install libzstd1")


def ungroup(lanes, width):
    """The bytes whose lanes, for words of `width` bytes, these are."""
    words = len(lanes) // width
    raw = bytearray(lanes)
    for place in range(width):
        raw[place : words * width : width] = lanes[place * words : (place + 1) * words]
    return bytes(raw)


class MessagePack:
    """One value of MessagePack, as far as the format uses it."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        end = self.at + length
        if end > len(self.data):
            raise Damaged("msgpack is cut off")
        piece, self.at = self.data[self.at : end], end
        return piece

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self, depth=0):
        if depth > 32:
            raise Damaged("msgpack is nested too deeply")
        tag = self.number(">B")
        if tag < 0x80:
            return tag
        if tag < 0x90:
            return self.map(tag & 15, depth)
        if tag < 0xA0:
            return self.list(tag & 15, depth)
        if tag < 0xC0:
            return self.take(tag & 31).decode()
        if tag in (0xC2, 0xC3):
            return tag == 0xC3
        unsigned = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
        if tag in unsigned:
            return self.number(unsigned[tag])
        sized = {
            0xC4: (">B", self.take), 0xC5: (">H", self.take), 0xC6: (">I", self.take),
            0xD9: (">B", self.text), 0xDA: (">H", self.text), 0xDB: (">I", self.text),
        }
        if tag in sized:
            form, read = sized[tag]
            return read(self.number(form))
        nested = {0xDC: (">H", self.list), 0xDD: (">I", self.list), 0xDE: (">H", self.map), 0xDF: (">I", self.map)}
        if tag in nested:
            form, read = nested[tag]
            return read(self.number(form), depth)
        raise Damaged(f"msgpack tag {tag:#x} is not part of the format")

    def text(self, length):
        return self.take(length).decode()

    def list(self, count, depth):
        return [self.value(depth + 1) for _ in range(count)]

    def map(self, count, depth):
        return dict((self.value(depth + 1), self.value(depth + 1)) for _ in range(count))


def unpack(data):
    reader = MessagePack(data)
    value = reader.value()
    if reader.at != len(data):
        raise Damaged("bytes follow a msgpack value")
    return value


# --- the store -------------------------------------------------------------------------------------------------------


class Store:
    def __init__(self, directory):
        self.directory = directory
        self.zstd = load_zstd()
        self.identity = json.loads(self.object("datamon.json"))
        if self.identity["format"] != 1:
            raise Damaged(f"the store has format {self.identity['format']}, this reads 1")
        if self.identity.get("requires"):
            raise Damaged(f"the store requires {self.identity['requires']}")

    def object(self, name):
        with open(os.path.join(self.directory, name), "rb") as file:
            return file.read()

    def pack_path(self, kind, pack):
        return os.path.join(self.directory, kind, f"{pack[15]:02x}", str(uuid.UUID(bytes=pack)))

    # Frames

    def frame(self, data, at):
        """The raw bytes of the frame at `at`, and where it ends."""
        if at + 28 > len(data):
            raise Damaged("a frame is cut off")
        codec, reserved, stored, raw = struct.unpack_from("<B3sII", data, at + 16)
        end = at + 28 + stored
        if raw > MAX_FRAME or stored > raw or end > len(data) or reserved != b"\0\0\0" or codec not in CODECS:
            raise Damaged("a frame header is impossible")
        body = data[at + 28 : end]
        decoded = body if codec == 0 else self.zstd(body, raw)
        if len(decoded) != raw:
            raise Damaged("a frame has another length than it says")
        return ungroup(decoded, codec) if codec > 1 else decoded, end

    def one_frame(self, data):
        decoded, end = self.frame(data, 0)
        if end != len(data):
            raise Damaged("bytes follow a frame")
        return decoded

    def blob(self, pack, offset, stored):
        with open(self.pack_path("meta", pack), "rb") as file:
            file.seek(offset)
            return self.one_frame(file.read(stored))

    def named_blob(self, blob):
        return self.blob(blob["pack"], blob["offset"], blob["stored"])

    # The log

    def entry_exists(self, seq):
        return os.path.exists(os.path.join(self.directory, f"log/{seq:016x}"))

    def head(self):
        try:
            there = int(self.object("log/HEAD"), 16)
        except FileNotFoundError:
            there = 0
        if not self.entry_exists(there):
            raise Damaged(f"log entry {there} is missing")
        start, stride = there, 1
        while self.entry_exists(start + stride):
            there, stride = start + stride, stride * 2
        missing = start + stride
        while missing - there > 1:
            middle = (missing + there) // 2
            there, missing = (middle, missing) if self.entry_exists(middle) else (there, middle)
        return there

    def entry(self, seq):
        data = self.object(f"log/{seq:016x}")
        magic, version, length = struct.unpack_from("<6sHI", data)
        if magic != b"gdmlog" or version != 1 or length != len(data) - 44 or len(data) > MAX_ENTRY:
            raise Damaged(f"log entry {seq} is no entry of format 1")
        body = unpack(data[44:])
        if body["seq"] != seq:
            raise Damaged(f"log entry {seq} belongs elsewhere")
        return body


class State:
    """The fold of the log, as far as reading files needs it."""

    def __init__(self, store):
        self.store = store
        self.packs = set()
        self.segments = {}  # fence → (born, first, last)
        self.hooks = {}  # fence → number of rows; nothing that reads a file needs them
        self.inline = {}  # seq → frame with a block of rows
        self.drops = {}  # (oid, repo) → upto
        self.forwards = {}  # pack → offset → forward
        self.bundles = {}  # id → repo, root, seq, commit, tree
        self.labels = {}  # (repo, name) → (bundle or None, seq)
        entry = store.entry(store.head())
        changes = [(seq, unpack(change)) for seq, change in entry.get("tail", [])]
        changes.append((entry["seq"], unpack(entry["change"])))
        covered = -1
        if "checkpoint" in entry:
            checkpoint = dict(changes)[entry["checkpoint"]]["checkpoint"]
            covered = checkpoint["covers"]
            self.open(checkpoint)
        for seq, change in changes:
            if seq > covered:
                self.apply(seq, change)

    @staticmethod
    def fence(segment):
        fence = segment["fence"]
        return (fence["pack"], fence["offset"], fence["stored"])

    def add(self, segment, born):
        """Segments of other tables lead to no file."""
        if segment["table"] == "hooks":
            self.hooks[self.fence(segment)] = (segment["rows"], segment.get("shift", 0))
        if segment["table"] == "files":
            self.segments.setdefault(self.fence(segment), (born, segment["first"], segment["last"]))

    def open(self, checkpoint):
        blobs = {kind: unpack(self.store.named_blob(blob["at"])) for kind, blob in checkpoint["blobs"].items()}

        def parts(kind, of):
            """A list, of which long ones go on in packs.1, packs.2 and so on."""
            return [row for name, blob in blobs.items() if name.split(".")[0] == kind for row in blob[of]]

        for of in ("data", "meta"):
            self.packs.update(pack for pack, _, _ in parts("packs", of))
        self.drops.update({(oid, repo): upto for oid, repo, upto, _ in parts("drops", "drops")})
        for bundle, repo, root, seq in parts("bundles", "bundles"):
            self.bundles[bundle] = {"repo": repo, "root": root, "seq": seq}
        for key, of in (("commit", "commits"), ("tree", "trees")):
            for bundle, name in parts("commits", of):
                self.bundles[bundle][key] = name
        for repo, name, bundle, seq in parts("labels", "set"):
            self.labels[repo, name] = (bundle, seq)
        for repo, name, seq in parts("labels", "gone"):
            self.labels[repo, name] = (None, seq)
        for segment, born, _, _ in blobs.get("segments", {}).get("segments", []):
            self.add(segment, born)
        for forward in blobs.get("forwards", {}).get("forwards", []):
            self.forwards.setdefault(forward["from"], {})[forward["offset"]] = forward

    def move(self, label, seq):
        self.labels[label["repo"], label["name"]] = (label.get("bundle"), seq)

    def apply(self, seq, change):
        self.packs.update(pack for pack, _ in change.get("added", []))
        if "push" in change:
            push = change["push"]
            if "rows" in push:
                self.inline[seq] = push["rows"]["bytes"]
            for segment in push.get("segments", []):
                self.add(segment, seq)
            for bundle in push.get("bundles", []):
                self.bundles[bundle["id"]] = {**bundle, "seq": seq}
            for label in push.get("labels", []):
                self.move(label, seq)
        if "label" in change:
            self.move(change["label"], seq)
        if "compact" in change:
            compact = change["compact"]
            for out in compact.get("outs", []):
                self.segments.pop((out["pack"], out["offset"], out["stored"]), None)
                self.hooks.pop((out["pack"], out["offset"], out["stored"]), None)
            # Every row in them says when it was born.
            for segment in compact.get("segments", []):
                self.add(segment, seq)
            for forward in compact.get("forwards", []):
                self.forwards.setdefault(forward["from"], {})[forward["offset"]] = forward
            self.packs.difference_update(compact.get("condemned", []))
        if "drop" in change:
            for oid, repo in change["drop"].get("keys", []):
                self.drops[oid, repo] = max(self.drops.get((oid, repo), -1), change["drop"]["planned_on"])
            for bundle in change["drop"].get("bundles", []):
                self.bundles.pop(bundle, None)
        if "redact" in change:
            redact = change["redact"]
            for it in redact.get("bundles", []):
                self.bundles[it["bundle"]]["root"] = it["to"]
            for oid in redact.get("keys", []):
                key = (oid, redact["repo"])
                self.drops[key] = max(self.drops.get(key, -1), redact["planned_on"])
        if "condemn" in change:
            self.packs.difference_update(change["condemn"]["packs"])
        if "forget" in change:
            for pack in change["forget"].get("forwards", []):
                self.forwards.pop(pack, None)
        if "checkpoint" in change:
            checkpoint = change["checkpoint"]
            self.inline = {seq: block for seq, block in self.inline.items() if seq > checkpoint["covers"]}
            for key in ("segment", "hooks"):
                if key in checkpoint:
                    self.add(checkpoint[key], checkpoint["covers"])

    # Rows

    @staticmethod
    def block_rows(block, born_of_block):
        repos, packs, rows = unpack(block)
        for oid, repo, born, size, recipe in rows:
            yield oid, repos[repo], born or born_of_block, size, recipe, packs

    @staticmethod
    def may_hold(bits, oid):
        """Whether a filter has all bits of an oid."""
        first, step = struct.unpack_from("<QQ", oid, 8)
        places = ((first + n * (step | 1)) % 2**64 % (len(bits) * 8 or 1) for n in range(8))
        return not bits or all(bits[place // 8] >> place % 8 & 1 for place in places)

    def all_rows(self, wanted):
        """Every row of one oid, or of all when `wanted` is None."""
        for seq, block in self.inline.items():
            yield from self.block_rows(self.store.one_frame(block), seq)
        for fence, (born, first, last) in self.segments.items():
            if wanted is not None and not first <= wanted[:8] <= last:
                continue
            blocks, bits = unpack(self.store.blob(*fence))
            if wanted is not None and not self.may_hold(bits, wanted):
                continue
            for at, (first, offset, stored) in enumerate(blocks):
                following = blocks[at + 1][0] if at + 1 < len(blocks) else None
                if wanted is None or (first <= wanted and (following is None or wanted <= following)):
                    yield from self.block_rows(self.store.blob(fence[0], offset, stored), born)

    def all_hooks(self):
        """The prefix and the pack of every hook."""
        for fence, (count, shift) in self.hooks.items():
            packs, blocks = unpack(self.store.blob(*fence))
            for first, offset, stored in blocks:
                block = self.store.blob(fence[0], offset, stored)
                rows, step_width, pack_width, _, prefix = struct.unpack_from("<IBBHQ", block)
                if prefix != first or len(block) != 16 + rows * (step_width + pack_width):
                    raise Damaged("a block of hooks is impossible")
                for row in range(rows):
                    at = 16 + row * (step_width + pack_width)
                    prefix += int.from_bytes(block[at : at + step_width], "little")
                    at += step_width
                    if prefix >> (64 - shift):
                        raise Damaged("a hook is beyond what its segment keeps")
                    yield prefix, packs[int.from_bytes(block[at : at + pack_width], "little")]
                count -= rows
            if count:
                raise Damaged("hooks are missing")

    def live_rows(self, wanted=None):
        newest = {}
        for row in self.all_rows(wanted):
            oid, repo, born = row[:3]
            if wanted in (None, oid) and ((oid, repo) not in newest or newest[oid, repo][2] < born):
                newest[oid, repo] = row
        return [row for key, row in newest.items() if row[2] > self.drops.get(key, -1)]

    def terms(self, row):
        (form, recipe), packs = next(iter(row[4].items())), row[5]
        if form == "O":
            at, offset, stored, _ = recipe
            packs, recipe = unpack(self.moved(packs[at], offset, stored))
        return [(packs[at], *rest) for at, *rest in recipe]

    def place(self, pack, offset, stored):
        """Where a run of frames lies now."""
        seen = {pack}
        while pack not in self.packs or not os.path.exists(self.store.pack_path("data", pack)):
            following = self.forward(pack, offset, stored)
            if following is None or following[0] in seen:
                break
            pack, offset = following
            seen.add(pack)
        return pack, offset

    def forward(self, pack, offset, stored):
        """Where a run of frames lies one forward further."""
        forwards = self.forwards.get(pack, {})
        before = [at for at in forwards if at <= offset]
        if not before:
            return None
        forward = forwards[max(before)]
        skip = offset - forward["offset"]
        return (forward["to"], forward["at"] + skip) if skip + stored <= forward["stored"] else None

    def moved(self, pack, offset, stored):
        """The content of a root, page or block of terms: where there is a forward, it was stored anew."""
        seen = {pack}
        while (following := self.forward(pack, offset, stored)) and following[0] not in seen:
            pack, offset = following
            seen.add(pack)
        return self.store.blob(pack, offset, stored)

    def pieces(self, row):
        """The bytes of a row's file."""
        for pack, offset, stored, skip, raw, repeat in self.terms(row):
            pack, offset = self.place(pack, offset, stored)
            with open(self.store.pack_path("data", pack), "rb") as file:
                file.seek(offset)
                data = file.read(stored)
            if len(data) != stored:
                raise Damaged("a pack is cut off")
            for _ in range(repeat):
                at, before, left = 0, skip, raw
                while left:
                    decoded, at = self.store.frame(data, at)
                    own = decoded[before : before + left]
                    before -= min(before, len(decoded))
                    left -= len(own)
                    yield own


# --- bundles ---------------------------------------------------------------------------------------------------------


def check_path(path, last):
    parts = path.split(b"/")
    if last is not None and path <= last:
        raise Damaged("paths of a bundle are not in order")
    if len(path) > 4096 or b"\0" in path or any(part.lower() in (b"", b".", b"..", b".git", b"git~1") for part in parts):
        raise Damaged("a path of a bundle leads elsewhere")


class Bundle:
    """One version of a dataset."""

    def __init__(self, state, bundle):
        if bundle not in state.bundles:
            raise Damaged(f"the store has no bundle {uuid.UUID(bytes=bundle)}")
        self.state, known = state, state.bundles[bundle]
        root = known["root"]
        self.root = unpack(state.moved(root["pack"], root["offset"], root["stored"]))
        if (self.root["bundle"], self.root["repo"]) != (bundle, known["repo"]):
            raise Damaged("a root is that of another bundle")

    def entries(self, wanted=None):
        """Path, mode, size, oid or target or commit, and the row of a file: of every entry, or of the page of one path."""
        pages, last = self.root["pages"], None
        for at, (first, count, total, pack, offset, stored, _) in enumerate(pages):
            following = pages[at + 1][0] if at + 1 < len(pages) else None
            if wanted is not None and not (first <= wanted and (following is None or wanted < following)):
                continue
            entries, block = unpack(self.state.moved(self.root["packs"][pack], offset, stored))
            rows, sizes = list(State.block_rows(block, 0)), 0
            if len(entries) != count or entries[0][0] != first:
                raise Damaged("a page is not the one that its bundle names")
            for path, mode, row, name in entries:
                check_path(path, last)
                last = path
                if mode in (0o100644, 0o100755):
                    oid, size, row = rows[row][0], rows[row][3], rows[row]
                    yield path, mode, size, oid, row
                elif mode in (0o120000, 0o160000):
                    size = len(name) if mode == 0o120000 else 0
                    yield path, mode, size, name, None
                else:
                    raise Damaged("an entry has a mode that nothing has")
                sizes += size
            if sizes != total:
                raise Damaged("the sizes of a page are not what its bundle says")


def line_of_bundle(state, bundle):
    known, name = state.bundles[bundle], lambda it: it.hex() if it else "-"
    labels = sorted(label for (repo, label), (at, _) in state.labels.items() if at == bundle)
    ids = [str(uuid.UUID(bytes=it)) for it in (bundle, known["repo"])]
    return " ".join(map(str, (*ids, known["seq"], name(known.get("commit")), name(known.get("tree")), ",".join(labels) or "-")))


def line_of_entry(path, mode, size, name):
    return f"{mode:06o} {size} {name.hex()} {path.hex()}"


def print_bundles(state):
    for bundle in sorted(state.bundles):
        print(line_of_bundle(state, bundle))


def use_bundle(state, bundle, arguments):
    bundle = Bundle(state, uuid.UUID(bundle).bytes)
    if not arguments:
        for path, mode, size, name, _ in bundle.entries():
            print(line_of_entry(path, mode, size, name))
        return
    wanted = bytes.fromhex(arguments[0])
    rows = [row for path, _, _, _, row in bundle.entries(wanted) if path == wanted and row]
    if not rows:
        raise Damaged(f"the bundle has no file {wanted}")
    with open(arguments[1], "wb") as out:
        write_row(state, rows[0], out)


# --- the command -----------------------------------------------------------------------------------------------------


def write_file(state, oid, out):
    rows = state.live_rows(oid)
    if not rows:
        raise Damaged(f"the store has no file {oid.hex()}")
    write_row(state, max(rows, key=lambda row: all(term[0] in state.packs for term in state.terms(row))), out)


class Nowhere:
    """Takes bytes whose hash is all that is asked for."""

    def write(self, data):
        pass


def read_all(store):
    """Reads all that a store promises, each file as often as it is promised in another way, and prints what there is."""
    state, seen = State(Store(store)), set()

    def read(row):
        way = (row[0], repr(state.terms(row)))
        if way not in seen:
            write_row(state, row, Nowhere())
            seen.add(way)

    print("store", os.path.basename(store))
    for row in state.live_rows():
        read(row)
        print("file", row[0].hex(), row[3])
    for bundle in sorted(state.bundles):
        print("bundle", line_of_bundle(state, bundle))
        for path, mode, size, name, row in Bundle(state, bundle).entries():
            if row:
                read(row)
            print("entry", uuid.UUID(bytes=bundle), line_of_entry(path, mode, size, name))


def write_row(state, row, out):
    oid = row[0]
    sha, length = hashlib.sha256(), 0
    for piece in state.pieces(row):
        sha.update(piece)
        length += len(piece)
        out.write(piece)
    if length != row[3] or sha.digest() != oid:
        raise Damaged(f"the file of {oid.hex()} has other bytes")


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--all":
        for store in sorted(entry.path for entry in os.scandir(arguments[1])):
            try:
                read_all(store)
            except WRONG as error:
                sys.exit(f"datamon_reader: {store}: {type(error).__name__}: {error}")
        return
    bundle = len(arguments) in (3, 5) and arguments[1] == "--bundle"
    if len(arguments) not in (1, 3) and arguments[1:] not in (["--hooks"], ["--bundles"]) and not bundle:
        sys.exit(__doc__)
    try:
        state = State(Store(arguments[0]))
        if len(arguments) == 1:
            for oid, size in sorted({(row[0], row[3]) for row in state.live_rows()}):
                print(oid.hex(), size)
            return
        if bundle:
            return use_bundle(state, arguments[2], arguments[3:])
        if arguments[1:] == ["--bundles"]:
            return print_bundles(state)
        if len(arguments) == 2:
            for prefix, pack in state.all_hooks():
                print(f"{prefix:016x}", uuid.UUID(bytes=pack))
            return
        oid = bytes.fromhex(arguments[1])
        if arguments[2] == "-":
            write_file(state, oid, sys.stdout.buffer)
        else:
            with open(arguments[2], "wb") as out:
                write_file(state, oid, out)
    except WRONG as error:
        sys.exit(f"datamon_reader: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
