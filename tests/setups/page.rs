//! `docs/setups.md`, made from the table: `just setups` writes it anew, and a test compares it.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use super::place::Operation;
use super::{Cell, all};

const HEAD: &str = "# Set-ups: what works where

Every row is a way to have a repository, every column something done in it. Each cell is a test (`tests/setups`) that runs with
the git-lfs of Debian 12 (3.3) and with the newest in Debian, over real git, a real store and the built program; this page is
made from the table in those tests, and a test compares the two.

*yes* means: without a word about git-datamon. The files are there with the right bytes and `git status` is clean. After a push
the remote has the commit and the store the data, in one entry of its log, and none of it went to the remote. After a prune the
objects of other branches are gone from the machine, and come back when they are checked out. In all rows `git datamon install`
was run once on the machine, and the store is in reach.

";

const TAIL: &str = "
Two more things to know:

- `git lfs prune --verify-remote` starts the agent, asks it nothing, and deletes: it verifies nothing.
- `git archive` of a commit whose data is not on the machine starts an agent for every file; `git lfs fetch origin <commit>`
  before it is one transfer.
";

fn page() -> String {
    let mut notes: Vec<String> = Vec::new();
    let mut page = HEAD.to_owned();
    let columns = Operation::ALL.map(|(_, name)| name).join(" | ");
    writeln!(page, "| | how | {columns} |\n|---|---|{}", "---|".repeat(Operation::ALL.len())).unwrap();
    for setup in all() {
        write!(page, "| {} | {} |", setup.title, setup.how).unwrap();
        for cell in setup.cells {
            write!(page, " {} |", shown(cell, &mut notes)).unwrap();
        }
        page += "\n";
    }
    page += "\n";
    for (number, note) in notes.iter().enumerate() {
        writeln!(page, "{}. {note}", number + 1).unwrap();
    }
    page + TAIL
}

/// A cell as it is read, and the note that it needs.
fn shown(cell: Cell, notes: &mut Vec<String>) -> String {
    let mut noted = |word: String, note: String| {
        if note.is_empty() {
            return word;
        }
        let place = notes.iter().position(|one| *one == note).unwrap_or_else(|| {
            notes.push(note);
            notes.len() - 1
        });
        format!("{word} ({})", place + 1)
    };
    match cell {
        Cell::Works => "yes".to_owned(),
        Cell::Then(more, why) => {
            let why = if why.is_empty() { String::new() } else { format!("{}.", sentence(why)) };
            noted(format!("then {}", commands(more)), why)
        }
        Cell::Pointers(why) => noted("pointers".to_owned(), format!("{}.", sentence(why))),
        Cell::First(before, why) => {
            noted(format!("after {}", commands(before)), format!("{}.", sentence(why)))
        }
        Cell::Refused(words, instead, why) => {
            let note = format!("{}. It says \"{words}\"; instead: {}.", sentence(why), commands(instead));
            noted("no".to_owned(), note)
        }
    }
}

fn commands(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("`git {}`", line.replace(" -q", ""))).collect::<Vec<_>>().join(", ")
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/setups.md")
}

#[test]
fn the_page_says_what_the_table_says() {
    let written = fs::read_to_string(path()).unwrap_or_default();
    assert!(written == page(), "docs/setups.md is not what the table says: run `just setups`");
}

#[test]
#[ignore = "writes docs/setups.md"]
fn bless_setups() {
    fs::write(path(), page()).expect("the documentation can be written");
}
