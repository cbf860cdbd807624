//! The packs of a store: there, of their promised sizes, with sound footers, and where they are read with sound chunks.

use std::collections::HashMap;

use rayon::prelude::*;

use super::{Depth, Findings};
use crate::catalog::Catalog;
use crate::id::PackId;
use crate::ops::survey::is_named;
use crate::pack::{Footer, PackError, PackInfo, verify_pack};
use crate::progress::Progress;
use crate::store::{Listed, key};

/// Footers of all packs that are as they should be; none of one that lies in an archive.
pub type Footers = HashMap<PackId, Option<Footer>>;

/// Packs that are damaged or missing, and what is wrong with each.
pub type Bad = Vec<(PackId, String)>;

/// Every pack of the catalog is there as it was written; of those that are chosen every byte is read.
pub fn check(
    catalog: &Catalog,
    listed: &[Listed],
    chosen: Chosen,
    progress: &dyn Progress,
    findings: &mut Findings,
) -> (Footers, Bad) {
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
            None if [key::PROBE, key::READS].iter().any(|folder| listed.key.starts_with(folder)) => {}
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
        let footer = if chosen.has(*pack) {
            verify_pack(catalog.store(), *pack, *info)
        } else {
            crate::pack::read_footer(catalog.store(), *pack, *info)
        };
        progress.add(info.size);
        match footer {
            Ok(footer) => Ok((*pack, Some(footer))),
            Err(PackError::Store(error)) if error.is_archived() => Ok((*pack, None)),
            Err(error) => Err(format!("{error:#}")),
        }
    };
    let check = |(pack, info)| check((pack, info)).map_err(|what| (*pack, what));
    let packs: Vec<_> = table.iter().collect();
    findings.packs = packs.len() as u64;
    for (pack, info) in &packs {
        findings.pack_bytes = findings.pack_bytes.saturating_add(info.size);
        if chosen.has(**pack) {
            findings.data_packs += 1;
            findings.data_bytes = findings.data_bytes.saturating_add(info.size);
        }
    }
    let checked: Vec<_> = packs.into_par_iter().map(check).collect();
    let (mut footers, mut bad) = (HashMap::new(), Bad::new());
    for result in checked {
        match result {
            Ok((pack, footer)) => {
                match &footer {
                    None => {
                        findings.archived_packs += 1;
                        if chosen.has(pack) {
                            findings.data_packs -= 1;
                            findings.data_bytes -= table[&pack].size.min(findings.data_bytes);
                        }
                    }
                    Some(_) => findings.good_packs.extend(chosen.has(pack).then_some(pack)),
                }
                footers.insert(pack, footer);
            }
            Err(found) => bad.push(found),
        }
    }
    (footers, bad)
}

/// The packs of which every byte is read.
#[derive(Clone, Copy)]
pub enum Chosen {
    None,
    All,
    /// So many percent of them, drawn with a salt of its own: who looks every night misses some for long.
    Share(u8, PackId),
    /// The n-th of so many parts by their ids, counted from 1: who looks at one after the other misses none.
    Part(u16, u16),
}

impl Chosen {
    pub fn by(depth: Depth) -> Chosen {
        match depth {
            Depth::Promises => Chosen::None,
            Depth::Data(percent) => Chosen::Share(percent, PackId::new()),
            Depth::Part(part, of) => Chosen::Part(part, of),
            Depth::Files => Chosen::All,
        }
    }

    fn has(self, pack: PackId) -> bool {
        match self {
            Chosen::None => false,
            Chosen::All => true,
            Chosen::Share(percent, salt) => drawn(salt.as_bytes(), pack) % 100 < u64::from(percent),
            Chosen::Part(part, of) => drawn(&[], pack) % u64::from(of) == u64::from(part - 1),
        }
    }
}

/// A number that nobody chose: ids begin with the time, and may be made up.
fn drawn(salt: &[u8], pack: PackId) -> u64 {
    let hash = blake3::hash(&[salt, pack.as_bytes()].concat());
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("32 bytes have a first eight"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pack_is_in_one_part_of_any_number() {
        let packs: Vec<PackId> = (0..200).map(|_| PackId::new()).collect();
        for of in [1, 2, 7, 20, u16::MAX] {
            let held = |pack: &PackId| (1..=of).filter(|part| Chosen::Part(*part, of).has(*pack)).count();
            assert!(packs.iter().all(|pack| held(pack) == 1), "{of} parts");
        }
        let first = packs.iter().filter(|pack| Chosen::Part(1, 2).has(**pack)).count();
        assert!((50..150).contains(&first), "{first} of 200 are in the first half");
    }
}
