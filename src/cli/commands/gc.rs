//! `git datamon gc`: what nothing needs any more leaves the store.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::bar::{bytes, count};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::ui::one_line;
use crate::cli::when::duration;
use crate::cli::{Context, stores};
use crate::ops::collection::{
    self, Amount, Collected, Held, Limits, NotCollected, Plan, Reason, Shown, Status,
};

/// Give back the space of what was dropped
///
/// Only `squash` and `repo drop` make data garbage, and so do pushes that died. It is condemned by an entry of the log, deleted
/// after a grace, in a later run, and safe while others push. What is live in packs that are dead for the most part is copied first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon gc plan                    what would go, and what each version holds\n  \
    git datamon gc plan --packs            and why each pack stays or goes\n  \
    git datamon gc run                     condemn, and delete what was condemned a day ago\n  \
    git datamon gc run --blank             redacted bytes too that lie between those of other files\n  \
    git datamon gc run --store /srv/data   without git\n  \
    git datamon gc status")]
pub struct GcArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what would go and what stays why, and what each repo, label and version holds; changes nothing
    Plan(PlanArgs),
    /// Condemn what nothing needs, and delete what was condemned before
    Run(RunArgs),
    /// Show what waits to be deleted; changes nothing
    Status(WhereArgs),
}

#[derive(Debug, Args)]
struct WhereArgs {
    /// How long a condemned pack stays for readers of an older state, as in 12h or 2d.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1d")]
    grace: Duration,

    /// How old a pack has to be that no entry of the log names: a push may still be under way.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "7d")]
    orphans: Duration,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct LimitArgs {
    #[command(flatten)]
    place: WhereArgs,

    /// How much of the data may be dead in packs that are still needed, as in 10%: above that what is live in the worst of them is
    /// copied, and they go. `unlimited`: nothing is copied.
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "20%")]
    max_unused: Share,
}

#[derive(Debug, Args)]
struct PlanArgs {
    #[command(flatten)]
    limits: LimitArgs,

    /// List every pack too, and why it stays or goes.
    #[arg(long)]
    packs: bool,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    limits: LimitArgs,

    /// Leave what nothing needs also out of frames that other files need, as after a redaction: every pack with such bytes is copied.
    #[arg(long)]
    blank: bool,
}

/// Hundredths, if there is a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share(Option<u8>);

fn share(typed: &str) -> Result<Share, String> {
    let number = |digits: &str| digits.parse().ok().filter(|percent| *percent <= 100);
    match typed.strip_suffix('%').map(number) {
        Some(Some(percent)) => Ok(Share(Some(percent))),
        None if typed == "0" => Ok(Share(Some(0))),
        None if typed == "unlimited" => Ok(Share(None)),
        _ => Err("a share of a hundred, as in 10%, or unlimited".to_owned()),
    }
}

/// Plans, runs or looks.
pub fn run(args: &GcArgs, context: &Context) -> Result<(), CommandError> {
    let (place, max_unused, blank) = match &args.what {
        What::Run(RunArgs { limits, blank }) => (&limits.place, limits.max_unused.0, *blank),
        What::Plan(PlanArgs { limits, .. }) => (&limits.place, limits.max_unused.0, false),
        What::Status(place) => (place, None, false),
    };
    let limits =
        Limits { grace: place.grace, orphans: place.orphans, max_unused, blank, ..Limits::default() };
    let store = place.store.as_deref();
    let lines = match &args.what {
        What::Run(_) => {
            let mut catalog = stores::chosen_to_write(store, &context.dir)?;
            let done = collection::collect(&mut catalog, limits)?;
            let lines = shown(place.json, &done, context, || run_lines(&done));
            lines.iter().for_each(|line| context.ui.done(line));
            return Ok(());
        }
        What::Plan(PlanArgs { packs, .. }) => {
            let found = collection::plan(&stores::chosen(store, &context.dir)?, limits)?;
            shown(place.json, &found, context, || {
                let mut lines = plan_lines(&found);
                lines.extend(found.packs.iter().filter(|_| *packs).map(pack_line));
                lines
            })
        }
        What::Status(_) => {
            let found = collection::status(&stores::chosen(store, &context.dir)?, limits)?;
            shown(place.json, &found, context, || status_lines(&found))
        }
    };
    lines.iter().for_each(|line| context.ui.fact(line));
    Ok(())
}

/// What is left to say in words once a program was served.
fn shown<T: serde::Serialize>(
    json: bool,
    value: &T,
    context: &Context,
    words: impl FnOnce() -> Vec<String>,
) -> Vec<String> {
    if json {
        context.ui.json(value);
        return vec![];
    }
    words()
}

fn amount(it: Amount) -> String {
    format!("{}, {}", count(it.count, "pack"), bytes(it.bytes))
}

fn reason(it: &Reason) -> String {
    let why = match it.why {
        "files" => "files that were pushed",
        "versions" => "versions",
        "table" => "the tables",
        _ => "checkpoints",
    };
    format!("  for       {}: {why}", amount(Amount { count: it.packs, bytes: it.bytes }))
}

fn pack_line(it: &Shown) -> String {
    let fate = if it.kept { "stays" } else { "goes" };
    one_line(&format!(
        "pack        {}  {}, {}, {fate}: {}",
        it.pack,
        it.kind,
        bytes(it.bytes),
        it.why.join(", ")
    ))
}

fn unused(dead: u64) -> Option<String> {
    let why = "nothing needs them, but other parts of their packs";
    (dead > 0).then(|| format!("unused      {}: {why} (--max-unused)", bytes(dead)))
}

fn run_lines(done: &Collected) -> Vec<String> {
    let mut lines = vec![
        format!("condemned   {}", amount(done.condemned)),
        format!("deleted     {}", amount(done.deleted)),
    ];
    if done.repacked.count > 0 {
        let (old, new) = (amount(done.repacked), bytes(done.copied.bytes));
        lines.push(format!("repacked    {old}, condemned too: {new} of them are needed and were copied"));
    }
    if done.blanked_bytes > 0 {
        let why = "nothing needs them, and the frames were copied without";
        lines.push(format!("blanked     {}: {why}", bytes(done.blanked_bytes)));
    }
    if done.unblanked_bytes > 0 {
        let why = "nothing needs them, but somebody pushed with their pack just now, or their frame would grow without";
        lines.push(format!("unblanked   {}: {why}", bytes(done.unblanked_bytes)));
    }
    if done.unlooked > 0 {
        let why = "copied in part before, damaged, or another collection came between: run it again";
        let packs = count(done.unlooked, "pack");
        lines.push(format!("unlooked    {packs} for what could be blanked: {why}"));
    }
    if done.unread > 0 {
        let why = "in an archive or damaged, left as they are";
        lines.push(format!("unread      {} to be repacked: {why}", count(done.unread, "pack")));
    }
    lines.extend(unused(done.unused_bytes));
    if done.waiting.count > 0 {
        lines.push(format!("waiting     {}: a later run deletes them", amount(done.waiting)));
    }
    if done.young.count > 0 {
        lines.push(format!("young       {}: of pushes that died, or are under way", amount(done.young)));
    }
    if done.forgotten > 0 {
        lines.push(format!("forgotten   {}", count(done.forgotten, "pack")));
    }
    if done.unfinished.count > 0 {
        let Amount { count: files, bytes: size } = done.unfinished;
        lines.push(format!("unfinished  {} removed, {}", count(files, "file"), bytes(size)));
    }
    lines
}

fn plan_lines(found: &Plan) -> Vec<String> {
    let mut lines = vec![format!("kept        {}", amount(found.kept))];
    lines.extend(found.reasons.iter().filter(|it| it.packs > 0).map(reason));
    lines.push(format!("would go    {}", amount(found.condemned)));
    if found.orphans.count > 0 {
        lines.push(format!("  of these  {}: no entry of the log names them", amount(found.orphans)));
    }
    if found.young.count > 0 {
        lines.push(format!("young       {}: of pushes that died, or are under way", amount(found.young)));
    }
    if found.repacked.count > 0 {
        let (old, new) = (amount(found.repacked), bytes(found.copied_bytes));
        lines.push(format!("repacked    {old} would go too: {new} of them are needed and would be copied"));
    }
    lines.extend(unused(found.unused_bytes));
    let line = |what: &str, name: &str, it: &Held| {
        let alone = it.alone.map_or_else(String::new, |alone| format!(", {} alone", bytes(alone)));
        format!("{what:<11} {name}  {}, {}{alone}", count(it.packs, "pack"), bytes(it.bytes))
    };
    lines.extend(found.repos.iter().map(|it| line("repo", &one_line(&it.name), it)));
    let label = |it: &Held| one_line(it.label.as_deref().unwrap_or_default());
    lines.extend(found.labels.iter().map(|it| line("label", &label(it), it)));
    let version = |it: &Held| {
        let commit = it.commit.as_ref().map_or_else(String::new, |commit| format!(" of commit {commit}"));
        format!("{}{commit}", it.bundle.as_deref().unwrap_or_default())
    };
    lines.extend(found.versions.iter().map(|it| line("version", &version(it), it)));
    lines
}

fn status_lines(found: &Status) -> Vec<String> {
    let mut lines = vec![
        format!("log head    {}", found.log_head),
        format!("waiting     {}: condemned, kept for readers", amount(found.waiting)),
        format!("due         {}: the next run deletes them", amount(found.due)),
        format!("tombstones  {}", found.tombstones),
        format!("orphans     {}: the next run condemns them", amount(found.orphans)),
        format!("young       {}: of pushes that died, or are under way", amount(found.young)),
    ];
    if found.unfinished.count > 0 {
        let Amount { count: files, bytes: size } = found.unfinished;
        lines.push(format!("unfinished  {}, {}", count(files, "file"), bytes(size)));
    }
    if found.floor > 0 {
        lines.push(format!("floor       {}: older sessions begin again", found.floor));
    }
    if let Some(seq) = found.newer {
        lines.push(format!("newer       entry {seq} is of a newer version, so this one does not collect"));
    }
    lines
}

impl From<NotCollected> for CommandError {
    fn from(error: NotCollected) -> CommandError {
        let kind = match error {
            NotCollected::Catalog(error) => return error.into(),
            NotCollected::Canary { .. } => Kind::Integrity,
            NotCollected::Contended(_) => Kind::Conflict,
        };
        CommandError::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_hundredths_or_no_bound() {
        for (typed, share_of) in [("0%", Some(0)), ("0", Some(0)), ("100%", Some(100)), ("unlimited", None)] {
            assert_eq!(share(typed), Ok(Share(share_of)), "{typed}");
        }
        for wrong in ["", "%", "10", "101%", "-1%", "1.5%", "10 %", "none"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
