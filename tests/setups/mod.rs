//! Every set-up that people have, times everything they do in it, times two versions of git-lfs: each cell a test.
//!
//! `table` says what happens in each cell, `place` tries it, and `page` keeps `docs/setups.md` equal to the table.

mod ground;
mod page;
mod place;
mod table;

use datamon_test_support::{Hermetic, second_git_lfs};

use ground::Ground;
use place::{Operation, Place};

/// What happens in a cell. The last word of each says why, where that is not plain.
#[derive(Debug, Clone, Copy)]
pub enum Cell {
    /// What one expects.
    Works,
    /// What one expects, after these commands of git.
    Then(&'static [&'static str], &'static str),
    /// Files stay pointers.
    Pointers(&'static str),
    /// What one expects, where these commands of git came first.
    First(&'static [&'static str], &'static str),
    /// Git or git-lfs says this and does nothing; these commands of git do it instead.
    Refused(&'static str, &'static [&'static str], &'static str),
}

/// A set-up and what happens in it.
pub struct Setup {
    /// What people call it.
    title: &'static str,
    /// How one comes to it.
    how: &'static str,
    make: fn(Ground) -> Place,
    /// In the order of [`Operation::ALL`].
    cells: [Cell; 6],
}

impl Setup {
    fn new(title: &'static str, how: &'static str, make: fn(Ground) -> Place) -> Setup {
        Setup { title, how, make, cells: [Cell::Works; 6] }
    }

    fn cell(mut self, operation: Operation, cell: Cell) -> Setup {
        let place = Operation::ALL.iter().position(|(one, _)| *one == operation);
        self.cells[place.expect("all are there")] = cell;
        self
    }

    fn of(&self, operation: Operation) -> Cell {
        let cells = Operation::ALL.iter().zip(self.cells);
        cells.into_iter().find(|((one, _), _)| *one == operation).expect("all are there").1
    }
}

/// Tries one cell.
#[track_caller]
fn try_cell(env: Hermetic, setup: &Setup, operation: Operation) {
    let mut place = (setup.make)(Ground::new(env));
    let commands = place.commands(operation);
    if operation != Operation::Clone {
        // As somebody who goes on working has it.
        if let Cell::Then(more, _) | Cell::Refused(_, more, _) = setup.of(Operation::Clone) {
            place.git_lines(more);
        }
    }
    place.before(operation);
    match setup.of(operation) {
        Cell::Works => place.git_lines(&commands),
        Cell::Then(more, _) => {
            place.git_lines(&commands);
            place.git_lines(more);
            place.more = more;
        }
        Cell::First(before, _) => {
            place.git_lines(before);
            place.git_lines(&commands);
        }
        Cell::Pointers(_) => {
            place.git_lines(&commands);
            return match operation {
                Operation::Archive => place.archive_holds(false),
                _ => place.holds_pointers(),
            };
        }
        Cell::Refused(words, instead, _) => {
            let said = place.repo.git_fails(commands[0].split(' ')).stderr;
            assert!(said.contains(words), "it says something else:\n{said}");
            place.git_lines(instead);
        }
    }
    place.after(operation);
}

fn first() -> Option<Hermetic> {
    Some(Hermetic::new())
}

fn second() -> Option<Hermetic> {
    second_git_lfs().map(|second| Hermetic::new().with_git_lfs(second))
}

/// The cells of one set-up, a test each.
macro_rules! cells {
    ($machine:path, $setup:ident: $($name:ident $operation:ident),+) => {
        mod $setup {
            $(#[test]
            fn $name() {
                if let Some(env) = $machine() {
                    super::super::try_cell(env, &super::super::table::$setup(), super::super::Operation::$operation);
                }
            })+
        }
    };
    ($machine:path, $setup:ident) => {
        cells!($machine, $setup: clone Clone, push Push, pull Pull, checkout Checkout, archive Archive, prune Prune);
    };
}

/// All set-ups, in the order of the table.
macro_rules! matrix {
    ($($setup:ident),+ $(,)?) => {
        fn all() -> Vec<Setup> {
            vec![$(table::$setup()),+]
        }
        mod git_lfs_installed {
            $(cells!(super::super::first, $setup);)+
        }
        mod git_lfs_second {
            $(cells!(super::super::second, $setup);)+
        }
    };
}

matrix!(
    plain_clone,
    url_of_a_file_remote,
    path_with_spaces,
    remote_typed_as_a_path,
    linked_worktree,
    submodule,
    separate_git_dir,
    bare_clone,
    mirror,
    shallow,
    partial_without_blobs,
    partial_without_trees,
    single_branch,
    sparse_checkout,
    alternates,
    reference,
    storage_elsewhere,
    commit_without_lfsconfig,
    clone_without_lfsconfig,
    skip_smudge_once,
    skip_smudge_always,
    filters_of_the_clone,
    hook_of_init,
    hook_of_git_lfs,
    no_hook,
    foreign_hook,
    shared_hooks_path,
    eight_agents,
);
