//! Pushes of made-up data by the real code: look-ups, hooks, publishing, checkpoints, merges, the log. Only what turns files into packs
//! is left out, so what an ingest asks for is asked for here in its place, in the order in which it does.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use datamon::bundle::Facts;
use datamon::cache::Cache;
use datamon::catalog::{Catalog, Journal};
use datamon::id::{BundleId, ChunkId, GitId, Oid, PackId, RepoId};
use datamon::ops::bundle::{Draft, Planned, open};
use datamon::ops::collection::{Collected, Limits, collect};
use datamon::ops::ingest::{ChunkIndex, Known, Taken};
use datamon::ops::known::Neighbours;
use datamon::ops::publish::{Versions, publish};
use datamon::ops::repo;
use datamon::ops::squash::{self, Git, Keep};
use datamon::pack::format::FRAME_HEADER;
use datamon::pack::{PackInfo, Term};
use datamon::store::{Store, StoreUrl};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use super::bucket::{Bucket, CHUNK, Kind, Tally, chunk, footer, offset};

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const REPO: RepoId = RepoId::from_bytes([9; 16]);
/// Chunks of a full data pack.
pub const PACK_CHUNKS: u32 = 2048;
/// Chunks of a window, and of a push that are looked up in hooks: they settle what is read of the table, the rest only takes time.
const WINDOW: usize = 512;
const LOOKED_UP: usize = 1 << 14;
/// Chunks pushed after which a machine's cache is trimmed, some 0.5 GiB of footers, and pushes.
const TRIM_CHUNKS: u64 = 16 << 20;
const TRIM_PUSHES: u64 = 500;

/// What is pushed.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Pushes, each with a version of the dataset.
    pub pushes: u64,
    /// Chunks of each, all of them new.
    pub chunks: u32,
    /// Files of each, new versions of files of the dataset.
    pub files: u32,
    /// Files of the dataset.
    pub paths: u64,
    /// Machines that push in turn.
    pub machines: usize,
}

/// What something cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    pub times: u64,
    pub tally: Tally,
    pub cpu: Duration,
}

impl Spent {
    fn add(&mut self, tally: Tally, cpu: Duration) {
        self.times += 1;
        self.tally += tally;
        self.cpu += cpu;
    }
}

/// A store that grows.
pub struct World {
    pub shape: Shape,
    pub bucket: Arc<Bucket>,
    machines: Vec<Catalog>,
    caches: TempDir,
    bundle: Option<BundleId>,
    pub pushed: u64,
    pub push: Spent,
    pub checkpoint: Spent,
    pub merge: Spent,
    /// The most requests that one merge made, and the most bytes it wrote.
    pub largest_merge: (u64, u64),
    /// Whether the pages of all versions are kept, as a collection reads them.
    keeps: bool,
}

impl World {
    pub fn new(shape: Shape) -> Result<World> {
        let bucket = Arc::new(Bucket::default());
        let caches = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let mut world = World {
            shape,
            bucket,
            machines: vec![],
            caches,
            bundle: None,
            pushed: 0,
            push: Spent::default(),
            checkpoint: Spent::default(),
            merge: Spent::default(),
            largest_merge: (0, 0),
            keeps: false,
        };
        for n in 0..shape.machines {
            let cache = Cache::at(world.caches.path().join(n.to_string()));
            let mut catalog = Catalog::create(world.store()?, cache, Journal::none())?;
            repo::create(&mut catalog, REPO, "scale").map_err(|e| e.to_string())?;
            world.machines.push(catalog);
        }
        Ok(world)
    }

    /// The same, and the pages of all versions are kept.
    pub fn of_versions(shape: Shape) -> Result<World> {
        Ok(World { keeps: true, ..World::new(shape)? })
    }

    pub fn store(&self) -> Result<Store> {
        Ok(Store::over(StoreUrl::parse("memory:scale")?, self.bucket.clone()))
    }

    /// How many machines push.
    pub fn machines(&self) -> u64 {
        self.machines.len() as u64
    }

    /// The machine that pushed last.
    pub fn catalog(&self) -> &Catalog {
        &self.machines[(self.pushed.max(1) - 1) as usize % self.machines.len()]
    }

    /// One more push and what falls to it then.
    pub fn push(&mut self) -> Result<()> {
        let mut spent = self.push;
        self.measured(&mut spent, World::push_only)?;
        self.push = spent;
        let at = self.pushed as usize % self.machines.len();
        if self.machines[at].checkpoint_due() {
            let mut spent = self.checkpoint;
            self.measured(&mut spent, |world| Ok(world.machines[at].write_checkpoint()?))?;
            self.checkpoint = spent;
            if !self.keeps {
                let live = live(&self.machines[at], self.bundle)?;
                self.bucket.forget(&live);
            }
        }
        let mut spent = self.merge;
        let before = spent.tally.all();
        if !self.measured(&mut spent, |world| Ok(world.machines[at].merge_runs()?))? {
            spent.times -= 1;
        }
        let cost = spent.tally.all() - before;
        self.largest_merge =
            (self.largest_merge.0.max(cost.get + cost.put), self.largest_merge.1.max(cost.written));
        self.merge = spent;
        let every = TRIM_PUSHES.min(TRIM_CHUNKS / u64::from(self.shape.chunks)).max(1);
        if self.pushed % every == every - 1 {
            self.machines[at].cache().trim();
        }
        self.pushed += 1;
        Ok(())
    }

    fn measured<T>(&mut self, spent: &mut Spent, work: impl FnOnce(&mut World) -> Result<T>) -> Result<T> {
        let (before, began) = (self.bucket.tally(), cpu());
        let done = work(self)?;
        spent.add(self.bucket.tally() - before, cpu() - began);
        Ok(done)
    }

    fn push_only(&mut self) -> Result<()> {
        let (shape, bucket) = (self.shape, self.bucket.clone());
        let at = self.pushed as usize % self.machines.len();
        let first = self.pushed * u64::from(shape.files);
        let numbers = || first..first + u64::from(shape.files);
        let catalog = &mut self.machines[at];
        catalog.refresh()?;
        let base = catalog.head().seq();
        // What git-lfs hands over, and the versions before at the same paths.
        let previous: Vec<Oid> = numbers().filter_map(|n| Some(oid(n.checked_sub(shape.paths)?))).collect();
        let wanted: Vec<Oid> = numbers().map(oid).chain(previous.iter().copied()).collect();
        let rows = catalog.find(REPO, &wanted)?;
        assert_eq!(rows.len(), previous.len(), "each version before is found, and nothing else");
        let near: BTreeSet<PackId> = rows.values().flat_map(|row| row.packs()).collect();

        let ids: Vec<PackId> = (0..shape.chunks.div_ceil(PACK_CHUNKS)).map(|_| PackId::new()).collect();
        look_up(catalog, &shape, &ids, &near.into_iter().collect::<Vec<_>>());
        let packs: Vec<(PackId, PackInfo)> = (0..)
            .zip(&ids)
            .map(|(n, pack)| {
                let chunks = PACK_CHUNKS.min(shape.chunks - n * PACK_CHUNKS);
                catalog.keep_footer(*pack, &footer(*pack, chunks));
                (*pack, bucket.put_data(*pack, chunks))
            })
            .collect();
        let files = taken(&shape, first, &ids);
        let draft = draft(catalog, self.bundle, &shape, first, &files)?;
        let versions = Versions { draft: Some(&draft), alone: false, latest: None };
        publish(catalog, base, REPO, vec![], &files, &packs, versions)?;
        self.bundle = Some(draft.id);
        Ok(())
    }

    /// Meta packs that something live names.
    pub fn live(&self) -> Result<BTreeSet<PackId>> {
        live(self.catalog(), self.bundle)
    }

    /// All versions but the last are given up, and a machine that knows nothing collects: what it did, and what that cost.
    pub fn collect(&mut self) -> Result<(Collected, Spent)> {
        let mut catalog = Catalog::open(self.store()?, Cache::none(), Journal::none())?;
        let keep = Keep { last: Some(1), ..Keep::default() };
        squash::plan(&catalog, REPO, &keep, &Git::Overruled)?.apply(&mut catalog)?;
        let none = Duration::ZERO;
        let limits = Limits { grace: none, orphans: none, tombstones: none, ..Limits::default() };
        let mut spent = Spent::default();
        let done = self.measured(&mut spent, |_| Ok(collect(&mut catalog, limits)?))?;
        Ok((done, spent))
    }

    /// What a machine costs that knows nothing: to open the store, to find a file of a long time ago, to read what a push that looks
    /// far reads of the hooks.
    pub fn cold(&mut self) -> Result<Cold> {
        let mut cold = Cold::default();
        self.bucket.forget(&self.live()?);
        let store = self.store()?;
        let mut catalog = None;
        self.measured(&mut cold.open, |_| {
            catalog = Some(Catalog::open(store, Cache::none(), Journal::none())?);
            Ok(())
        })?;
        let catalog = catalog.expect("it opened");
        self.measured(&mut cold.find, |_| {
            assert_eq!(catalog.find(REPO, &[oid(1)])?.len(), 1);
            Ok(())
        })?;
        let (mut table, mut head) = (0, 0);
        self.measured(&mut cold.hooks, |_| {
            let sample = catalog.hook_sample();
            (table, head) = (sample.rows(), catalog.hooks(1 << 20).len());
            cold.one_in = sample.one_in(1 << 20);
            Ok(())
        })?;
        (cold.hook_rows, cold.hook_head) = (table, head as u64);
        Ok(cold)
    }
}

/// See [`World::cold`].
#[derive(Debug, Default)]
pub struct Cold {
    pub open: Spent,
    pub find: Spent,
    pub hooks: Spent,
    /// Rows of the table, and of those that were read.
    pub hook_rows: u64,
    pub hook_head: u64,
    /// Of how many chunks one is among those.
    pub one_in: u64,
}

fn live(catalog: &Catalog, bundle: Option<BundleId>) -> Result<BTreeSet<PackId>> {
    let state = catalog.state();
    let mut live: BTreeSet<PackId> = state.segments().values().map(|it| it.at.fence.pack).collect();
    if let Some((_, newest)) = state.checkpoint() {
        let parent = newest.parent.iter().flat_map(|parent| parent.blobs.values());
        live.extend(newest.blobs.values().chain(parent).map(|blob| blob.at.pack));
    }
    if let Some(bundle) = bundle {
        let open = open(catalog, bundle).map_err(|e| e.to_string())?;
        live.insert(state.bundles()[&bundle].root.pack);
        live.extend(open.root().pages.iter().map(|page| page.blob.pack));
    }
    Ok(live)
}

/// What an ingest asks for before it stores its chunks: footers of what is near, then hooks.
fn look_up(catalog: &Catalog, shape: &Shape, ids: &[PackId], near: &[PackId]) {
    let bytes = u64::from(shape.chunks) * CHUNK;
    let (mut known, mut index) = (Neighbours::new(catalog, bytes), ChunkIndex::default());
    for (pack, footer) in known.footers(near) {
        index.learn(pack, &footer);
    }
    let count = LOOKED_UP.min(shape.chunks as usize);
    let chunks: Vec<(ChunkId, u32)> = (0..count as u32)
        .map(|n| (chunk(ids[(n / PACK_CHUNKS) as usize], n % PACK_CHUNKS), CHUNK as u32))
        .collect();
    chunks.chunks(WINDOW).for_each(|window| known.look_up(window, &mut index));
}

/// The files of a push, one behind the other in its packs.
fn taken(shape: &Shape, first: u64, packs: &[PackId]) -> Vec<Taken> {
    let of = |n: u32| {
        let [mut from, to] =
            [n, n + 1].map(|n| (u64::from(n) * u64::from(shape.chunks) / u64::from(shape.files)) as u32);
        let size = u64::from(to - from) * CHUNK;
        let mut terms = Vec::new();
        while from < to {
            let (pack, at) = (packs[(from / PACK_CHUNKS) as usize], from % PACK_CHUNKS);
            let count = (to - from).min(PACK_CHUNKS - at);
            let (begin, end) = (offset(at), offset(at + count - 1) + 16 * CHUNK + FRAME_HEADER as u64);
            let skip = at % 16 * CHUNK as u32;
            let raw = u64::from(count) * CHUNK;
            terms.push(Term { pack, offset: begin, stored: end - begin, skip, raw, repeat: 1 });
            from += count;
        }
        Taken { source: n as usize, oid: oid(first + u64::from(n)), size, terms }
    };
    (0..shape.files).map(of).collect()
}

/// The version that a push makes.
fn draft(
    catalog: &Catalog,
    base: Option<BundleId>,
    shape: &Shape,
    first: u64,
    files: &[Taken],
) -> Result<Draft> {
    let base = match base {
        Some(id) => Some(open(catalog, id).map_err(|e| e.to_string())?.root().clone()),
        None => None,
    };
    let changes: BTreeMap<Vec<u8>, Option<Planned>> = (first..)
        .zip(files)
        .map(|(n, file)| {
            let n = n % shape.paths;
            let path = format!("part-{:03}/set-{:04}/file-{n:07}.bin", n / 20_000, n / 100).into_bytes();
            (path, Some(Planned::File { executable: false, oid: file.oid, size: file.size }))
        })
        .collect();
    let id = |salt: u8| {
        GitId::from_slice(&blake3::hash(&[&first.to_le_bytes()[..], &[salt]].concat()).as_bytes()[..20])
    };
    let parents = base.iter().map(|root| root.id).collect();
    let facts = Facts { parents, commit: id(1), tree: id(2), ..Facts::default() };
    Ok(Draft { is_latest: true, ..Draft::new(base, facts, changes) })
}

/// File number `n` of all that were ever pushed.
fn oid(n: u64) -> Oid {
    Oid::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

/// Processor time of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The most memory that this process has had, bytes.
pub fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("this system does not say")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? << 10)
}

impl World {
    /// Bytes of the store that must be in a class that answers at once: meta packs that something live names, and the log.
    pub fn hot(&self) -> Result<(u64, u64, u64)> {
        let live = self.bucket.size_of(&self.live()?);
        Ok((live, self.bucket.stored(Kind::Meta).1, self.bucket.stored(Kind::Log).1))
    }
}
