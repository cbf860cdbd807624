//! The command line, through git.

mod doctor;
mod hook;
mod init;
mod install;
mod names;
mod trust;
mod typed;

use std::process::Command;

use datamon_test_support::{Hermetic, Output, run, run_failing};

/// A machine with git-datamon on PATH, and git-lfs.
pub fn machine() -> Hermetic {
    let env = Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"));
    env.git_lfs();
    env
}

fn command(env: &Hermetic, dir: &str, args: &[&str]) -> Command {
    let mut command = env.command("git");
    command.args(["-C", dir, "datamon"]).args(args);
    command
}

/// `git datamon <args>` in a directory below the machine's work.
#[track_caller]
fn datamon(env: &Hermetic, dir: &str, args: &[&str]) -> Output {
    run(&mut command(env, dir, args))
}

/// The exit code and all the words of a `git datamon <args>` that must fail.
#[track_caller]
fn datamon_fails(env: &Hermetic, dir: &str, args: &[&str]) -> (i32, String) {
    let output = run_failing(&mut command(env, dir, args));
    (output.code.expect("it ended by itself"), format!("{}\n{}", output.text(), output.stderr))
}

#[test]
fn words_that_are_no_command_are_a_usage_error() {
    let env = machine();
    for args in [&["bogus"][..], &[], &["init", "--bogus"], &["-v", "-q", "doctor"]] {
        assert_eq!(datamon_fails(&env, ".", args).0, 64, "{args:?}");
    }
    assert_eq!(datamon_fails(&env, ".", &["-C", "nowhere", "doctor"]).0, 2);
    assert!(datamon(&env, ".", &["-h"]).text().contains("Examples:"));
    assert!(datamon(&env, ".", &["init", "--help"]).text().contains("Examples:"));
}
