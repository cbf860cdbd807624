//! `git datamon selftest`: does this program keep its promises when everything fails? Anybody may ask.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::Context;
use crate::cli::errors::{CommandError, Kind};
use crate::selftest::{self, Outcome};

/// Simulate machines that fail, and look whether anything is lost
///
/// Each seed is a simulation in memory: 2 to 8 machines push, commit, label, fetch, collect, squash and repair 200 times over one
/// store, while requests, disks, clocks and processes fail. Nothing outside a temporary directory is touched.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon selftest                             300 seeds\n  \
    git datamon selftest --seed 4711 -v              one of them again, and all that was done\n  \
    git datamon selftest --seeds 2000 --keep counts.json   go on with others each time
  \
    git datamon selftest --crashes                   kill each command everywhere")]
pub struct SelftestArgs {
    /// So many seeds.
    #[arg(long, value_name = "N", default_value = "300")]
    seeds: u64,

    /// From this one on; with --keep from where the last run ended.
    #[arg(long, value_name = "SEED")]
    from: Option<u64>,

    /// This one alone.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from", "keep"])]
    seed: Option<u64>,

    /// Kill single commands at every request and every step with a local file, instead.
    #[arg(long, conflicts_with_all = ["seed", "seeds", "from", "keep"])]
    crashes: bool,

    /// Go on with the counts in this file, and keep them there.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Seeds after which the counts are kept, so that a run that is ended loses little.
const TOGETHER: u64 = 200;

/// What was counted, by this run and those before it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counts {
    /// The first seed that was not played.
    next: u64,
    seeds: u64,
    operations: u64,
    /// How often each class of faults hit.
    hits: BTreeMap<String, u64>,
    /// What happened that must not, by seed.
    violations: BTreeMap<u64, Vec<String>>,
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.operations += outcome.deeds;
        for (kind, hits) in outcome.hits {
            *self.hits.entry(kind.name().to_owned()).or_default() += hits;
        }
        if !outcome.wrong.is_empty() {
            self.violations.insert(outcome.seed, outcome.wrong);
        }
    }

    /// Classes that never hit: then nothing was tested of them.
    fn idle(&self) -> Vec<&'static str> {
        let names = selftest::Kind::ALL.iter().map(|kind| kind.name());
        names.filter(|name| !self.hits.contains_key(*name)).collect()
    }
}

fn failed(path: &Path, why: impl std::fmt::Display) -> CommandError {
    CommandError::new(Kind::Failed, format!("cannot use {}: {why}", path.display()))
}

fn kept(path: &Path) -> Result<Counts, CommandError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(path, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Counts::default()),
        Err(error) => Err(failed(path, error)),
    }
}

/// Does it.
pub fn run(args: &SelftestArgs, context: &Context) -> Result<ExitCode, CommandError> {
    if args.crashes {
        return crash(args, context);
    }
    let keep = args.keep.as_ref().map(|path| context.dir.join(path));
    let mut counts = keep.as_deref().map(kept).transpose()?.unwrap_or_default();
    let first = args.seed.or(args.from).unwrap_or(counts.next);
    let seeds = if args.seed.is_some() { 1 } else { args.seeds };
    let mut played = 0;
    while played < seeds {
        let (from, some) = (first.saturating_add(played), (seeds - played).min(TOGETHER));
        counts = play(from, some, counts, args, context)?;
        played += some;
        if let Some(path) = &keep {
            let bytes = serde_json::to_vec_pretty(&counts).expect("plain values always encode");
            fs::write(path, bytes).map_err(|error| failed(path, error))?;
        }
    }
    report(&counts, args, context);
    let idle = args.seed.is_none() && !counts.idle().is_empty();
    let code = if counts.violations.is_empty() && !idle { 0 } else { Kind::Integrity.exit_code() };
    Ok(ExitCode::from(code))
}

/// Plays seeds and counts them too.
fn play(
    first: u64,
    seeds: u64,
    counts: Counts,
    args: &SelftestArgs,
    context: &Context,
) -> Result<Counts, CommandError> {
    let shared = Mutex::new(Counts { next: first.saturating_add(seeds), ..counts });
    let told = |outcome: Outcome| {
        if args.seed.is_some() {
            outcome.trace.iter().for_each(|line| context.ui.detail(line));
        }
        shared.lock().expect("no holder of this lock panics").add(outcome);
    };
    selftest::play(first, seeds, &told).map_err(not_played)?;
    Ok(shared.into_inner().expect("no holder of this lock panics"))
}

fn not_played(error: std::io::Error) -> CommandError {
    CommandError::new(
        Kind::Failed,
        format!("cannot simulate: {error}; free space in the temporary directory"),
    )
}

fn crash(args: &SelftestArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let crashes = selftest::crash_everywhere().map_err(not_played)?;
    if args.json {
        context.ui.json(&crashes);
    } else {
        for (work, points) in &crashes.points {
            context.ui.fact(&format!("{points:>10}  {work}"));
        }
        context.ui.fact(&format!("{:>10}  killed a second time while it was done again", crashes.twice));
        crashes.wrong.iter().for_each(|what| context.ui.fact(&format!("VIOLATION   {what}")));
        context.ui.fact(&format!("crash points  {}", crashes.count()));
        context.ui.fact(&format!("violations    {}", crashes.wrong.len()));
    }
    let code = if crashes.wrong.is_empty() { 0 } else { Kind::Integrity.exit_code() };
    Ok(ExitCode::from(code))
}

fn report(counts: &Counts, args: &SelftestArgs, context: &Context) {
    if args.json {
        context.ui.json(counts);
        return;
    }
    context.ui.fact(&format!("seeds       {}", counts.seeds));
    context.ui.fact(&format!("operations  {}", counts.operations));
    for (name, hits) in &counts.hits {
        context.ui.fact(&format!("{hits:>10}  {name}"));
    }
    if args.seed.is_none() {
        for name in counts.idle() {
            context.ui.fact(&format!("{:>10}  {name}: never hit, so nothing was tested of it", 0));
        }
    }
    for (seed, wrong) in &counts.violations {
        wrong.iter().for_each(|what| context.ui.fact(&format!("VIOLATION   seed {seed}: {what}")));
        context.ui.hint(&format!("git datamon selftest --seed {seed}"));
    }
    context.ui.fact(&format!("violations  {}", counts.violations.len()));
}
