//! The packs of a mirror: copied once they are verified, read back, and removed when the log has forgotten them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bytes::Bytes;
use rayon::prelude::*;

use super::{Compare, READS, Synced, read_back};
use crate::catalog::{Catalog, CatalogError, Change};
use crate::id::{PackId, PackKind};
use crate::pack::{PackInfo, verify_bytes};
use crate::progress::Progress;
use crate::store::{Store, StoreError, key};

/// How a pack lies in the mirror.
enum Found {
    Whole {
        /// Whether all of it was read.
        is_read: bool,
    },
    Missing,
    /// It is not as it was written, and why.
    Damaged(String),
}

/// What is known of the packs of a mirror.
pub(super) struct Stock<'a> {
    /// All of them, and their sizes; where only new ones are looked at they are asked for one by one.
    pub(super) listed: Option<&'a BTreeMap<String, u64>>,
    pub(super) compare: Compare,
    /// Those that were damaged when they were read last.
    pub(super) doubted: &'a BTreeSet<String>,
}

impl Stock<'_> {
    fn look(&self, to: &Store, name: &str, pack: PackId, info: PackInfo) -> Result<Found, StoreError> {
        let size = match self.listed {
            Some(listed) => listed.get(name).copied(),
            None => to.size(name)?,
        };
        match size {
            None => return Ok(Found::Missing),
            Some(size) if size != info.size => {
                return Ok(Found::Damaged(format!("it has {size} bytes, and not {}", info.size)));
            }
            Some(_) if self.compare < Compare::Bytes && !self.doubted.contains(name) => {
                return Ok(Found::Whole { is_read: false });
            }
            Some(_) => {}
        }
        let whole = read_back(to, name, |bytes| {
            verify_bytes(bytes, pack, info).map(drop).map_err(|error| format!("{error:#}"))
        });
        Ok(whole?.map_or_else(Found::Damaged, |()| Found::Whole { is_read: true }))
    }
}

/// The packs of a mirror, and their sizes.
pub(super) fn list(to: &Store) -> Result<BTreeMap<String, u64>, StoreError> {
    let both = [key::DATA, key::META].map(|folder| to.list(folder, ""));
    let both = both.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(both.into_iter().flatten().map(|it| (it.key, it.size)).collect())
}

/// Packs that entries from `next` on added, and that the store has still; and whether there were others.
pub(super) fn added_since(
    from: &Catalog,
    next: u64,
) -> Result<(BTreeMap<PackId, PackInfo>, bool), CatalogError> {
    let Some(before) = next.checked_sub(1) else { return Ok(Default::default()) };
    let records = from.since(before)?;
    let added = records.into_iter().flat_map(|(_, record)| record.added);
    let (there, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
        added.partition(|(pack, _)| from.state().packs().contains_key(pack));
    Ok((there, !gone.is_empty()))
}

/// Copies packs that are not there, or not as they were written, data before what names it.
pub(super) fn carry(
    from: &Store,
    to: &Store,
    packs: &BTreeMap<PackId, PackInfo>,
    stock: &Stock<'_>,
    progress: &dyn Progress,
    done: &mut Synced,
) -> Result<(), StoreError> {
    let done = Mutex::new(done);
    for kind in [PackKind::Data, PackKind::Meta] {
        let some: Vec<_> = packs.iter().filter(|(_, info)| info.kind == kind).collect();
        some.into_par_iter().try_for_each(|(pack, info)| {
            let name = key::pack(kind, *pack);
            let done = || done.lock().expect("no holder of this lock panics");
            let damage = match stock.look(to, &name, *pack, *info)? {
                Found::Whole { is_read } => {
                    progress.add(info.size);
                    done().was_there(info.size, is_read);
                    return Ok(());
                }
                Found::Missing => None,
                Found::Damaged(why) => Some(why),
            };
            let own = sound(from, &name, *pack, *info)?;
            progress.add(info.size);
            match (damage, own) {
                (None, Ok(bytes)) => {
                    to.create_own(&name, bytes.into())?;
                    done().wrote(info.size);
                }
                // It is there at any moment, better or worse: there may be no other copy of what is whole in it.
                (Some(why), Ok(bytes)) => {
                    to.overwrite(&name, bytes.into())?;
                    done().mended(name, info.size, why);
                }
                (None, Err(why)) => done().lacking.push((name, why)),
                (Some(there), Err(why)) => {
                    done().lacking.push((name, format!("{why}; and in the mirror: {there}")));
                }
            }
            Ok::<(), StoreError>(())
        })?;
    }
    Ok(())
}

/// A pack of the store that is as it was written; else why it is not.
fn sound(
    from: &Store,
    name: &str,
    pack: PackId,
    info: PackInfo,
) -> Result<Result<Bytes, String>, StoreError> {
    let mut why = String::new();
    // What was damaged on its way comes whole another time.
    for _ in 0..READS {
        let bytes = match from.get(name) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Err("the store lacks it".to_owned())),
            Err(error) if error.is_archived() => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        match verify_bytes(&bytes, pack, info) {
            Ok(_) => return Ok(Ok(bytes)),
            Err(error) => why = format!("{error:#}"),
        }
    }
    Ok(Err(why))
}

/// Removes what an interrupted copy left that the store has let go of since: what the store does not know and an entry of its log has
/// forgotten. All entries are in the mirror by then. What none has forgotten is not ours to remove: the store may have been rolled
/// back, or the place may be a store by now, with packs that others pushed there.
pub(super) fn remove_forgotten(
    from: &Catalog,
    to: &Store,
    there: &BTreeMap<String, u64>,
) -> Result<(), CatalogError> {
    let state = from.state();
    let known = |id: &PackId| state.packs().contains_key(id) || state.condemned().contains_key(id);
    let packs = there.keys().filter_map(|name| Some((key::pack_id(name)?.1, name)));
    let mut unknown: BTreeMap<PackId, &String> = packs.filter(|(id, _)| !known(id)).collect();
    for seq in (0..=from.head().seq()).rev() {
        if unknown.is_empty() {
            break;
        }
        let forgotten = match from.change(seq) {
            Ok(record) => record.change,
            // What cannot be read has forgotten nothing.
            Err(CatalogError::Log { .. } | CatalogError::Lost { .. }) => continue,
            Err(error) => return Err(error),
        };
        let Change::Forget(forget) = forgotten else { continue };
        for name in forget.packs.iter().filter_map(|pack| unknown.remove(pack)) {
            to.delete(name)?;
        }
    }
    Ok(())
}
