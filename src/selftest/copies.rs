//! Pieces of work with copies of what a store has: mirrors, objects of git-lfs that a machine need not keep, and who read what.

use std::fs;
use std::path::PathBuf;

use super::deed::AT_ONCE;
use super::memory;
use super::mirror::{claims, converge, whole};
use super::work::{
    CACHED, KEPT, Moment, NEW, PLAIN, Said, Stage, Work, fetch_all, filled, is_repacked, mend_from, repack,
    said, waste,
};
use crate::catalog::log::now;
use crate::git::Pointer;
use crate::id::Oid;
use crate::ops::mirror::{self, Compare, NotMirrored};
use crate::ops::prune::{self, Local};
use crate::ops::readlog::{self, Read};
use crate::progress::Silent;
use crate::store::key;

/// Brings the mirror up.
fn copy(stage: &Stage) -> Said {
    bring(stage, Compare::New)
}

fn bring(stage: &Stage, compare: Compare) -> Said {
    let done = mirror::sync(&mut stage.open()?, &stage.weather.beside(), compare, &Silent).map_err(said)?;
    match done.lacking.first() {
        Some((pack, why)) => Err(format!("{pack} was not copied: {why}")),
        None => Ok(()),
    }
}

/// A mirror of which much has changed in the store since: files came, files and packs went, and the log has forgotten those.
fn behind(stage: &Stage) -> Said {
    filled(stage)?;
    let mut catalog = stage.open()?;
    stage.push(&mut catalog, stage.oids(CACHED))?;
    copy(stage)?;
    stage.drop_files(&mut catalog, stage.oids(CACHED))?;
    for _ in 0..3 {
        stage.collect(AT_ONCE)?;
    }
    stage.push(&mut stage.open()?, stage.oids(NEW..NEW + 1))
}

/// A mirror that has never seen where data lay at first that was pushed since.
fn behind_a_repack(stage: &Stage) -> Said {
    filled(stage)?;
    copy(stage)?;
    waste(stage)?;
    (0..3).try_for_each(|_| repack(stage))
}

/// The same of one that has to find what was copied where it lies now.
fn is_honest_of_what_moved(stage: &Stage, moment: Moment) -> Vec<String> {
    is_honest(stage, moment).into_iter().chain(is_repacked(stage, moment)).collect()
}

/// A copy says what it has, and has everything in the end.
fn is_honest(stage: &Stage, moment: Moment) -> Vec<String> {
    match moment {
        Moment::Killed => claims(&stage.world.beside),
        // A mark that landed only now goes with the next copy.
        Moment::Done => whole(&stage.world).into_iter().chain(converge(&stage.world)).collect(),
    }
}

fn mirrored(stage: &Stage) -> Said {
    filled(stage)?;
    copy(stage)
}

fn promote(stage: &Stage) -> Said {
    match mirror::promote(&stage.weather.beside()) {
        // It is one, and somebody was told so.
        Err(NotMirrored::IsStore { .. }) if !stage.world.beside.has(key::MIRROR) => Ok(()),
        done => done.map(drop).map_err(said),
    }
}

/// It is a mirror or a store, and has everything.
fn is_something(stage: &Stage, moment: Moment) -> Vec<String> {
    let beside = &stage.world.beside;
    let (is_mirror, is_store) = (beside.has(key::MIRROR), beside.has(key::STORE));
    let mut wrong = claims(beside);
    match moment {
        _ if !is_mirror && !is_store => wrong.push("it is neither mirror nor store".to_owned()),
        Moment::Done if is_mirror || !is_store => wrong.push("it is no store".to_owned()),
        Moment::Done => {
            wrong.extend(stage.world.ledger().complaints(&memory(beside), &stage.world.shelf));
        }
        Moment::Killed => {}
    }
    wrong
}

/// A mirror in which something of each kind is damaged.
fn with_damaged_mirror(stage: &Stage) -> Said {
    mirrored(stage)?;
    let all = stage.world.beside.objects().into_keys();
    let names: Vec<String> = all.filter(|name| is_kept(name)).collect();
    for (folder, nth) in [(key::DATA, 0), (key::META, 0), (key::LOG, 1)] {
        let mut of_it = names.iter().filter(|name| name.starts_with(folder));
        stage.world.beside.flip(of_it.nth(nth).ok_or("it has something of each kind")?);
    }
    Ok(())
}

fn is_kept(name: &str) -> bool {
    key::pack_id(name).is_some() || key::log_seq(name).is_some()
}

/// At any moment all that the store names is there, better or worse.
fn is_mended(stage: &Stage, moment: Moment) -> Vec<String> {
    let (store, mirror) = (stage.world.bucket.objects(), stage.world.beside.objects());
    let gone = store.keys().filter(|name| is_kept(name) && !mirror.contains_key(*name));
    let gone = gone.map(|name| format!("{name} is gone from the mirror"));
    match moment {
        Moment::Killed => gone.collect(),
        Moment::Done => gone.chain(is_honest(stage, moment)).collect(),
    }
}

/// A damaged pack, and the mirror that has it whole.
fn with_damage(stage: &Stage) -> Said {
    let mut catalog = stage.create()?;
    stage.push(&mut catalog, stage.oids(CACHED))?;
    copy(stage)?;
    stage.harm(&catalog)
}

/// Where the objects of git-lfs lie on this machine.
fn objects(stage: &Stage) -> PathBuf {
    stage.disk.join("objects")
}

/// Objects of git-lfs: some that the store has, and one that it has not.
fn with_objects(stage: &Stage) -> Said {
    filled(stage)?;
    fs::create_dir_all(objects(stage)).map_err(said)?;
    let which: Vec<Oid> = [stage.oids(KEPT), stage.oids(NEW..NEW + 1)].concat();
    stage.world.shelf.uploads(&which, None).into_iter().try_for_each(|file| {
        let oid = file.oid.ok_or("a file of the shelf")?;
        fs::copy(file.path, objects(stage).join(oid.to_string())).map(drop).map_err(said)
    })
}

fn here(stage: &Stage) -> Vec<Local> {
    let local = |oid: &Oid| {
        let pointer = Pointer { oid: *oid, size: stage.world.shelf.size(*oid) };
        Local { pointer, path: objects(stage).join(oid.to_string()) }
    };
    let all = stage.world.shelf.all().iter().map(local);
    all.filter(|it| stage.world.shelf.is_same(it.pointer.oid, &it.path)).collect()
}

fn prune_all(stage: &Stage) -> Said {
    let mut catalog = stage.open()?;
    let planned = prune::plan(&mut catalog, stage.repo(), here(stage), &Default::default(), true, &Silent)
        .map_err(said)?;
    prune::delete(&planned.goes, &stage.weather.disk()).map(drop).map_err(said)
}

/// What the store has not is here.
fn keeps_what_it_must(stage: &Stage, moment: Moment) -> Vec<String> {
    let left: Vec<Oid> = here(stage).into_iter().map(|it| it.pointer.oid).collect();
    let own = stage.oids(NEW..NEW + 1);
    match moment {
        _ if !left.contains(&own[0]) => vec!["an object went that the store has not".to_owned()],
        Moment::Done if left != own => vec![format!("{} objects are left", left.len())],
        _ => vec![],
    }
}

fn read(stage: &Stage) -> Said {
    let mut catalog = stage.open()?;
    fetch_all(stage, &mut catalog)?;
    let read = Read { time: now(), ..Read::new("fetch", stage.repo(), 3, 100) };
    read.write(catalog.store());
    Ok(())
}

/// What was written can be read, all of it.
fn is_listed(stage: &Stage, moment: Moment) -> Vec<String> {
    match readlog::list(&memory(&stage.world.bucket), 0, usize::MAX) {
        Ok(found) if found.unread > 0 => vec![format!("{} reads cannot be read", found.unread)],
        Ok(found) if found.reads.is_empty() && moment == Moment::Done => vec!["no read is noted".to_owned()],
        Ok(_) => vec![],
        Err(error) => vec![error.to_string()],
    }
}

fn prune_reads(stage: &Stage) -> Said {
    readlog::prune(stage.open()?.store(), u64::MAX >> 16).map(drop).map_err(said)
}

fn none_is_listed(stage: &Stage, moment: Moment) -> Vec<String> {
    match readlog::list(&memory(&stage.world.bucket), 0, usize::MAX) {
        Ok(found) if moment == Moment::Done && !found.reads.is_empty() => {
            vec![format!("{} reads are left", found.reads.len())]
        }
        Ok(_) => vec![],
        Err(error) => vec![error.to_string()],
    }
}

/// Each of them.
pub(super) const COPIES: &[Work] = &[
    Work { name: "mirror add", prepare: filled, act: copy, look: is_honest, ..PLAIN },
    Work { name: "mirror sync", prepare: behind, act: copy, look: is_honest, ..PLAIN },
    Work {
        name: "mirror sync, after a repack",
        prepare: behind_a_repack,
        act: copy,
        look: is_honest_of_what_moved,
        ..PLAIN
    },
    Work {
        name: "mirror mend",
        prepare: with_damaged_mirror,
        act: |it| bring(it, Compare::Bytes),
        look: is_mended,
        ..PLAIN
    },
    Work { name: "mirror promote", prepare: mirrored, act: promote, look: is_something, ..PLAIN },
    Work {
        name: "repair, from a mirror",
        prepare: with_damage,
        act: |it| mend_from(it, &[], &[it.weather.beside()]),
        mends: true,
        ..PLAIN
    },
    Work { name: "prune", prepare: with_objects, act: prune_all, look: keeps_what_it_must, ..PLAIN },
    Work { name: "readlog", prepare: filled, act: read, look: is_listed, ..PLAIN },
    Work {
        name: "readlog prune",
        prepare: |it| (0..3).try_for_each(|_| read_once(it)),
        act: prune_reads,
        look: none_is_listed,
        ..PLAIN
    },
];

fn read_once(stage: &Stage) -> Said {
    if stage.world.bucket.is_empty() {
        filled(stage)?;
    }
    read(stage)
}
