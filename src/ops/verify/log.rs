//! The log of a store, entry by entry: what it shows by itself, and whether that is what the catalog says.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::catalog::{Catalog, Change, Entry, Identity, Rules, State};
use crate::id::EntryHash;
use crate::store::{Listed, Store, StoreError, key};

/// What a store's objects say where its catalog cannot be opened: its identity, and its log from the first entry to the newest that is
/// listed.
pub fn inspect(store: &Store) -> Result<Findings, StoreError> {
    let mut findings = Findings::default();
    let listed = store.list("", "")?;
    match store.get(key::STORE)?.map(|bytes| Identity::decode(&bytes)) {
        None => findings.problem(format!(
            "{} is missing: objects of a store are there, and nothing says which one it is",
            key::STORE
        )),
        Some(Err(error)) => findings.problem(error),
        Some(Ok(_)) => {}
    }
    let newest = listed.iter().filter_map(|it| key::log_seq(&it.key)).max();
    check_hint(store, newest, &mut findings)?;
    match newest {
        Some(newest) => drop(walk(store, &listed, newest, &mut findings)?),
        None => findings.problem("there is no log"),
    }
    Ok(findings)
}

/// The position that `log/HEAD` names; what names none is only noted.
fn hint(store: &Store, findings: &mut Findings) -> Result<Option<u64>, StoreError> {
    let Some(bytes) = store.get(key::HEAD)? else { return Ok(None) };
    let position =
        std::str::from_utf8(&bytes).ok().and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    if position.is_none() {
        findings.notes.push(format!("{} names no position in the log: it is only a hint", key::HEAD));
    }
    Ok(position)
}

/// What `log/HEAD` names was there once.
fn check_hint(store: &Store, newest: Option<u64>, findings: &mut Findings) -> Result<(), StoreError> {
    if let Some(hint) = hint(store, findings)?
        && newest.is_none_or(|newest| newest < hint)
    {
        let newest =
            newest.map_or("none is there".to_owned(), |it| format!("the newest is {}", key::log(it)));
        findings.problem(format!("{} says that {} was there, and {newest}", key::HEAD, key::log(hint)));
    }
    Ok(())
}

/// The log shows what the catalog says.
pub fn check(catalog: &Catalog, listed: &[Listed], findings: &mut Findings) -> Result<(), StoreError> {
    check_identity(catalog, findings)?;
    if let Some(hint) = hint(catalog.store(), findings)?
        && hint > catalog.head().seq()
        // Others may have written it meanwhile.
        && catalog.store().size(&key::log(hint))?.is_none()
    {
        findings.problem(format!("{} names {}, which is not there", key::HEAD, key::log(hint)));
    }
    let walked = walk(catalog.store(), listed, catalog.head().seq(), findings)?;
    if let Some(state) = walked
        && findings.problems.is_empty()
        && state != *catalog.state()
    {
        findings.problem("the newest checkpoint does not lead to what the log says");
    }
    Ok(())
}

/// The store says of itself what it said when this machine first saw it.
fn check_identity(catalog: &Catalog, findings: &mut Findings) -> Result<(), StoreError> {
    let name = key::STORE;
    let Some(bytes) = catalog.store().get(name)? else {
        findings.problem(format!("{name} is missing"));
        return Ok(());
    };
    match Identity::decode(&bytes) {
        Err(error) => findings.problem(error),
        Ok(found) if found != *catalog.identity() => {
            // The store may have been moved here in place of another copy.
            findings.notes.push(format!("{name} says something else than when this machine first read it"));
        }
        Ok(found) if !found.is_written(&bytes) => {
            findings.notes.push(format!("{name} was changed: it is not as git-datamon writes it"));
        }
        Ok(_) => {}
    }
    Ok(())
}

/// Reads every entry up to `head`. What they add up to, if none is missing.
fn walk(
    store: &Store,
    listed: &[Listed],
    head: u64,
    findings: &mut Findings,
) -> Result<Option<State>, StoreError> {
    let whole = check_names(listed, head, findings);
    let mut state = State::new(Rules::ALL);
    let mut changes: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut before: Option<EntryHash> = None;
    for seq in 0..=head {
        let Some(bytes) = store.get(&key::log(seq))? else {
            findings.bad_entries.push(seq);
            before = None;
            continue;
        };
        findings.entries += 1;
        let entry = match Entry::decode(seq, &bytes) {
            Ok(entry) => entry,
            Err(error) => {
                findings.bad_entries.push(seq);
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
            Ok(record) => {
                if let Change::Redact(redact) = &record.change {
                    findings.redacted.extend(redact.keys.iter().map(|oid| ((*oid, redact.repo), seq)));
                }
                if state.next() == seq {
                    state.apply(seq, &record).expect("the next entry");
                }
            }
            Err(error) => findings.problem(error),
        }
    }
    state.set_head_hash(before.unwrap_or(EntryHash::NONE));
    Ok(whole.then_some(state))
}

/// Whether an entry of every number is listed.
fn check_names(listed: &[Listed], head: u64, findings: &mut Findings) -> bool {
    let there: BTreeSet<u64> = listed.iter().filter_map(|it| key::log_seq(&it.key)).collect();
    let (mut whole, mut next) = (true, 0);
    // A stray name far above must not cost a line for each number below it.
    for seq in there.iter().copied().chain([head.saturating_add(1)]) {
        if seq > next {
            whole = false;
            let first = key::log(next);
            findings.problem(match seq - next {
                1 => format!("log entry {first} is missing"),
                _ => format!("log entries from {first} up to {} are missing", key::log(seq - 1)),
            });
        }
        next = next.max(seq.saturating_add(1));
    }
    whole
}
