//! Everything that is read from a store, a repository, a pipe or the disk, as functions of bytes that may be anything.
//!
//! A target takes what it is given or says why not. It panics where the decoder behind it breaks a promise: what was taken has to
//! come back from what is written of it. Where a hash or checksum guards what is read, the target puts the right one in place, so that
//! mutants get past it to the code behind.
//!
//! Who calls them: libFuzzer (`fuzz_targets`, `just fuzz-with-coverage`), and `tests/hostile/mutants.rs`, which includes this file and needs
//! no nightly compiler. `corpus/<target>` holds a few good inputs for each, `reached/<target>` what libFuzzer found to lead furthest beside.

mod bundles;
mod local;
mod log;
mod packs;
mod protocol;
mod repository;
mod tables;

/// Taken, or why not.
pub type Outcome = Result<(), String>;

/// A function that takes any bytes.
pub struct Target {
    /// What it is called: the name of its corpus too.
    pub name: &'static str,
    /// The function.
    pub run: fn(&[u8]) -> Outcome,
}

const fn target(name: &'static str, run: fn(&[u8]) -> Outcome) -> Target {
    Target { name, run }
}

/// All of them.
pub const TARGETS: [Target; 27] = [
    target("bundle_page", bundles::page),
    target("bundle_path", bundles::path),
    target("bundle_root", bundles::root),
    target("cache_file", local::cache_file),
    target("change", log::change),
    target("checkpoint", log::checkpoint),
    target("files_fence", tables::files_fence),
    target("footer", packs::footer),
    target("frame", packs::frame),
    target("hooks_block", tables::hooks_block),
    target("hooks_fence", tables::hooks_fence),
    target("identity", log::identity),
    target("journal", local::journal),
    target("log_entry", log::entry),
    target("manifest", repository::manifest),
    target("names", repository::names),
    target("note", repository::note),
    target("pack", packs::pack),
    target("pointer", repository::pointer),
    target("protocol", protocol::session),
    target("pushed_refs", repository::pushed_refs),
    target("read", log::read),
    target("receipt", local::receipt),
    target("rows", tables::rows),
    target("settings", repository::settings),
    target("store_url", repository::store_url),
    target("terms", tables::terms),
];

/// The target of this name.
#[allow(dead_code, reason = "asked for by libFuzzer's side only")]
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// What an error says.
fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
