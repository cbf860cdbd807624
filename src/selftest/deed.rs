//! What a machine does in one go, as the commands do it: each is one use case of `ops`, with what it acknowledges written into the
//! ledger, and what it is about to give up before it does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::failed::Failed;
use super::kind::Kind;
use super::ledger::{NEVER, exported, fetched};
use super::machine::Machine;
use super::mirror::claims;
use crate::bundle::Facts;
use crate::catalog::Catalog;
use crate::catalog::change::{Change, Drop};
use crate::chance::Seeded;
use crate::id::{BundleId, Oid, RepoId};
use crate::ops::bundle::{Draft, Planned, open};
use crate::ops::collection::{self, Limits};
use crate::ops::label::{self, Expected};
use crate::ops::mirror::{self, Compare, NotMirrored};
use crate::ops::open::probe_once;
use crate::ops::redact;
use crate::ops::repair::{Damage, move_metadata, repair};
use crate::ops::repo;
use crate::ops::squash::{self, Git, Keep, Squash};
use crate::ops::upload::{upload, upload_bundle};
use crate::ops::verify::{Depth, verify};
use crate::progress::Silent;
use crate::store::key;

/// Nothing waits.
pub(super) const AT_ONCE: Limits = Limits {
    grace: Duration::ZERO,
    orphans: Duration::ZERO,
    tombstones: Duration::ZERO,
    max_unused: None,
    blank: false,
};

/// Labels that are moved about.
const LABELS: [&str; 3] = ["prod", "v1.0", "v1.1"];

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Push,
    Commit,
    Label,
    Fetch,
    Export,
    Collect,
    Look,
    Checkpoint,
    Merge,
    Squash,
    DropFiles,
    Redact,
    Repo,
    Fsck,
    Repair,
    Sync,
    LoseStore,
}

/// Whether it was done, or why not.
pub(super) type Said = Result<(), Failed>;

impl Deed {
    pub(super) fn draw(random: &mut Seeded) -> Deed {
        match random.below(67) {
            0..16 => Deed::Push,
            16..25 => Deed::Commit,
            25..29 => Deed::Label,
            29..38 => Deed::Fetch,
            38..42 => Deed::Export,
            42..47 => Deed::Collect,
            47 => Deed::Look,
            48..50 => Deed::Checkpoint,
            50..52 => Deed::Merge,
            52..54 => Deed::Squash,
            54..56 => Deed::DropFiles,
            56..58 => Deed::Repo,
            58 => Deed::Fsck,
            59 => Deed::Repair,
            60..65 => Deed::Sync,
            65 => Deed::LoseStore,
            _ => Deed::Redact,
        }
    }

    /// Whether who does it may have opened the store to read, mirrors behind it. What is written must not come to rely on them.
    pub(super) fn may_read_mirrors(self) -> bool {
        matches!(self, Deed::Fetch | Deed::Export | Deed::Push | Deed::Commit)
    }

    /// Does it.
    pub(super) fn act(self, machine: &Machine, catalog: &mut Catalog, random: &mut Seeded) -> Said {
        match self {
            Deed::Push => push(machine, catalog, random),
            Deed::Commit => commit(machine, catalog, random),
            Deed::Label => move_label(machine, catalog, random),
            Deed::Fetch => fetch_some(machine, catalog, random),
            Deed::Export => export_one(machine, catalog, random),
            Deed::Collect => {
                let waits = if random.once_in(3) { short(random) } else { AT_ONCE };
                collection::collect(catalog, waits).map(drop).map_err(Failed::from)
            }
            Deed::Look => {
                collection::plan(catalog, short(random)).map(drop)?;
                collection::status(catalog, AT_ONCE).map(drop).map_err(Failed::from)
            }
            Deed::Checkpoint => catalog.write_checkpoint().map(drop).map_err(Failed::from),
            Deed::Merge => catalog.merge_runs().map(drop).map_err(Failed::from),
            Deed::Squash => {
                let keep = Keep { last: Some(1 + random.below(4) as usize), ..Keep::default() };
                let repo = random.one_of(&machine.world.repos[..3]);
                let planned = squash::plan(catalog, repo, &keep, &Git::Overruled)?;
                give_up(machine, catalog, &planned)
            }
            Deed::DropFiles => drop_files(machine, catalog, random),
            Deed::Redact => take_out(machine, catalog, random),
            Deed::Repo => live_on(machine, catalog, random),
            Deed::Fsck => {
                let depth = if random.once_in(2) { Depth::Data(50) } else { Depth::Promises };
                let found = verify(catalog, depth, &Silent)?;
                catalog.keep_in_mind(&found.bad_packs, &found.good_packs, &found.wrong);
                Ok(())
            }
            Deed::Repair => {
                move_metadata(catalog, &[])?;
                let mut damage = Damage::of(catalog)?;
                let (out, mirrors) = (machine.world.shelf.out(), [machine.beside()]);
                repair(catalog, &mut damage, &[], &[], &mirrors, out.path(), &Silent)
                    .map(drop)
                    .map_err(|error| Failed::from(error).within(out.path()))
            }
            Deed::Sync => copy(machine, catalog, random),
            Deed::LoseStore => lose_store(machine),
        }
    }
}

/// Waits of some requests by the clock of the store.
fn short(random: &mut Seeded) -> Limits {
    let grace = Duration::from_secs(random.below(100));
    let max_unused = random.once_in(2).then_some(10);
    let blank = random.once_in(3);
    Limits { grace, orphans: 2 * grace, tombstones: 5 * grace, max_unused, blank }
}

/// Most of what is done is done for the first repo.
fn one_repo(machine: &Machine, random: &mut Seeded) -> RepoId {
    let repos = &machine.world.repos;
    if random.once_in(3) { random.one_of(repos) } else { repos[0] }
}

pub(super) fn push(machine: &Machine, catalog: &mut Catalog, random: &mut Seeded) -> Said {
    let shelf = &machine.world.shelf;
    let (repo, oids) = (one_repo(machine, random), shelf.some(random));
    let previous = random.once_in(2).then(|| random.one_of(shelf.all()));
    let touch = if random.once_in(4) { shelf.some(random) } else { vec![] };
    let done = upload(catalog, repo, &shelf.uploads(&oids, previous), &touch, &Silent)?;
    machine.world.ledger().uploaded(repo, &done);
    match done.failed.into_iter().next() {
        Some(failed) => Err(failed.error.into()),
        None => Ok(()),
    }
}

fn newest(catalog: &Catalog, repo: RepoId) -> Option<BundleId> {
    let own = catalog.state().bundles().iter().filter(|(_, it)| it.repo == repo);
    own.max_by_key(|(id, it)| (it.seq, **id)).map(|(id, _)| *id)
}

/// Enough entries for several pages, most of which later versions share.
fn many_links() -> impl Iterator<Item = (Vec<u8>, Option<Planned>)> {
    (0..600).map(|n| (format!("links/{n}").into_bytes(), Some(Planned::Link(b"elsewhere".to_vec()))))
}

fn commit(machine: &Machine, catalog: &mut Catalog, random: &mut Seeded) -> Said {
    let shelf = &machine.world.shelf;
    let (repo, oids) = (one_repo(machine, random), shelf.some(random));
    let before = newest(catalog, repo);
    let base = before.map(|id| open(catalog, id).map(|it| it.root().clone())).transpose()?;
    let mut changes: BTreeMap<Vec<u8>, Option<Planned>> = BTreeMap::new();
    if base.is_none() && machine.world.seed.is_multiple_of(4) {
        changes.extend(many_links());
    }
    let mut files = before.map(|id| machine.world.ledger().files_of(id)).unwrap_or_default();
    if let Some(path) = files.keys().next().cloned().filter(|_| random.once_in(3)) {
        files.remove(&path);
        changes.insert(path, None);
    }
    for oid in &oids {
        let path = format!("{}/{}", random.below(5), random.below(9)).into_bytes();
        let planned = Planned::File { executable: false, oid: *oid, size: shelf.size(*oid) };
        files.insert(path.clone(), *oid);
        changes.insert(path, Some(planned));
    }
    let is_latest = random.once_in(2);
    let drafting = |_: &_| {
        let draft = Draft { is_latest, ..Draft::new(base.clone(), Facts::default(), changes.clone()) };
        machine.world.ledger().drafted(draft.id, files.clone());
        draft
    };
    // What a path had before may be named by no other: all of it is promised anew.
    let named: Vec<Oid> = oids.clone();
    let done = upload_bundle(catalog, repo, &shelf.uploads(&named, None), &drafting, &Silent)?;
    machine.world.ledger().uploaded(repo, &done);
    Ok(())
}

fn move_label(machine: &Machine, catalog: &mut Catalog, random: &mut Seeded) -> Said {
    let (repo, name) = (one_repo(machine, random), random.one_of(&LABELS));
    let all: Vec<BundleId> =
        catalog.state().bundles().iter().filter(|(_, it)| it.repo == repo).map(|(id, _)| *id).collect();
    let to = (!all.is_empty() && !random.once_in(6)).then(|| random.one_of(&all));
    let moved = match to {
        Some(to) => label::set(catalog, repo, name, to, Expected::Anything),
        None => label::delete(catalog, repo, name, Expected::Anything),
    };
    let seq = moved?.seq;
    machine.world.ledger().labelled(repo, name, seq, to);
    Ok(())
}

fn fetch_some(machine: &Machine, catalog: &mut Catalog, random: &mut Seeded) -> Said {
    let promised: Vec<(RepoId, Oid)> = machine.world.ledger().promised().into_iter().collect();
    if promised.is_empty() {
        return Ok(());
    }
    let (repo, first) = random.one_of(&promised);
    let more = promised.iter().filter(|(of, _)| *of == repo && random.once_in(4)).map(|(_, oid)| *oid);
    let mut oids: Vec<Oid> = more.chain([first]).collect();
    oids.sort();
    oids.dedup();
    told(machine, fetched(catalog, repo, &oids, &machine.world.shelf))
}

fn export_one(machine: &Machine, catalog: &mut Catalog, random: &mut Seeded) -> Said {
    catalog.refresh()?;
    let all: Vec<BundleId> = catalog.state().bundles().keys().copied().collect();
    if all.is_empty() {
        return Ok(());
    }
    let id = random.one_of(&all);
    let made = machine.world.ledger().made(id);
    told(machine, exported(catalog, id, Some(&made), &machine.world.shelf))
}

/// A file that does not come is told of, and may come another time. Other bytes must never come, nor be left of one that did not.
fn told(machine: &Machine, wrong: Vec<Failed>) -> Said {
    let must_not = |it: &&Failed| NEVER.iter().any(|words| it.words.contains(words));
    if let Some(what) = wrong.iter().find(must_not) {
        machine.world.complain(what.words.clone());
    }
    wrong.into_iter().next().map_or(Ok(()), Err)
}

/// Brings the mirror up to the store.
fn copy(machine: &Machine, catalog: &mut Catalog, random: &mut Seeded) -> Said {
    let compare = match random.below(8) {
        0 => Compare::Sizes,
        1 => Compare::Bytes,
        _ => Compare::New,
    };
    let done = mirror::sync(catalog, &machine.beside(), compare, &Silent);
    if let Err(
        error @ (NotMirrored::IsStore { .. }
        | NotMirrored::Another { .. }
        | NotMirrored::NotEmpty { .. }
        | NotMirrored::Diverged { .. }),
    ) = &done
    {
        machine.world.complain(format!("a copy by machine {}: {error}", machine.number));
    }
    let packs = catalog.state().packs();
    let taken = |name: &str| key::pack_id(name).is_some_and(|(_, id)| !packs.contains_key(&id));
    match done?.lacking.into_iter().next() {
        Some((pack, why)) if taken(&pack) => {
            machine.world.complain(format!("{pack} was collected, and a copy tells of it as lost: {why}"));
            Ok(())
        }
        Some((pack, why)) => Err(Failed::ours(format!("{pack} was not copied: {why}"))),
        None => Ok(()),
    }
}

/// What if the store were lost now? Its mirror becomes a store, at another place, so that this one goes on.
fn lose_store(machine: &Machine) -> Said {
    let twin = Arc::new(machine.world.beside.twin());
    if !twin.has(key::MIRROR) {
        return Ok(());
    }
    let done = mirror::promote(&machine.place(&twin));
    if !twin.has(key::MIRROR) && !twin.has(key::STORE) {
        machine.world.complain("what was to become a store is neither that nor a mirror".to_owned());
    }
    claims(&twin).into_iter().for_each(|what| machine.world.complain(what));
    done?;
    machine.world.hit(Kind::MirrorLost);
    Ok(())
}

/// Drops what a squash planned.
fn give_up(machine: &Machine, catalog: &mut Catalog, planned: &Squash) -> Said {
    {
        let mut ledger = machine.world.ledger();
        ledger.drop_versions(planned.gone());
        ledger.drop_files(planned.planned_on, planned.files.keys().map(|oid| (planned.repo, *oid)));
    }
    planned.apply(catalog).map_err(Failed::from)
}

fn drop_files(machine: &Machine, catalog: &mut Catalog, random: &mut Seeded) -> Said {
    let (repo, oids) = (one_repo(machine, random), machine.world.shelf.some(random));
    let planned_on = catalog.head().seq();
    let keys: Vec<(Oid, RepoId)> = oids.iter().map(|oid| (*oid, repo)).collect();
    machine.world.ledger().drop_files(planned_on, oids.iter().map(|oid| (repo, *oid)));
    probe_once(catalog)?;
    let record = catalog.record(planned_on, Change::Drop(Drop { planned_on, keys, bundles: vec![] }));
    catalog.commit(&record).map(drop).map_err(Failed::from)
}

/// Takes a path out of every version of a repo.
fn take_out(machine: &Machine, catalog: &mut Catalog, random: &mut Seeded) -> Said {
    let repo = random.one_of(&machine.world.repos[..3]);
    let path = format!("{}/{}", random.below(5), random.below(9)).into_bytes();
    let look = |catalog: &Catalog| redact::plan(catalog, repo, std::slice::from_ref(&path), &Git::Overruled);
    let planned = look(catalog)?;
    machine.world.ledger().take_out(repo, &path);
    match planned.apply(catalog, &look) {
        Ok(done) => machine.world.ledger().taken_out(&done),
        Err(error) => {
            machine.world.ledger().perhaps_out(repo, &path, catalog.head().seq());
            return Err(error.into());
        }
    }
    Ok(())
}

/// A repo is made, renamed, deleted, brought back, or given up.
fn live_on(machine: &Machine, catalog: &mut Catalog, random: &mut Seeded) -> Said {
    let id = machine.world.repos[1 + random.below(2) as usize];
    let name = format!("name-{}", random.below(3));
    let known = catalog.state().repos().get(&id).map(|it| it.deleted);
    let done = match (known, random.below(3)) {
        (None, _) => repo::create(catalog, id, &name),
        (Some(false), 0) => repo::delete(catalog, id),
        (Some(false), _) => repo::rename(catalog, id, &name),
        (Some(true), 0) => {
            let planned = squash::plan_deleted(catalog, id)?;
            return give_up(machine, catalog, &planned);
        }
        (Some(true), _) => repo::undelete(catalog, id),
    };
    done.map_err(Failed::from)
}
