//! The mirror of a simulation. At any moment the store may be lost: then the mirror, as it is at that moment, has to become a store that
//! gives all that it says it has, unless it says itself that it lacks something. And whoever copies last brings everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::bucket::Bucket;
use super::memory;
use super::world::World;
use crate::cache::Cache;
use crate::catalog::{Catalog, Journal};
use crate::ops::mirror::{Compare, NotMirrored, promote, sync};
use crate::ops::verify::{Depth, verify};
use crate::progress::Silent;
use crate::store::{Store, key};

/// A store of this mirror as it is now, made beside it; none before its first copy was complete.
fn promoted(mirror: &Bucket) -> Result<Option<Store>, String> {
    let place = memory(&Arc::new(mirror.twin()));
    match promote(&place) {
        // Where it is a store already, somebody was as fast.
        Ok(_) | Err(NotMirrored::IsStore { .. }) => Ok(Some(place)),
        Err(NotMirrored::None { .. } | NotMirrored::Unfinished { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn says_it_lacks(mirror: &Bucket) -> bool {
    mirror.objects().keys().any(|key| key.starts_with(key::LACKING))
}

/// What a mirror says that it has and cannot give.
pub(super) fn claims(mirror: &Bucket) -> Vec<String> {
    let found = promoted(mirror).and_then(|place| {
        let Some(place) = place else { return Ok(vec![]) };
        if says_it_lacks(mirror) {
            return Ok(vec![]);
        }
        let catalog =
            Catalog::open(place, Cache::none(), Journal::none()).map_err(|error| error.to_string())?;
        let found = verify(&catalog, Depth::Files, &Silent).map_err(|error| error.to_string())?;
        Ok(found.problems.into_iter().map(|it| it.what).collect())
    });
    let said = found.unwrap_or_else(|why: String| vec![why]);
    said.into_iter().map(|what| format!("the mirror alone: {what}")).collect()
}

/// The log of a store and the packs that it knows, or all packs of a mirror.
fn content(bucket: &Bucket, named: Option<&Catalog>) -> BTreeMap<String, Bytes> {
    let is_named = |key: &str| match (key::pack_id(key), named) {
        (Some((_, pack)), Some(catalog)) => catalog.state().packs().contains_key(&pack),
        (Some(_), None) => true,
        (None, _) => key::log_seq(key).is_some(),
    };
    bucket.objects().into_iter().filter(|(key, _)| is_named(key)).collect()
}

/// Copies once more while nothing fails, and looks at everything.
pub(super) fn converge(world: &World) -> Vec<String> {
    let copied = || -> Result<(), String> {
        let store = memory(&world.bucket);
        let mut catalog =
            Catalog::open(store, Cache::none(), Journal::none()).map_err(|error| error.to_string())?;
        let place = memory(&world.beside);
        for compare in [Compare::New, Compare::Sizes, Compare::Bytes] {
            let done = sync(&mut catalog, &place, compare, &Silent).map_err(|error| error.to_string())?;
            if let Some((pack, why)) = done.lacking.first() {
                return Err(format!("{pack} was not copied: {why}"));
            }
        }
        Ok(())
    };
    match copied() {
        Ok(()) if says_it_lacks(&world.beside) => vec!["the mirror says that it lacks something".to_owned()],
        Ok(()) => whole(world),
        Err(why) => vec![format!("the mirror is not brought up: {why}")],
    }
}

/// What a mirror lacks that was brought up, what it has otherwise than the store, and what it has that was forgotten.
pub(super) fn whole(world: &World) -> Vec<String> {
    let catalog = match Catalog::open(memory(&world.bucket), Cache::none(), Journal::none()) {
        Ok(catalog) => catalog,
        Err(error) => return vec![error.to_string()],
    };
    let mut wrong = Vec::new();
    let (store, mirror) = (content(&world.bucket, Some(&catalog)), content(&world.beside, None));
    let differs = |key: &&String| store.get(*key) != mirror.get(*key);
    let condemned =
        |key: &str| key::pack_id(key).is_some_and(|it| catalog.state().condemned().contains_key(&it.1));
    for key in store.keys().chain(mirror.keys()).filter(differs).filter(|key| !condemned(key)) {
        wrong.push(format!("{key} is not as in the store, or only in one of them"));
    }
    match promoted(&world.beside) {
        Ok(Some(place)) => wrong.extend(world.ledger().complaints(&place, &world.shelf)),
        Ok(None) => wrong.push("it is not complete".to_owned()),
        Err(why) => wrong.push(why),
    }
    wrong.extend(claims(&world.beside));
    wrong.extend(world.beside.wrong());
    wrong.into_iter().map(|what| format!("mirror: {what}")).collect()
}
