//! Where it runs: every condition that a machine or a repository may be in, times the main verbs.
//!
//! A cell is a machine that was set up in order, then put into a condition, in which one verb is tried. It succeeds with the right
//! outcome; or it says in one line what is in the way and what to do, leaves nothing half done, and succeeds as soon as the
//! condition is lifted. `conditions` has the rows of the table, `verbs` its columns, `ground` what every cell starts from.
//!
//! In every test run each condition is tried with some of the verbs, together with all of them; the ignored tests try every cell.
//! Conditions that this machine cannot be put into (mounts need root) say so.

mod conditions;
mod ground;
mod verbs;

use std::panic::{AssertUnwindSafe, catch_unwind};

use conditions::Condition;
use ground::Place;
use verbs::{VERBS, Verb};

/// Verbs of a condition in every test run.
const SOME: usize = 2;

/// Tries one cell; what was wrong, if anything was.
fn try_cell(condition: &Condition, verb: &Verb) -> Result<String, String> {
    let mut place = Place::new();
    // What happens before, happens while all is in order.
    if !condition.stays {
        (verb.before)(&place);
    }
    if let Err(why) = (condition.make)(&mut place) {
        eprintln!("SKIPPED: {}: {why}", condition.name);
        return Ok("skipped".to_owned());
    }
    if condition.stays {
        (verb.before)(&place);
    }
    let said = place.run(verb);
    let shown = format!("exit {:?}\n{}\n{}", said.code, String::from_utf8_lossy(&said.stdout), said.stderr);
    let is_done = |code: Option<i32>, said: &str| {
        code == Some(0) || (code == verb.tells && !said.contains("error: ") && !said.contains("fatal: "))
    };
    if is_done(said.code, &said.stderr) {
        place.lift();
        (verb.check)(&place).map_err(|wrong| format!("says it is done, and {wrong}:\n{shown}"))?;
        place.sound().map_err(|wrong| format!("{wrong} after:\n{shown}"))?;
        return Ok("works".to_owned());
    }
    let words = format!("{}\n{}", String::from_utf8_lossy(&said.stdout), said.stderr);
    let line = clear_line(condition, verb, &words).map_err(|wrong| format!("{wrong}:\n{shown}"))?;
    if condition.stays {
        return Ok(line);
    }
    place.lift();
    place.sound().map_err(|wrong| format!("{wrong} after:\n{shown}"))?;
    let again = place.run(&(verb.again)(&place));
    let after =
        format!("exit {:?}\n{}\n{}", again.code, String::from_utf8_lossy(&again.stdout), again.stderr);
    if !is_done(again.code, &again.stderr) {
        return Err(format!("fails again:\n{after}\nafter:\n{shown}"));
    }
    (verb.check)(&place).map_err(|wrong| format!("the second time {wrong}:\n{after}\nafter:\n{shown}"))?;
    place.sound().map_err(|wrong| format!("{wrong} after:\n{after}"))?;
    Ok(line)
}

/// What begins to say what to do next.
const REMEDIES: [&str; 11] = [
    "hint: ",
    "free ",
    "check ",
    "mount ",
    "set ",
    "choose ",
    "run the command again",
    "run `git ",
    "name ",
    "allow ",
    "make ",
];

/// The one line that says what is in the way; what to do stands there, or in a hint beside it.
fn clear_line(condition: &Condition, verb: &Verb, said: &str) -> Result<String, String> {
    let ours = said.lines().filter(|line| line.starts_with("error: ")).count();
    let gits = said.lines().any(|line| line.contains("fatal: ") || line.starts_with(" ! "));
    if said.contains("panicked") || (ours > 1 && !gits) {
        return Err(format!("not one clear line but {ours}"));
    }
    // What git and git-lfs say by themselves is what they say.
    let is_ours = verb.words[1] == "datamon";
    let says = |word: &&&str| !is_ours || !conditions::ONLY_OF_GIT.contains(word);
    if is_ours && !said.lines().any(|line| REMEDIES.iter().any(|word| line.contains(word))) {
        return Err("nobody says what to do".to_owned());
    }
    let line = said.lines().find(|line| condition.says.iter().filter(says).any(|word| line.contains(word)));
    line.map(str::to_owned).ok_or_else(|| format!("nobody says any of {:?}", condition.says))
}

fn try_all(name: &str, verbs: impl Iterator<Item = &'static Verb>) {
    let condition =
        conditions::ALL.iter().find(|condition| condition.name == name).expect("it is in the table");
    let mut wrong = Vec::new();
    for verb in verbs {
        // A cell that cannot be set up is as wrong as one that ends badly, and the others are tried all the same.
        let outcome = catch_unwind(AssertUnwindSafe(|| try_cell(condition, verb)));
        match outcome.unwrap_or_else(|_| Err("it panics".to_owned())) {
            Ok(line) => println!("{} × {}: {line}", condition.name, verb.name),
            Err(why) => wrong.push(format!("=== {} × {}: {why}", condition.name, verb.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn try_some(name: &str) {
    let at = conditions::ALL.iter().position(|condition| condition.name == name).expect("it is in the table");
    try_all(name, (0..SOME).map(move |n| &VERBS[(at * SOME + n) % VERBS.len()]));
}

/// A test for each condition, with some verbs and with all.
macro_rules! cells {
    ($($name:ident),+ $(,)?) => {
        mod some_verbs {
            $(#[test]
            fn $name() {
                super::try_some(stringify!($name));
            })+
        }
        mod every_verb {
            $(#[test]
            #[ignore = "every cell takes minutes"]
            fn $name() {
                super::try_all(stringify!($name), super::VERBS.iter());
            })+
        }
        #[test]
        fn every_condition_has_its_tests() {
            let tested = [$(stringify!($name)),+];
            let named: Vec<&str> = conditions::ALL.iter().map(|condition| condition.name).collect();
            assert_eq!(named, tested);
            assert!(named.len() >= 22 && VERBS.len() >= 10);
        }
    };
}

cells!(
    nothing_special,
    cache_full,
    cache_read_only,
    cache_forbidden,
    tmp_full,
    tmp_read_only,
    tmp_forbidden,
    store_full,
    store_read_only,
    store_forbidden,
    git_dir_full,
    git_dir_read_only,
    git_dir_forbidden,
    state_full,
    state_read_only,
    disk_full,
    no_home,
    lfs_on_another_disk,
    tmp_on_another_disk,
    umask_of_a_private_person,
    umask_of_a_careless_person,
    locale_without_unicode,
    names_fold,
    few_open_files,
    shallow,
    partial,
    sha_256,
    bare,
    linked_worktree,
    submodule,
    clock_ahead,
    clock_behind,
    no_network,
    little_memory,
);
