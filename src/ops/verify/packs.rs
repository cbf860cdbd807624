//! The packs of a store: there, of their promised sizes, with sound footers, and where they are read with sound chunks.

use std::collections::HashMap;

use rayon::prelude::*;

use super::Findings;
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

/// Every pack of the catalog is there as it was written; of `percent` of a hundred every byte is read.
pub fn check(
    catalog: &Catalog,
    listed: &[Listed],
    percent: u8,
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
    let chosen = Chosen::new(percent);
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
            Err(error) => Err(error.to_string()),
        }
    };
    let check = |(pack, info)| check((pack, info)).map_err(|what| (*pack, what));
    let packs: Vec<_> = table.iter().collect();
    findings.packs = packs.len() as u64;
    let read = packs.iter().filter(|(pack, _)| chosen.has(**pack));
    findings.data_bytes = read.map(|(_, info)| info.size).fold(0, u64::saturating_add);
    let checked: Vec<_> = packs.into_par_iter().map(check).collect();
    let (mut footers, mut bad) = (HashMap::new(), Bad::new());
    for result in checked {
        match result {
            Ok((pack, footer)) => {
                match &footer {
                    None => findings.archived_packs += 1,
                    Some(_) => findings.good_packs.extend(chosen.has(pack).then_some(pack)),
                }
                footers.insert(pack, footer);
            }
            Err(found) => bad.push(found),
        }
    }
    (footers, bad)
}

/// A share of the packs that is another each time, so that a part read every night reaches all of them.
struct Chosen {
    percent: u8,
    salt: PackId,
}

impl Chosen {
    fn new(percent: u8) -> Chosen {
        Chosen { percent, salt: PackId::new() }
    }

    fn has(&self, pack: PackId) -> bool {
        let hash = blake3::hash(&[self.salt.as_bytes().as_slice(), pack.as_bytes()].concat());
        let drawn = u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("32 bytes have a first eight"));
        drawn % 100 < u64::from(self.percent)
    }
}
