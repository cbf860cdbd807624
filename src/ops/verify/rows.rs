//! The rows of a store: where their recipes lead, and what they rebuild.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Mutex;

use super::packs::Footers;
use super::repeats::{Patience, is_possible};
use super::{Findings, Needed};
use crate::cache::Cache;
use crate::catalog::Catalog;
use crate::id::PackKind;
use crate::ops::fetch::{self, FetchError, Source, Wanted};
use crate::pack::{Footer, Term};
use crate::progress::Progress;
use crate::store::key;
use crate::table::{Frames, Leads, Recipe, Row};

/// Every row leads to frames that are there.
pub fn check(catalog: &Catalog, footers: &Footers, needed: &mut Needed, findings: &mut Findings) {
    let slices = match catalog.live_rows() {
        Ok(slices) => slices,
        Err(error) => {
            needed.unknown = true;
            return findings.problem(error);
        }
    };
    for rows in slices {
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                needed.unknown = true;
                findings.problem(error);
                break;
            }
        };
        findings.rows += rows.len() as u64;
        for row in &rows {
            needed.add(row, catalog);
            if let Some(seq) = findings.redacted.get(&row.key()) {
                findings.back.entry(*seq).or_default().insert(row.oid);
            }
            if let Err(what) = check_row(catalog, footers, row) {
                findings.hit(what, row.oid);
                suspect_terms(catalog, row, findings);
            }
        }
    }
}

/// Of a file that cannot be rebuilt: whether its list of terms is what is damaged.
fn suspect_terms(catalog: &Catalog, row: &Row, findings: &mut Findings) {
    if let Recipe::Out { blob, .. } = &row.recipe {
        let none = Cache::none();
        if let Err(error) = Frames::new(catalog.store(), &none, catalog.state()).read(blob) {
            findings.suspect(catalog, &catalog.state().lead(blob), &error.into());
        }
    }
}

/// The row leads to frames that are there; what is wrong, else.
pub fn check_row(catalog: &Catalog, footers: &Footers, row: &Row) -> Result<(), String> {
    if !is_possible(row.size) {
        return Err("files are said to be larger than any file can be".to_owned());
    }
    if let Recipe::Out { blob, .. } = &row.recipe
        && let pack = catalog.state().lead(blob).pack
        && !footers.contains_key(&pack)
    {
        return Err(format!("recipes need {}, which is damaged or gone", key::pack(PackKind::Meta, pack)));
    }
    for term in catalog.terms(row).map_err(|error| format!("{error:#}"))? {
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

/// Every file whose packs are right is rebuilt from what the store has, and is what its name says. Those in an archive are left out, and
/// those that repeat what they have for longer than patience lasts.
pub fn rebuild(catalog: &Catalog, footers: &Footers, progress: &dyn Progress, findings: &mut Findings) {
    // What cannot be read was said before.
    let Ok(slices) = catalog.live_rows() else { return };
    // What this machine keeps says nothing of the store.
    let source = Source::bare(catalog.store());
    let mut patience = Patience::default();
    for rows in slices.map_while(Result::ok) {
        let mut seen = HashSet::new();
        let mut files: Vec<Wanted> = rows
            .iter()
            .filter(|row| check_row(catalog, footers, row).is_ok())
            .filter_map(|row| {
                let terms = catalog.terms(row).ok()?;
                let here = |term: &Term| footers.get(&term.pack).is_some_and(Option::is_some);
                let new = terms.iter().all(here) && seen.insert((row.oid, terms.clone()));
                new.then(|| Wanted { oid: row.oid, size: row.size, terms, path: PathBuf::new() })
            })
            .collect();
        files.retain(|file| patience.suffices(file, findings));
        files.sort_by_key(|file| file.terms.first().map(|term| (term.pack, term.offset, term.skip)));
        let failed = Mutex::new(Vec::new());
        fetch::rebuild(&source, &files, progress, &|file, result| {
            if let Err(error) = result {
                failed.lock().expect("no holder of this lock panics").push((file.oid, error));
            }
        });
        findings.rebuilt += files.len() as u64;
        for (oid, error) in failed.into_inner().expect("no holder of this lock panics") {
            if let FetchError::Wrong { .. } = error {
                findings.wrong.insert(oid);
                findings.hit("recipes rebuild other bytes than those of their files".to_owned(), oid);
            } else {
                findings.hit(format!("files cannot be rebuilt: {error:#}"), oid);
            }
        }
    }
}
