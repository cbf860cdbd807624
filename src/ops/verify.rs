//! Verify: is everything the log promises there, and right?
//!
//! The log is read entry by entry, its chain and tails compared, its fold compared with what the newest checkpoint leads to
//! (R7). Then the tables, each recipe against the footers of its packs, each pack against its promised size. With `data`,
//! every byte of every pack is read and every chunk hashed. Nothing is repaired and nothing is skipped: what cannot be read is
//! a problem.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;
use serde::Serialize;

use super::survey::is_named;
use crate::catalog::{Catalog, CatalogError, Entry, Rules, State};
use crate::id::{EntryHash, Oid, PackId, PackKind};
use crate::pack::{Footer, PackError, PackInfo, Term, verify_pack};
use crate::progress::Progress;
use crate::store::{Listed, key};
use crate::table::{Recipe, Row};

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What, about which object.
    pub what: String,
    /// Files that cannot be read because of it.
    #[serde(serialize_with = "oids")]
    pub oids: BTreeSet<Oid>,
}

fn oids<S: serde::Serializer>(oids: &BTreeSet<Oid>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(oids.iter().map(Oid::to_string))
}

/// What a verification found.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is there and belongs to nothing: interrupted uploads, files of others.
    pub notes: Vec<String>,
    /// Log entries read.
    pub entries: u64,
    /// Rows checked.
    pub rows: u64,
    /// Packs checked.
    pub packs: u64,
    /// Packs that nothing in the log names: of uploads that were interrupted, or are under way.
    pub unused_packs: u64,
    /// Their bytes.
    pub unused_bytes: u64,
    /// Packs that lie in an archive: they are there with the right size, and nothing in them was looked at.
    pub archived_packs: u64,
    /// Bytes of packs read and hashed; 0 without `data`.
    pub data_bytes: u64,
    /// Packs that are damaged or missing.
    #[serde(skip)]
    pub bad_packs: Vec<PackId>,
    /// Packs of which every byte was read and is right; none without `data`.
    #[serde(skip)]
    pub good_packs: Vec<PackId>,
}

impl Findings {
    fn problem(&mut self, what: impl ToString) {
        self.problems.push(Problem { what: what.to_string(), oids: BTreeSet::new() });
    }
}

/// Verify the whole store. An error means that the verification itself could not be done.
pub fn verify(catalog: &Catalog, data: bool, progress: &dyn Progress) -> Result<Findings, CatalogError> {
    let mut findings = Findings::default();
    let listed = catalog.store().list("", "")?;
    check_log(catalog, &listed, &mut findings)?;
    let footers = check_packs(catalog, &listed, data, progress, &mut findings);
    check_rows(catalog, &footers, &mut findings);
    // Nothing that is in the store needs them, and the next merge leaves them out.
    let hooks = catalog.damaged_hooks().into_iter();
    findings.notes.extend(
        hooks.map(|error| format!("hooks cannot be read, similar data may be stored twice: {error}")),
    );
    Ok(findings)
}

fn check_log(catalog: &Catalog, listed: &[Listed], findings: &mut Findings) -> Result<(), CatalogError> {
    let head = catalog.head().seq();
    let there: BTreeSet<u64> = listed.iter().filter_map(|it| key::log_seq(&it.key)).collect();
    let mut lost = false;
    let mut next = 0;
    // A stray name far above must not cost a line for each number below it.
    for seq in there.iter().copied().chain([head + 1]) {
        if seq > next {
            lost = true;
            let first = key::log(next);
            findings.problem(match seq - next {
                1 => format!("log entry {first} is missing"),
                _ => format!("log entries from {first} up to {} are missing", key::log(seq - 1)),
            });
        }
        next = next.max(seq.saturating_add(1));
    }
    let mut state = State::new(Rules::ALL);
    let mut changes: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut before: Option<EntryHash> = None;
    for seq in 0..=head {
        let Some(bytes) = catalog.store().get(&key::log(seq))? else {
            before = None;
            continue;
        };
        findings.entries += 1;
        let entry = match Entry::decode(seq, &bytes) {
            Ok(entry) => entry,
            Err(error) => {
                findings.problem(error);
                before = None;
                continue;
            }
        };
        if before.is_some_and(|before| before != entry.prev()) {
            findings.problem(format!("log entry {} does not follow the one before it", key::log(seq)));
        }
        let untrue =
            changes.iter().any(|(of, change)| entry.carried(*of).is_some_and(|carried| carried != change));
        if untrue {
            findings.problem(format!("log entry {} carries other changes than were made", key::log(seq)));
        }
        changes.insert(seq, entry.change().to_vec());
        before = Some(EntryHash::of(&bytes));
        match entry.own() {
            Ok(record) if state.next() == seq => state.apply(seq, &record).expect("the next entry"),
            Ok(_) => {}
            Err(error) => findings.problem(error),
        }
    }
    if !lost && findings.problems.is_empty() {
        state.set_head_hash(before.unwrap_or(EntryHash::NONE));
        if state != *catalog.state() {
            findings.problem("the newest checkpoint does not lead to what the log says");
        }
    }
    Ok(())
}

/// Footers of all packs that are as they should be; none of one that lies in an archive.
fn check_packs(
    catalog: &Catalog,
    listed: &[Listed],
    data: bool,
    progress: &dyn Progress,
    findings: &mut Findings,
) -> HashMap<PackId, Option<Footer>> {
    let sizes: HashMap<&str, u64> = listed.iter().map(|it| (it.key.as_str(), it.size)).collect();
    let table = catalog.state().packs();
    let journalled = catalog.packs_in_journal();
    for listed in listed {
        match key::pack_id(&listed.key) {
            Some((_, pack)) if is_named(catalog, pack) || journalled.contains(&pack) => {}
            Some(_) => {
                findings.unused_packs += 1;
                findings.unused_bytes = findings.unused_bytes.saturating_add(listed.size);
            }
            None if key::log_seq(&listed.key).is_some() => {}
            None if [key::STORE, key::HEAD].contains(&listed.key.as_str()) => {}
            None if listed.key.starts_with("probe/") => {}
            None => findings.notes.push(format!("{} is none of git-datamon's objects", listed.key)),
        }
    }
    let check = |(pack, info): (&PackId, &PackInfo)| -> Result<(PackId, Option<Footer>), String> {
        let name = key::pack(info.kind, *pack);
        match sizes.get(name.as_str()) {
            None => return Err(format!("{name} is missing")),
            Some(size) if *size != info.size => {
                return Err(format!("{name} has {size} bytes where {} were written", info.size));
            }
            Some(_) => {}
        }
        let footer = if data {
            verify_pack(catalog.store(), *pack, *info)
        } else {
            crate::pack::read_footer(catalog.store(), *pack, *info)
        };
        progress.add(info.size);
        match footer {
            Ok(footer) => Ok((*pack, Some(footer))),
            Err(PackError::Store(error)) if error.is_archived() => Ok((*pack, None)),
            Err(error) => Err(error.to_string()),
        }
    };
    let check = |(pack, info)| check((pack, info)).map_err(|what| (*pack, what));
    let packs: Vec<_> = table.iter().collect();
    findings.packs = packs.len() as u64;
    if data {
        findings.data_bytes = packs.iter().map(|(_, info)| info.size).fold(0, u64::saturating_add);
    }
    let checked: Vec<_> = packs.into_par_iter().map(check).collect();
    let mut footers = HashMap::new();
    for result in checked {
        match result {
            Ok((pack, footer)) => {
                match &footer {
                    None => findings.archived_packs += 1,
                    Some(_) => findings.good_packs.extend(data.then_some(pack)),
                }
                footers.insert(pack, footer);
            }
            Err((pack, what)) => {
                findings.bad_packs.push(pack);
                findings.problem(what);
            }
        }
    }
    footers
}

fn check_rows(catalog: &Catalog, footers: &HashMap<PackId, Option<Footer>>, findings: &mut Findings) {
    let slices = match catalog.live_rows() {
        Ok(slices) => slices,
        Err(error) => return findings.problem(error),
    };
    let mut by_cause: BTreeMap<String, BTreeSet<Oid>> = BTreeMap::new();
    for rows in slices {
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                findings.problem(error);
                break;
            }
        };
        findings.rows += rows.len() as u64;
        for row in &rows {
            if let Err(what) = check_row(catalog, footers, row) {
                by_cause.entry(what).or_default().insert(row.oid);
            }
        }
    }
    findings.problems.extend(by_cause.into_iter().map(|(what, oids)| Problem { what, oids }));
}

fn check_row(catalog: &Catalog, footers: &HashMap<PackId, Option<Footer>>, row: &Row) -> Result<(), String> {
    if let Recipe::Out { blob, .. } = &row.recipe
        && !footers.contains_key(&blob.pack)
    {
        return Err(format!(
            "recipes need {}, which is damaged or gone",
            key::pack(PackKind::Meta, blob.pack)
        ));
    }
    for term in catalog.terms(row).map_err(|error| error.to_string())? {
        let name = key::pack(PackKind::Data, term.pack);
        let footer =
            footers.get(&term.pack).ok_or_else(|| format!("files need {name}, which is damaged or gone"))?;
        let Some(footer) = footer else { continue };
        check_term(footer, &term).ok_or_else(|| format!("recipes name bytes that {name} does not have"))?;
    }
    Ok(())
}

/// Whether the term is a run of whole frames with enough raw bytes in it.
fn check_term(footer: &Footer, term: &Term) -> Option<()> {
    let first = footer.frames.binary_search_by_key(&term.offset, |frame| frame.offset).ok()?;
    let end = term.offset.checked_add(term.stored)?;
    let run = footer.frames[first..].iter().take_while(|frame| frame.offset + u64::from(frame.stored) <= end);
    let (mut raw, mut last) = (0, 0);
    for frame in run {
        raw += u64::from(frame.raw);
        last = frame.offset + u64::from(frame.stored);
    }
    let skip = u64::from(term.skip);
    let fits = skip.checked_add(term.raw).is_some_and(|end| end <= raw);
    (last == end && skip < u64::from(footer.frames[first].raw) && fits).then_some(())
}
