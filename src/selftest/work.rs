//! Pieces of work that are killed at each of their seams: what one command does, on a store and a machine as they were before it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::deed::AT_ONCE;
use super::failed::Failed;
use super::ledger::{Files, exported, fetched};
use super::memory;
use super::shelf::Shelf;
use super::weather::Weather;
use super::world::World;
use crate::bundle::Facts;
use crate::cache::Cache;
use crate::catalog::change::{Change, Drop};
use crate::catalog::{Catalog, Journal};
use crate::chance;
use crate::id::{BundleId, ChunkId, Oid, PackId, PackKind, RepoId};
use crate::ops::bundle::{Draft, Planned, open};
use crate::ops::collection::{self, Limits};
use crate::ops::label::{self, Expected};
use crate::ops::promote::promote;
use crate::ops::redact;
use crate::ops::repair::{Damage, move_data, move_metadata, repair};
use crate::ops::repo;
use crate::ops::squash::{self, Git, Keep, Squash};
use crate::ops::upload::{upload, upload_bundle};
use crate::ops::verify::{Depth, verify};
use crate::pack::{Frame, PackWriter, read_footer};
use crate::progress::Silent;
use crate::store::{Store, key};

/// Bytes of data that the small cache may keep.
const CACHE: u64 = 120_000;
/// The name of the small cache: that of a place.
const PLACE: &str = "00000000000000000000000000000000";
/// Bytes of a pack: several to a large push.
const PACK: u64 = 100_000;

/// Nothing goes before its time.
const NEVER: Duration = Duration::from_secs(1 << 40);

/// One machine, one store, and what lies beside it: another store or a mirror.
pub(super) struct Stage {
    pub world: Arc<World>,
    pub weather: Arc<Weather>,
    pub disk: PathBuf,
}

/// When one looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Killed,
    Done,
}

/// Why it was not done, in words.
pub(super) type Said = Result<(), String>;

/// A piece of work.
pub(super) struct Work {
    pub name: &'static str,
    /// What was there before it.
    pub prepare: fn(&Stage) -> Said,
    /// The work itself, which can be done again.
    pub act: fn(&Stage) -> Said,
    /// What is wrong then beside what is of everything.
    pub look: fn(&Stage, Moment) -> Vec<String>,
    /// Whether something is damaged before it is done.
    pub mends: bool,
}

/// Work of which there is no more to say.
pub(super) const PLAIN: Work =
    Work { name: "", prepare: |_| Ok(()), act: |_| Ok(()), look: |_, _| vec![], mends: false };

pub(super) fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The files of these stages, by what they are for.
pub(super) struct Names;

impl Names {
    /// Small ones: three for the store, one that is dropped, one that is pushed, and those for the cache; then large ones, several
    /// frames each.
    pub(super) fn shelf() -> std::io::Result<Shelf> {
        let mut shelf = Shelf::new()?;
        let noise = |seed: u8, length: usize| {
            let mut bytes = vec![0; length];
            blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
            bytes
        };
        for seed in 0..5 {
            shelf.put(noise(seed, 2_000 + 3_000 * usize::from(seed)))?;
        }
        for seed in 5..9 {
            shelf.put(noise(seed, 50_000))?;
        }
        let large = noise(9, 400_000);
        shelf.put(large.clone())?;
        // Known and new parts in turn: more terms than a row holds.
        let part = |(n, part): (usize, &[u8])| [&noise(20 + n as u8, 9_000)[..], part].concat();
        shelf.put(large.chunks(16_000).enumerate().flat_map(part).collect())?;
        shelf.put(noise(10, 300_000))?;
        Ok(shelf)
    }
}

pub(super) const KEPT: std::ops::Range<usize> = 0..3;
pub(super) const DROPPED: usize = 3;
pub(super) const NEW: usize = 4;
pub(super) const CACHED: std::ops::Range<usize> = 5..9;
const LARGE: std::ops::Range<usize> = 9..11;
const BESIDE: usize = 11;

impl Stage {
    pub(super) fn repo(&self) -> RepoId {
        self.world.repos[0]
    }

    pub(super) fn oids(&self, which: std::ops::Range<usize>) -> &[Oid] {
        &self.world.shelf.all()[which]
    }

    fn journal(&self) -> Journal {
        Journal::at(self.disk.join("journal")).on(self.weather.disk())
    }

    pub(super) fn store(&self) -> Store {
        self.weather.store().with_packs_of(PACK)
    }

    pub(super) fn open(&self) -> Result<Catalog, String> {
        let cache = Cache::at(self.disk.join("cache")).on(self.weather.disk());
        Catalog::open(self.store(), cache, self.journal()).map_err(said)
    }

    fn open_other(&self) -> Result<Catalog, String> {
        let disk = self.weather.disk();
        let cache = Cache::at(self.disk.join("other/cache")).on(disk.clone());
        let journal = Journal::at(self.disk.join("other/journal")).on(disk);
        Catalog::open(self.weather.beside(), cache, journal).map_err(said)
    }

    pub(super) fn create(&self) -> Result<Catalog, String> {
        let cache = Cache::at(self.disk.join("cache")).on(self.weather.disk());
        Catalog::create(self.store(), cache, self.journal()).map_err(said)
    }

    pub(super) fn push(&self, catalog: &mut Catalog, oids: &[Oid]) -> Said {
        let done = upload(catalog, self.repo(), &self.world.shelf.uploads(oids, None), &[], &Silent);
        let done = done.map_err(said)?;
        self.world.ledger().uploaded(self.repo(), &done);
        Ok(())
    }

    fn commit(&self, catalog: &mut Catalog, oids: &[Oid]) -> Result<BundleId, String> {
        let newest = catalog.state().bundles().iter().max_by_key(|(_, it)| it.seq).map(|(id, _)| *id);
        let base =
            newest.map(|id| open(catalog, id).map(|it| it.root().clone())).transpose().map_err(said)?;
        let mut files: Files = newest.map(|id| self.world.ledger().files_of(id)).unwrap_or_default();
        let planned = |oid: &Oid| {
            let size = self.world.shelf.size(*oid);
            (format!("files/{oid}").into_bytes(), Some(Planned::File { executable: false, oid: *oid, size }))
        };
        let changes: std::collections::BTreeMap<_, _> = oids.iter().map(planned).collect();
        files.extend(oids.iter().map(|oid| (format!("files/{oid}").into_bytes(), *oid)));
        let drafting = |_: &_| {
            let draft = Draft::new(base.clone(), Facts::default(), changes.clone());
            self.world.ledger().drafted(draft.id, files.clone());
            Draft { is_latest: true, ..draft }
        };
        let uploads = self.world.shelf.uploads(oids, None);
        let done = upload_bundle(catalog, self.repo(), &uploads, &drafting, &Silent).map_err(said)?;
        self.world.ledger().uploaded(self.repo(), &done);
        done.bundle.ok_or_else(|| "no version was made".to_owned())
    }

    fn label(&self, catalog: &mut Catalog, name: &str, to: BundleId) -> Said {
        let moved = label::set(catalog, self.repo(), name, to, Expected::Anything).map_err(said)?;
        self.world.ledger().labelled(self.repo(), name, moved.seq, Some(to));
        Ok(())
    }

    /// A pack of data is damaged.
    pub(super) fn harm(&self, catalog: &Catalog) -> Said {
        let packs = catalog.state().packs().iter().filter(|(_, info)| info.kind == PackKind::Data);
        let (pack, info) = packs.map(|(pack, info)| (*pack, *info)).next().ok_or("a push makes a pack")?;
        self.world.bucket.flip(&key::pack(info.kind, pack));
        Ok(())
    }

    fn give_up(&self, catalog: &mut Catalog, planned: &Squash) -> Said {
        {
            let mut ledger = self.world.ledger();
            ledger.drop_versions(planned.gone());
            ledger.drop_files(planned.planned_on, planned.files.keys().map(|oid| (planned.repo, *oid)));
        }
        planned.apply(catalog).map_err(said)
    }

    pub(super) fn drop_files(&self, catalog: &mut Catalog, gone: &[Oid]) -> Said {
        let planned_on = catalog.head().seq();
        self.world.ledger().drop_files(planned_on, gone.iter().map(|oid| (self.repo(), *oid)));
        let keys = gone.iter().map(|oid| (*oid, self.repo())).collect();
        let change = Change::Drop(Drop { planned_on, keys, bundles: vec![] });
        catalog.commit(&catalog.record(planned_on, change)).map(drop).map_err(said)
    }

    pub(super) fn collect(&self, limits: Limits) -> Said {
        collection::collect(&mut self.open()?, limits).map(drop).map_err(said)
    }
}

/// A store with files, two versions, a label and a checkpoint.
pub(super) fn filled(stage: &Stage) -> Said {
    let mut catalog = stage.create()?;
    stage.push(&mut catalog, stage.oids(KEPT))?;
    let first = stage.commit(&mut catalog, &stage.oids(KEPT)[..2])?;
    stage.label(&mut catalog, "prod", first)?;
    catalog.write_checkpoint().map_err(said)?;
    stage.commit(&mut catalog, &stage.oids(KEPT)[1..]).map(drop)
}

/// The same with as many runs as a merge waits for.
fn with_runs(stage: &Stage) -> Said {
    filled(stage)?;
    let mut catalog = stage.open()?;
    for oid in stage.world.shelf.all() {
        stage.push(&mut catalog, &[*oid])?;
        catalog.write_checkpoint().map_err(said)?;
    }
    Ok(())
}

/// The same with a version and files that were given up, and a pack that nothing names.
fn with_garbage(stage: &Stage) -> Said {
    filled(stage)?;
    let mut catalog = stage.open()?;
    stage.push(&mut catalog, stage.oids(DROPPED..DROPPED + 1))?;
    stage.push(&mut catalog, stage.oids(CACHED))?;
    stage.drop_files(&mut catalog, stage.oids(DROPPED..CACHED.end))?;
    catalog.write_checkpoint().map_err(said)?;
    let mut pack = PackWriter::new(PackKind::Data);
    pack.add(&Frame::encode(vec![5; 1000]), vec![]);
    pack.finish().put(&stage.store()).map_err(said)
}

/// A pack of several frames, of which the first is dead.
pub(super) fn waste(stage: &Stage) -> Said {
    let cache = Cache::at(stage.disk.join("cache")).on(stage.weather.disk());
    let mut catalog = Catalog::open(stage.weather.store(), cache, stage.journal()).map_err(said)?;
    let (gone, stays) = (stage.oids(LARGE)[0], stage.oids(BESIDE..BESIDE + 1)[0]);
    stage.push(&mut catalog, &[gone, stays])?;
    stage.drop_files(&mut catalog, &[gone])
}

pub(super) fn repack(stage: &Stage) -> Said {
    stage.collect(Limits { max_unused: Some(0), ..AT_ONCE })
}

/// The file that was taken out is in no pack, though its neighbours were copied.
fn is_blanked(stage: &Stage, moment: Moment) -> Vec<String> {
    let looked = || -> Result<(usize, usize), String> {
        let store = memory(&stage.world.bucket);
        let catalog = Catalog::open(store, Cache::none(), Journal::none()).map_err(said)?;
        let out = ChunkId::of(stage.world.shelf.bytes(stage.oids(KEPT)[1]));
        let mut with = 0;
        for (pack, info) in catalog.state().packs().iter().filter(|(_, info)| info.kind == PackKind::Data) {
            let footer = read_footer(catalog.store(), *pack, *info).map_err(said)?;
            with += footer.frames.iter().flat_map(|it| &it.chunks).filter(|(id, _)| *id == out).count();
        }
        Ok((catalog.state().forwards().len(), with))
    };
    match looked() {
        Ok((forwards, 0)) if forwards > 0 => vec![],
        Ok((0, with)) if with > 0 && moment == Moment::Killed => vec![],
        found => vec![format!("packs that were copied, and chunks of what was taken out: {found:?}")],
    }
}

/// Something was copied, and nothing is dead in what stays.
pub(super) fn is_repacked(stage: &Stage, moment: Moment) -> Vec<String> {
    let looked = || -> Result<(usize, u64), String> {
        let cache = Cache::none();
        let catalog = Catalog::open(memory(&stage.world.bucket), cache, Journal::none()).map_err(said)?;
        let waste = collection::plan(&catalog, AT_ONCE).map_err(said)?.unused_bytes;
        Ok((catalog.state().forwards().len(), waste))
    };
    match looked() {
        Ok((forwards, 0)) if forwards > 0 => vec![],
        _ if moment == Moment::Killed => vec![],
        found => vec![format!("packs emptied, and bytes that are dead: {found:?}")],
    }
}

fn with_condemned(stage: &Stage) -> Said {
    with_garbage(stage)?;
    stage.collect(Limits { grace: NEVER, ..AT_ONCE })
}

fn with_tombstones(stage: &Stage) -> Said {
    with_condemned(stage)?;
    stage.collect(Limits { tombstones: NEVER, ..AT_ONCE })
}

/// A repo of its own that was deleted.
fn with_deleted(stage: &Stage) -> Said {
    filled(stage)?;
    let mut catalog = stage.open()?;
    let id = stage.world.repos[1];
    repo::create(&mut catalog, id, "of its own").map_err(said)?;
    let uploads = stage.world.shelf.uploads(stage.oids(CACHED), None);
    let done = upload(&mut catalog, id, &uploads, &[], &Silent).map_err(said)?;
    stage.world.ledger().uploaded(id, &done);
    repo::delete(&mut catalog, id).map_err(said)
}

/// Two stores with the same files, of which one is damaged.
fn with_damage(stage: &Stage) -> Said {
    let mut catalog = stage.create()?;
    stage.push(&mut catalog, stage.oids(CACHED))?;
    let mut other = Catalog::create(stage.weather.beside(), Cache::none(), Journal::none()).map_err(said)?;
    let uploads = stage.world.shelf.uploads(stage.oids(CACHED), None);
    upload(&mut other, stage.repo(), &uploads, &[], &Silent).map_err(said)?;
    stage.harm(&catalog)
}

/// An empty store beside the one that is there.
fn with_another(stage: &Stage) -> Said {
    filled(stage)?;
    Catalog::create(stage.weather.beside(), Cache::none(), Journal::none()).map(drop).map_err(said)
}

fn with_large(stage: &Stage) -> Said {
    filled(stage)?;
    stage.push(&mut stage.open()?, &stage.oids(LARGE)[..1])
}

/// The first of what is wrong is why it was not done.
fn first(wrong: Vec<Failed>) -> Said {
    wrong.into_iter().next().map_or(Ok(()), |it| Err(it.into()))
}

pub(super) fn fetch_all(stage: &Stage, catalog: &mut Catalog) -> Said {
    let promised = stage.world.ledger().promised();
    let oids: Vec<Oid> = promised.iter().filter(|(of, _)| *of == stage.repo()).map(|(_, oid)| *oid).collect();
    first(fetched(catalog, stage.repo(), &oids, &stage.world.shelf))
}

fn clone(stage: &Stage) -> Said {
    let mut catalog = stage.open()?;
    fetch_all(stage, &mut catalog)?;
    let all: Vec<BundleId> = catalog.state().bundles().keys().copied().collect();
    all.into_iter().try_for_each(|id| first(exported(&catalog, id, None, &stage.world.shelf)))
}

/// Files come through a cache that cannot keep all of them.
fn evict(stage: &Stage) -> Said {
    let cache = Cache::at(stage.disk.join("cache").join(PLACE)).on(stage.weather.disk()).with_data(CACHE);
    for oid in stage.oids(CACHED) {
        let mut catalog = Catalog::open(stage.store(), cache.clone(), stage.journal()).map_err(said)?;
        first(fetched(&mut catalog, stage.repo(), &[*oid], &stage.world.shelf))?;
    }
    Ok(())
}

/// What versions consist of and lead to leaves packs that are taken for damaged, and these go.
fn move_versions(stage: &Stage) -> Said {
    let mut catalog = stage.open()?;
    let roots: Vec<PackId> = catalog.state().bundles().values().map(|bundle| bundle.root.pack).collect();
    let data = catalog.state().packs().iter().filter(|(_, info)| info.kind == PackKind::Data);
    let data: Vec<PackId> = data.map(|(pack, _)| *pack).collect();
    catalog.suspect(roots.into_iter().chain(data));
    move_metadata(&mut catalog, &[]).map_err(said)?;
    move_data(&mut catalog, &[]).map_err(said)?;
    collection::collect(&mut catalog, AT_ONCE).map(drop).map_err(said)
}

fn mend(stage: &Stage) -> Said {
    mend_from(stage, &[stage.open_other()?], &[])
}

pub(super) fn mend_from(stage: &Stage, others: &[Catalog], mirrors: &[Store]) -> Said {
    let mut catalog = stage.open()?;
    let found = verify(&catalog, Depth::Data(100), &Silent).map_err(said)?;
    catalog.keep_in_mind(&found.bad_packs, &found.good_packs, &found.wrong);
    let mut damage = Damage::of(&catalog).map_err(said)?;
    let scratch = stage.world.shelf.out();
    repair(&mut catalog, &mut damage, &[], others, mirrors, scratch.path(), &Silent).map_err(said)?;
    match damage.is_empty() {
        true => fetch_all(stage, &mut catalog),
        false => Err("something is damaged still".to_owned()),
    }
}

fn carry(stage: &Stage) -> Said {
    let (from, mut to) = (stage.open()?, stage.open_other()?);
    for id in from.state().bundles().keys().copied() {
        let scratch = stage.world.shelf.out();
        promote(&from, &mut to, id, scratch.path(), &Silent).map_err(said)?;
        first(exported(&to, id, Some(&stage.world.ledger().made(id)), &stage.world.shelf))?;
    }
    Ok(())
}

fn squash_to_one(stage: &Stage) -> Said {
    let mut catalog = stage.open()?;
    let keep = Keep { last: Some(1), semver: true, ..Keep::default() };
    let planned = squash::plan(&catalog, stage.repo(), &keep, &Git::Overruled).map_err(said)?;
    stage.give_up(&mut catalog, &planned)
}

fn drop_repo(stage: &Stage) -> Said {
    let mut catalog = stage.open()?;
    let planned = squash::plan_deleted(&catalog, stage.world.repos[1]).map_err(said)?;
    stage.give_up(&mut catalog, &planned)
}

/// A path that both versions have.
fn shared_path(stage: &Stage) -> Vec<u8> {
    format!("files/{}", stage.oids(KEPT)[1]).into_bytes()
}

fn take_out(stage: &Stage) -> Said {
    let (mut catalog, path) = (stage.open()?, shared_path(stage));
    stage.world.ledger().take_out(stage.repo(), &path);
    let look =
        |catalog: &Catalog| redact::plan(catalog, stage.repo(), std::slice::from_ref(&path), &Git::Overruled);
    let done = look(&catalog).map_err(said)?.apply(&mut catalog, &look).map_err(said)?;
    stage.world.ledger().taken_out(&done);
    Ok(())
}

/// The path is out of both versions, once.
fn is_out(stage: &Stage, moment: Moment) -> Vec<String> {
    let looked = || -> Result<Vec<(u32, bool)>, String> {
        let catalog =
            Catalog::open(memory(&stage.world.bucket), Cache::none(), Journal::none()).map_err(said)?;
        let look = |id: &BundleId| {
            let bundle = open(&catalog, *id).map_err(said)?;
            let is_there = bundle.find(&shared_path(stage)).map_err(said)?.is_some();
            Ok((bundle.root().facts.revision, is_there))
        };
        catalog.state().bundles().keys().map(look).collect()
    };
    match looked() {
        Ok(found) if found == [(1, false); 2] => vec![],
        Ok(found) if moment == Moment::Killed && found == [(0, true); 2] => vec![],
        found => vec![format!("revisions, and whether the path is there: {found:?}")],
    }
}

/// Every piece of work, but those of [`super::copies`].
pub(super) const WORKS: &[Work] = &[
    Work { name: "init", prepare: |_| Ok(()), act: |it| it.create().map(drop), ..PLAIN },
    Work {
        name: "push, small",
        prepare: filled,
        act: |it| it.push(&mut it.open()?, it.oids(NEW..NEW + 1)),
        ..PLAIN
    },
    Work {
        name: "push, large",
        prepare: with_large,
        act: |it| it.push(&mut it.open()?, it.oids(LARGE)),
        ..PLAIN
    },
    Work {
        name: "push, all known",
        prepare: filled,
        act: |it| it.push(&mut it.open()?, it.oids(KEPT)),
        ..PLAIN
    },
    Work {
        name: "push, of a machine new to the store",
        prepare: |it| filled(it).map(|()| it.forget()),
        act: |it| it.push(&mut it.open()?, it.oids(NEW..NEW + 1)),
        ..PLAIN
    },
    Work { name: "clone", prepare: |it| with_large(it).map(|()| it.forget()), act: clone, ..PLAIN },
    Work { name: "fetch", prepare: with_large, act: |it| fetch_all(it, &mut it.open()?), ..PLAIN },
    Work {
        name: "commit",
        prepare: filled,
        act: |it| it.commit(&mut it.open()?, it.oids(NEW..NEW + 1)).map(drop),
        ..PLAIN
    },
    Work {
        name: "label",
        prepare: filled,
        act: |it| {
            let mut catalog = it.open()?;
            let newest = catalog.state().bundles().iter().max_by_key(|(_, it)| it.seq).map(|(id, _)| *id);
            it.label(&mut catalog, "prod", newest.ok_or("there are versions")?)
        },
        ..PLAIN
    },
    Work { name: "promote", prepare: with_another, act: carry, ..PLAIN },
    Work {
        name: "gc plan",
        prepare: with_garbage,
        act: |it| collection::plan(&it.open()?, AT_ONCE).map(drop).map_err(said),
        ..PLAIN
    },
    Work {
        name: "gc condemn",
        prepare: with_garbage,
        act: |it| it.collect(Limits { grace: NEVER, ..AT_ONCE }),
        ..PLAIN
    },
    Work {
        name: "gc sweep",
        prepare: with_condemned,
        act: |it| it.collect(Limits { tombstones: NEVER, ..AT_ONCE }),
        ..PLAIN
    },
    Work { name: "gc forget", prepare: with_tombstones, act: |it| it.collect(AT_ONCE), ..PLAIN },
    Work { name: "gc run", prepare: with_garbage, act: |it| it.collect(AT_ONCE), ..PLAIN },
    Work {
        name: "gc blank",
        prepare: |it| filled(it).and_then(|()| take_out(it)),
        act: |it| it.collect(Limits { blank: true, ..AT_ONCE }),
        look: is_blanked,
        ..PLAIN
    },
    Work {
        name: "gc repack",
        prepare: |it| filled(it).and_then(|()| waste(it)),
        act: repack,
        look: is_repacked,
        ..PLAIN
    },
    Work {
        name: "checkpoint",
        prepare: filled,
        act: |it| it.open()?.write_checkpoint().map(drop).map_err(said),
        ..PLAIN
    },
    Work {
        name: "compact",
        prepare: with_runs,
        act: |it| it.open()?.merge_runs().map(drop).map_err(said),
        ..PLAIN
    },
    Work { name: "squash", prepare: filled, act: squash_to_one, ..PLAIN },
    Work { name: "redact", prepare: filled, act: take_out, look: is_out, ..PLAIN },
    Work { name: "repo drop", prepare: with_deleted, act: drop_repo, ..PLAIN },
    Work { name: "repair", prepare: with_damage, act: mend, mends: true, ..PLAIN },
    Work { name: "repair of versions", prepare: filled, act: move_versions, ..PLAIN },
    Work {
        name: "cache eviction",
        prepare: |it| {
            filled(it)?;
            it.push(&mut it.open()?, it.oids(CACHED))
        },
        act: evict,
        ..PLAIN
    },
];

impl Stage {
    /// The machine never saw the store.
    fn forget(&self) {
        let _ = std::fs::remove_dir_all(&self.disk);
    }

    /// What every command does that plans something: what was left open is brought to its end.
    pub(super) fn settle(&self) -> Said {
        chance::given(5, self.world.bucket.clock(), || {
            self.open()?.settle().map_err(said)?;
            match self.world.beside.has(key::STORE) {
                true => self.open_other()?.settle().map_err(said),
                false => Ok(()),
            }
        })
    }

    /// Files in which something is left open.
    pub(super) fn left_open(&self) -> usize {
        let mut files = Vec::new();
        below(&self.disk, &mut files);
        let journals = |path: &&PathBuf| {
            let is_journal = path.iter().any(|part| part == "journal");
            let begun = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            is_journal && !begun && !path.iter().any(|part| part == "packs")
        };
        files.iter().filter(journals).count()
    }
}

/// Every file below a directory.
pub(super) fn below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { below(&path, files) } else { files.push(path) }
    }
}
