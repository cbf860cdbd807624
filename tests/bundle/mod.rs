//! Dataset versions on the command line, without git and adopted by it, in stores on disk.

mod adopt;
mod download;
mod hostile;
mod killed;
mod kills;
mod read;
mod redact;
mod scale;
mod squash;
mod upload;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use datamon_test_support::{Hermetic, Output, run, run_failing};
use serde_json::Value;

/// A machine with git-datamon on PATH.
fn machine() -> Hermetic {
    Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"))
}

/// What names the dataset without a git repository.
const WEATHER: [&str; 4] = ["--store", "store", "--repo", "weather"];

fn command(env: &Hermetic, args: &[&str]) -> Command {
    let mut command = env.command("git");
    command.current_dir(env.work()).arg("datamon").args(args);
    // A store is not made by the way.
    command.args((args.first() == Some(&"upload")).then_some("--create"));
    command
}

/// `git datamon <args>` on the dataset, where there is no git repository.
#[track_caller]
fn weather(env: &Hermetic, args: &[&str]) -> Output {
    run(&mut command(env, &[args, &WEATHER].concat()))
}

/// The same that must fail: its exit code and its words.
#[track_caller]
fn weather_fails(env: &Hermetic, args: &[&str]) -> (i32, String) {
    let output = run_failing(&mut command(env, &[args, &WEATHER].concat()));
    (output.code.expect("it ended by itself"), output.stderr)
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Uploads a directory; the id of the version.
#[track_caller]
fn upload(env: &Hermetic, dir: &str) -> String {
    weather(env, &["upload", dir]).text().to_owned()
}

fn write(env: &Hermetic, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = env.work().join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(&path, bytes).expect("written");
    path
}

fn make_executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
}

/// Every file and link below a directory: its bytes or where it leads, and `x` or `l`.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, char)> {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a directory") {
            let path = entry.expect("an entry").path();
            let meta = path.symlink_metadata().expect("there");
            let name = path.strip_prefix(folder).expect("below").to_owned();
            if meta.is_dir() {
                open.push(path);
            } else if meta.is_symlink() {
                let leads = fs::read_link(&path).expect("a link");
                found.insert(name, (leads.into_os_string().into_encoded_bytes(), 'l'));
            } else {
                let kind = if meta.permissions().mode() & 0o111 == 0 { '-' } else { 'x' };
                found.insert(name, (fs::read(&path).expect("readable"), kind));
            }
        }
    }
    found
}
