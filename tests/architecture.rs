//! The house rules of `docs/architecture.md`, read from the source: layers, who may use which crate, sizes, names.
//!
//! A room is a module of `src/lib.rs`. It uses rooms of lower layers, and of its own layer only what [`EDGES`] lists. When a
//! test here fails, move the code to where it belongs; a new edge is a decision, not a repair.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layer of every room, as in the table of `src/lib.rs`.
const LAYERS: [(&str, u8); 17] = [
    ("chance", 0),
    ("heap", 0),
    ("id", 0),
    ("progress", 0),
    ("disk", 1),
    ("store", 1),
    ("chunk", 1),
    ("pack", 2),
    ("table", 2),
    ("cache", 2),
    ("catalog", 3),
    ("bundle", 3),
    ("git", 3),
    ("ops", 4),
    ("transfer", 5),
    ("selftest", 5),
    ("cli", 6),
];

/// What a room may use of its own layer.
const EDGES: [(&str, &str); 3] = [
    // An identifier is drawn.
    ("id", "chance"),
    // A table is made of frames, and keeps those it has read.
    ("table", "pack"),
    ("table", "cache"),
];

/// Words that may stand in the code of the given rooms only.
const ONLY_IN: [(&str, &[&str]); 25] = [
    ("unsafe_code", &["heap"]),
    ("libc", &["heap"]),
    ("gix", &["git"]),
    ("toml_edit", &["git"]),
    (RUNS_PROGRAMS, &["git", "cli"]),
    ("object_store", &["store"]),
    ("aws_config", &["store"]),
    ("reqwest", &["store"]),
    ("rustls", &["store"]),
    ("async_trait", &["store"]),
    ("http_body", &["store"]),
    ("tokio", &["store"]),
    ("futures_util", &["store"]),
    ("quick_xml", &["store"]),
    ("zstd", &["chunk"]),
    ("fastcdc", &["chunk"]),
    ("zerocopy", &["pack"]),
    ("twox_hash", &["pack"]),
    ("rustix", &["ops"]),
    ("rmp_serde", &["table", "catalog", "bundle", "ops"]),
    ("lfs_agent", &["transfer", "cli"]),
    ("clap", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("indicatif", &["cli"]),
    ("jiff", &["chance"]),
];

/// What runs other programs, wherever it is imported from.
const RUNS_PROGRAMS: &str = "process::Command";

/// Names that say nothing about what is inside.
const NO_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "manager", "misc", "shared"];

/// Lines of a file above which it should be two.
const MAX_LINES: usize = 600;

/// A source file without its comments.
struct Source {
    /// Relative to the top of the project.
    path: PathBuf,
    /// The first name below `src/`: a room, or `lib` or `main`.
    room: String,
    code: String,
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![top().join(folder)]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|it| it == "rs") => files.push(path),
                false => {}
            }
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<Source> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let below = path.strip_prefix(top().join("src")).expect("a file of src/");
        let first = below.iter().next().expect("a name").to_string_lossy();
        let room = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
        let path = path.strip_prefix(top()).expect("a file of the project").to_owned();
        Source { path, room, code: without_comments(&text) }
    };
    rust_files("src").into_iter().map(read).collect()
}

fn without_comments(text: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// The names that follow `crate::` in some code.
fn uses(code: &str) -> BTreeSet<&str> {
    assert!(
        !code.contains("crate::{"),
        "write one `use crate::room::…` for each room: that is what is read here"
    );
    let ends = |c: char| !c.is_alphanumeric() && c != '_';
    let names = code.split("crate::").skip(1);
    names.map(|rest| rest.split(ends).next().unwrap_or_default()).collect()
}

/// Whether `word` stands in the code as a path or the beginning of one, not as a part of another word.
fn speaks_of(code: &str, word: &str) -> bool {
    let bounded = |at: usize| {
        let outside = |c: char| !c.is_alphanumeric() && c != '_';
        let before = code[..at].chars().next_back().is_none_or(outside);
        let after = &code[at + word.len()..];
        let path = after.starts_with("::") || after.starts_with(';') || word.contains("::");
        before && path && after.chars().next().is_none_or(outside)
    };
    let imported = word == RUNS_PROGRAMS
        && code.split("process::{").skip(1).any(|group| {
            let names = group.split('}').next().unwrap_or_default();
            names.split(',').any(|name| name.trim() == "Command")
        });
    imported || code.match_indices(word).any(|(at, _)| bounded(at))
}

/// The complaint about one use, if it is none of a lower layer and not in the list.
fn complaint(from: &str, to: &str) -> Option<String> {
    let layers = BTreeMap::from(LAYERS);
    let layer = |room: &str| layers.get(room).copied();
    let (Some(own), Some(used)) = (layer(from), layer(to)) else {
        return Some(format!("{from} uses {to}, and one of them is no room of LAYERS"));
    };
    let allowed = from == to || used < own || EDGES.contains(&(from, to));
    (!allowed).then(|| format!("{from} (L{own}) uses {to} (L{used})"))
}

#[test]
fn a_room_uses_lower_layers_and_listed_neighbours() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    let sources = sources();
    for source in sources.iter().filter(|source| !["lib", "main"].contains(&&*source.room)) {
        for used in uses(&source.code) {
            seen.insert((&*source.room, used));
            wrong.extend(complaint(&source.room, used).map(|it| format!("{}: {it}", source.path.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for edge in EDGES {
        assert!(seen.contains(&edge), "nothing uses the edge {edge:?} any more: take it off the list");
    }
}

#[test]
fn every_room_has_a_layer() {
    let lib = fs::read_to_string(top().join("src/lib.rs")).expect("the library");
    let rooms = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for room in rooms {
        assert!(LAYERS.iter().any(|(name, _)| *name == room), "{room} of src/lib.rs is not in LAYERS");
        let told = lib.lines().any(|line| line.starts_with("//! |") && line.contains(&format!("`{room}`")));
        assert!(told, "the table of src/lib.rs does not name {room}");
    }
}

#[test]
fn each_foreign_crate_stays_in_its_room() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (word, rooms) in ONLY_IN {
            if speaks_of(&source.code, word) && !rooms.contains(&&*source.room) {
                wrong.push(format!("{}: {word} belongs into {rooms:?}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_are_small_and_named_after_what_they_hold() {
    let mut wrong = Vec::new();
    for path in ["src", "lfs-agent", "tests"].into_iter().flat_map(rust_files) {
        let shown = path.strip_prefix(top()).expect("a file of the project");
        let lines = fs::read_to_string(&path).expect("UTF-8").lines().count();
        if lines > MAX_LINES {
            wrong.push(format!("{} has {lines} lines: it is two files", shown.display()));
        }
        for part in shown {
            let name = Path::new(part).file_stem().expect("a name").to_string_lossy();
            if NO_NAMES.contains(&&*name) {
                wrong.push(format!(
                    "{}: {name} says nothing, name it after the noun it holds",
                    shown.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_planted_fault_is_found() {
    let code = without_comments(
        "// crate::cli is fine here\n    /// [`crate::ops`]\nuse crate::git::Repo;\ncrate::id::Oid",
    );
    assert_eq!(uses(&code), BTreeSet::from(["git", "id"]));
    assert!(complaint("store", "catalog").is_some() && complaint("catalog", "git").is_some());
    assert!(complaint("nowhere", "id").is_some());
    assert_eq!(
        (complaint("table", "pack"), complaint("cli", "id"), complaint("git", "git")),
        (None, None, None)
    );
    assert!(complaint("pack", "table").is_some(), "an edge has a direction");
    assert!(speaks_of("use std::process::Command;", RUNS_PROGRAMS));
    assert!(speaks_of("use std::process::{\n    Child, Command, Stdio,\n};", RUNS_PROGRAMS));
    assert!(!speaks_of("use std::process::{ExitCode, Stdio};", RUNS_PROGRAMS));
    assert!(speaks_of("fn f() { zstd::bulk::compress() }", "zstd") && !speaks_of("Codec::Zstd", "zstd"));
    assert!(!speaks_of("my_zstd::x; let zstd = 1", "zstd"));
}
