//! L5 · The simulator: several machines, one store, and everything that can go wrong between them, decided by a seed.
//!
//! Machines do what people do, through `ops`: push, commit, label, fetch, collect, squash, drop, repair, copy to a mirror. Each has its own cache,
//! journal and clock, and runs on a thread of its own; but only one goes on at a time, up to its next *seam*: a request to the store or
//! a step with a local file. At each seam the seed decides who goes on, and what fails. So a run follows from its seed alone, and one
//! that fails is had again by its number.
//!
//! What is acknowledged is written into a ledger. When the faults end, every machine goes on with what it left; then all that the
//! ledger has and nobody gave up has to come out of the store bit for bit, a collection has to leave nothing but what the log
//! knows, `fsck` has to find nothing, and the mirror alone has to give all of it too. No seed may hang (seams are counted, not seconds),
//! panic, or fail in a way of which the command line has no kind.

mod bucket;
mod copies;
mod crash;
mod deed;
mod failed;
mod kind;
mod ledger;
mod machine;
mod mirror;
mod shelf;
mod turns;
mod weather;
mod work;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;

use bytes::Bytes;
use rayon::{ThreadPool, ThreadPoolBuilder};

use self::bucket::Bucket;
use self::deed::AT_ONCE;
use self::machine::{Machine, words};
use self::shelf::{Shelf, scratch};
use self::turns::Turns;
use self::world::World;
use crate::cache::Cache;
use crate::catalog::{Catalog, Journal};
use crate::chance::{self, Seeded};
use crate::id::Oid;
use crate::ops::collection::collect;
use crate::ops::verify::{Depth, verify};
use crate::progress::Silent;
use crate::store::{Store, StoreUrl, key};

pub use self::crash::{Crashes, crash_everywhere};
pub use self::kind::{Hits, Kind};

/// Machines of a simulation, at most.
const MACHINES: usize = 8;
/// Commands of all machines of a simulation, at least.
const DEEDS: u64 = 200;
/// Files that they push.
const FILES: usize = 24;
/// Collections after which nothing may be left to collect.
const COLLECTIONS: usize = 4;

/// What came of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Commands that were run.
    pub deeds: u64,
    /// How often each class of faults hit.
    pub hits: Hits,
    /// What happened that must not: nothing, if all is well.
    pub wrong: Vec<String>,
    /// Every seam that was crossed, in order: the same for the same seed.
    pub trace: Vec<String>,
    /// Every object of the store in the end.
    pub objects: BTreeMap<String, Bytes>,
    /// Files that the store has promised.
    pub promised: BTreeSet<Oid>,
}

/// Threads that play the machines, each alone with itself: so a command has no thread whose speed decides anything.
#[derive(Debug)]
pub struct Cast(Vec<ThreadPool>);

impl Cast {
    /// Starts the threads.
    pub fn new() -> io::Result<Cast> {
        Cast::of(MACHINES)
    }

    fn of(machines: usize) -> io::Result<Cast> {
        let alone = |_| ThreadPoolBuilder::new().num_threads(1).build().map_err(io::Error::other);
        Ok(Cast((0..machines).map(alone).collect::<io::Result<_>>()?))
    }

    /// What one thread does, which is all there is.
    fn alone<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        self.0[0].install(body)
    }

    /// Plays a seed.
    pub fn play(&self, seed: u64) -> io::Result<Outcome> {
        let mut random = Seeded::new(seed);
        let count = 2 + random.below(MACHINES as u64 - 1) as usize;
        let (shelf, root) = (Shelf::filled(random.draw(), FILES)?, scratch()?);
        let turns = Turns::new(count, random.draw());
        let world = Arc::new(World::new(seed, Bucket::default(), turns, Arc::new(shelf)));
        let mut disk = 0;
        let machines: Vec<Arc<Machine>> = (0..count)
            .map(|number| {
                // Some are two processes of one machine.
                disk = if random.once_in(4) { disk } else { number };
                Arc::new(Machine::new(world.clone(), number, root.path().join(disk.to_string())))
            })
            .collect();
        self.live(&world, &machines);
        self.alone(|| chance::given(seed, world.bucket.clock(), || end(&world, &machines)));
        let promised = world.ledger().promised().into_iter().map(|(_, oid)| oid).collect();
        Ok(Outcome {
            seed,
            deeds: world.deeds(),
            hits: world.hits(),
            wrong: world.wrong(),
            trace: world.trace(),
            objects: world.objects(),
            promised,
        })
    }

    fn live(&self, world: &Arc<World>, machines: &[Arc<Machine>]) {
        let deeds = DEEDS.div_ceil(machines.len() as u64);
        let (alive, ended) = mpsc::channel::<()>();
        for (thread, machine) in self.0.iter().zip(machines) {
            let (machine, world, alive) = (machine.clone(), world.clone(), alive.clone());
            thread.spawn(move || {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| machine.live(deeds))) {
                    world.complain(format!("machine {}: panic: {}", machine.number, words(&*panic)));
                    world.turns.end(machine.number, 0);
                }
                drop(alive);
            });
        }
        drop(alive);
        // Nobody says anything: they only end.
        while ended.recv().is_ok() {}
    }
}

/// The store as one sees it for whom nothing fails.
fn memory(bucket: &Arc<Bucket>) -> Store {
    let url = StoreUrl::parse("memory:selftest").expect("a URL");
    Store::over(url, bucket.clone()).without_waits()
}

/// The faults end: everybody goes on with what was left, and what was promised is looked for.
fn end(world: &World, machines: &[Arc<Machine>]) {
    world.calm_down();
    for machine in machines {
        if let Err(why) = machine.recover() {
            world.complain(format!("machine {} cannot go on: {why}", machine.number));
        }
    }
    let store = memory(&world.bucket);
    let look = |when: &str| {
        let wrong = world.ledger().complaints(&store, &world.shelf);
        wrong.into_iter().for_each(|what| world.complain(format!("{when}: {what}")));
    };
    look("in the end");
    if let Err(why) = clean(world, &store) {
        world.complain(why);
    }
    look("after the last collection");
    mirror::converge(world).into_iter().for_each(|what| world.complain(what));
    world.bucket.wrong().into_iter().for_each(|what| world.complain(what));
}

/// What is left after collections is what the log knows, and `fsck` is content with it.
fn clean(world: &World, store: &Store) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| format!("in the end: {error}");
    let mut catalog =
        Catalog::open(store.clone(), Cache::none(), Journal::none()).map_err(|error| said(&error))?;
    for _ in 0..COLLECTIONS {
        collect(&mut catalog, AT_ONCE).map_err(|error| said(&error))?;
    }
    let table = catalog.state().packs();
    let objects = world.objects();
    let packs: BTreeSet<_> = objects.keys().filter_map(|key| Some(key::pack_id(key)?.1)).collect();
    if let Some(pack) = table.keys().find(|pack| !packs.contains(pack)) {
        world.complain(format!("the log knows pack {pack}, which is not there"));
    }
    if let Some(pack) = packs.iter().find(|pack| !table.contains_key(pack)) {
        world.complain(format!("pack {pack} is garbage that no collection takes"));
    }
    let found = verify(&catalog, Depth::Files, &Silent).map_err(|error| said(&error))?;
    found.problems.into_iter().for_each(|it| world.complain(format!("fsck: {}", it.what)));
    Ok(())
}

/// Plays `count` seeds from `first` on, on all cores; `told` hears of each.
pub fn play(first: u64, count: u64, told: &(dyn Fn(Outcome) + Sync)) -> io::Result<()> {
    let next = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let cast = Cast::new()?;
        loop {
            match next.fetch_add(1, SeqCst) {
                nth if nth < count => told(cast.play(first.wrapping_add(nth))?),
                _ => return Ok(()),
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|it| it.join().expect("what panics is caught"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(machines: usize) -> (Arc<World>, Machine, tempfile::TempDir) {
        let shelf = Arc::new(Shelf::filled(1, 6).expect("a temporary directory"));
        let world = Arc::new(World::new(1, Bucket::default(), Turns::new(machines, 0), shelf));
        world.calm_down();
        let disk = scratch().expect("a temporary directory");
        (world.clone(), Machine::new(world, 0, disk.path().to_owned()), disk)
    }

    fn complaints(world: &World) -> Vec<String> {
        world.ledger().complaints(&memory(&world.bucket), &world.shelf)
    }

    #[test]
    fn what_is_lost_or_damaged_is_noticed() {
        for key in [key::DATA, key::META, "log/0000000000000001"] {
            let (world, machine, _disk) = world(1);
            machine.recover().expect("nothing fails");
            assert_eq!(complaints(&world), [""; 0]);
            let hit = |it: &&String| it.starts_with(key);
            let Some(object) = world.objects().into_keys().find(|it| hit(&it)) else { continue };
            world.bucket.flip(&object);
            assert!(!complaints(&world).is_empty(), "{object}");
        }
    }

    #[test]
    fn a_store_that_is_written_over_or_forgets_is_noticed() {
        use crate::store::Backend;
        let (world, machine, _disk) = world(1);
        machine.recover().expect("nothing fails");
        assert_eq!(world.bucket.wrong(), [""; 0]);
        world.bucket.overwrite(key::STORE, b"other".as_slice().into()).expect("in memory");
        world.bucket.delete(&key::log(0)).expect("in memory");
        world.bucket.plant("notes", b"mine".as_slice().into());
        world.bucket.flip("notes");
        assert_eq!(world.bucket.wrong().len(), 3, "{:?}", world.bucket.wrong());
    }
}
