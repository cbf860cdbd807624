//! `git datamon selftest`: does this program keep its promises when everything fails? Anybody may ask.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::Context;
use crate::cli::errors::{CommandError, Kind};
use crate::disk::Disk;
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

    /// From this one on; with --keep only where the file is a new one, which goes on by itself afterwards.
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
/// Seeds from which on each class of faults has to have hit: the rarest hits about once in twelve seeds.
const EVERY_CLASS: u64 = 300;

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
    /// Classes that never hit: then nothing was tested of them.
    #[serde(default)]
    never_hit: Vec<String>,
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

    /// The same, with what follows from the hits.
    fn closed(mut self) -> Counts {
        let names = selftest::Kind::ALL.iter().map(|kind| kind.name().to_owned());
        self.never_hit = names.filter(|name| !self.hits.contains_key(name)).collect();
        self
    }

    /// Whether so many seeds should have hit every class.
    fn is_many(&self) -> bool {
        self.seeds >= EVERY_CLASS
    }

    fn exit_code(&self) -> u8 {
        let is_well = self.violations.is_empty() && (self.never_hit.is_empty() || !self.is_many());
        if is_well { 0 } else { Kind::Integrity.exit_code() }
    }
}

fn failed(path: &Path, why: impl std::fmt::Display) -> CommandError {
    CommandError::new(Kind::Failed, format!("cannot use {}: {why}", path.display()))
}

/// The counts of a file; none if it is a new one.
fn kept(path: &Path) -> Result<Option<Counts>, CommandError> {
    match Disk::default().read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(path, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

/// What was counted before, and the first seed to play: where the file ends, as a seed that is played twice is no other one.
fn begun(args: &SelftestArgs, keep: Option<&Path>) -> Result<(Counts, u64), CommandError> {
    match (keep.map(kept).transpose()?.flatten(), args.from) {
        (Some(counts), Some(_)) => {
            let path = keep.unwrap_or(Path::new("")).display();
            let what =
                format!("{path} has the counts of {} seeds, and goes on at {}", counts.seeds, counts.next);
            Err(CommandError::new(Kind::Usage, what)
                .hint("leave --from away to go on, or name another file to begin elsewhere"))
        }
        (Some(counts), None) => {
            let next = counts.next;
            Ok((counts, next))
        }
        (None, from) => Ok((Counts::default(), args.seed.or(from).unwrap_or(0))),
    }
}

/// Does it.
pub fn run(args: &SelftestArgs, context: &Context) -> Result<ExitCode, CommandError> {
    if args.crashes {
        return crash(args, context);
    }
    let keep = args.keep.as_ref().map(|path| context.dir.join(path));
    let (mut counts, first) = begun(args, keep.as_deref())?;
    let seeds = if args.seed.is_some() { 1 } else { args.seeds };
    let mut played = 0;
    while played < seeds {
        let (from, some) = (first.saturating_add(played), (seeds - played).min(TOGETHER));
        counts = play(from, some, counts, args, context)?;
        played += some;
        if let Some(path) = &keep {
            let bytes = serde_json::to_vec_pretty(&counts).expect("plain values always encode");
            Disk::default().write_durably(path, &[&bytes]).map_err(|error| failed(path, error))?;
        }
    }
    let counts = counts.closed();
    report(&counts, args, context);
    Ok(ExitCode::from(counts.exit_code()))
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
    Ok(shared.into_inner().expect("no holder of this lock panics").closed())
}

fn not_played(error: io::Error) -> CommandError {
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
        for name in &counts.never_hit {
            context.ui.fact(&format!("{:>10}  {name}: never hit, so nothing was tested of it", 0));
        }
        if !counts.never_hit.is_empty() && !counts.is_many() {
            context.ui.hint(&format!("{EVERY_CLASS} seeds hit every class: git datamon selftest"));
        }
    }
    for (seed, wrong) in &counts.violations {
        wrong.iter().for_each(|what| context.ui.fact(&format!("VIOLATION   seed {seed}: {what}")));
        context.ui.hint(&format!("git datamon selftest --seed {seed}"));
    }
    context.ui.fact(&format!("violations  {}", counts.violations.len()));
}
