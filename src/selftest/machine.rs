//! A machine: its own cache and journal, its own clock, and one command after the other.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use super::bucket::Bucket;
use super::deed::{Deed, Said, push};
use super::failed::{Failed, fault_of};
use super::kind::Kind;
use super::weather::{Mood, Way, Weather, harm};
use super::work::below;
use super::world::World;
use crate::cache::Cache;
use crate::catalog::{Catalog, CatalogError, Journal};
use crate::chance::{self, Seeded};
use crate::store::{Failure, Store, key};

/// Ten years, milliseconds.
const DECADE: u64 = 10 * 365 * 24 * 3600 * 1000;

/// A machine of a simulation. Two may share their disk: they are two processes then.
#[derive(Debug)]
pub(super) struct Machine {
    pub world: Arc<World>,
    pub number: usize,
    weather: Arc<Weather>,
    disk: PathBuf,
}

impl Machine {
    pub(super) fn new(world: Arc<World>, number: usize, disk: PathBuf) -> Machine {
        Machine { weather: Weather::new(world.clone(), number), world, number, disk }
    }

    fn kept(&self) -> (Cache, Journal) {
        let disk = self.weather.disk();
        let cache = Cache::at(self.disk.join("cache")).on(disk.clone());
        (cache, Journal::at(self.disk.join("journal")).on(disk))
    }

    /// What lies beside the store, as this machine sees it.
    pub(super) fn beside(&self) -> Store {
        self.weather.beside()
    }

    /// A place that only this machine sees.
    pub(super) fn place(&self, bucket: &Arc<Bucket>) -> Store {
        self.weather.store_in(bucket, "own/")
    }

    /// The store for who reads: what it does not give its mirror is asked for.
    fn open_to_read(&self) -> Result<Catalog, CatalogError> {
        let (cache, journal) = self.kept();
        Catalog::open(self.weather.store().with_copies(vec![self.beside()]), cache, journal)
    }

    /// The store, made where there is none.
    fn open(&self) -> Result<Catalog, CatalogError> {
        let (cache, journal) = self.kept();
        match Catalog::open(self.weather.store(), cache, journal) {
            Err(CatalogError::NotAStore { .. } | CatalogError::Lost { seq: 0, .. }) => {
                let (cache, journal) = self.kept();
                Catalog::create(self.weather.store(), cache, journal)
            }
            opened => opened,
        }
    }

    /// All that this machine does, a command at a time.
    pub(super) fn live(&self, deeds: u64) {
        let turns = &self.world.turns;
        turns.begin(self.number);
        let mut session = None;
        for deed in 1..=deeds {
            let mut random = self.random(deed);
            self.strike(&mut random);
            session = self.run(deed, session, &mut random);
            self.world.count();
        }
        turns.end(self.number, self.random(0).draw());
    }

    fn random(&self, deed: u64) -> Seeded {
        let mut random = Seeded::new(self.world.seed);
        let first = random.draw().wrapping_mul(1 + self.number as u64);
        Seeded::new(first.wrapping_add(deed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// What befalls a machine or a store between two commands.
    fn strike(&self, random: &mut Seeded) {
        let world = &self.world;
        match random.below(60) {
            // In an empty store it would be in the way of `init`.
            0 if world.bucket.has(&key::log(0)) => {
                let folder = random.one_of(&["data/", "data/7f/", "meta/", "log/", "", "loglists/"]);
                let key = format!("{folder}notes-{}", random.below(100));
                let is_mirror = world.beside.has(key::MIRROR) && random.once_in(3);
                let bucket = if is_mirror { &world.beside } else { &world.bucket };
                bucket.plant(&key, b"somebody else's".as_slice().into());
                world.hit(Kind::Foreign);
            }
            1 if fs::remove_dir_all(self.disk.join("cache")).is_ok() => world.hit(Kind::CacheLost),
            2..4 => {
                let mut files = Vec::new();
                below(&self.disk.join("cache"), &mut files);
                files.sort();
                if !files.is_empty() {
                    harm(&files[random.below(files.len() as u64) as usize], random);
                    world.hit(Kind::TornCache);
                }
            }
            4 => {
                let by = i64::try_from(random.below(2 * DECADE)).unwrap_or(0) - DECADE as i64;
                world.bucket.jump(by);
                world.hit(Kind::StoreClock);
            }
            _ => {}
        }
    }

    /// What the next command meets.
    fn mood(random: &mut Seeded) -> Mood {
        match random.below(20) {
            0..10 => Mood::Fair,
            10..15 => Mood::Showers(4 + random.below(30)),
            15 => {
                let failure = random.one_of(&[Failure::Credentials, Failure::Full, Failure::Unreachable]);
                Mood::Refusing(1 + random.below(40), failure)
            }
            16 if random.once_in(3) => Mood::Erasing,
            _ => {
                let way = random.one_of(&[Way::Before, Way::After, Way::Later, Way::Torn]);
                Mood::Cut(1 + random.below(150), way)
            }
        }
    }

    /// One command, by this process or by a new one. Gives the process if it goes on.
    fn run(&self, deed: u64, session: Option<Catalog>, random: &mut Seeded) -> Option<Catalog> {
        let (what, mut mood) = (Deed::draw(random), Machine::mood(random));
        let mirrored = what.may_read_mirrors() && random.once_in(3);
        if mirrored && random.once_in(2) {
            mood = Mood::Refusing(1 + random.below(20), Failure::Unreachable);
        }
        self.weather.begin(deed, mood, what == Deed::Collect);
        let mut clock = self.world.bucket.clock();
        if random.once_in(4) {
            clock = clock.saturating_add(random.below(2 * DECADE)).saturating_sub(DECADE);
            self.world.hit(Kind::MachineClock);
        }
        let goes_on = random.once_in(3);
        let done = chance::given(random.draw(), clock, || {
            catch_unwind(AssertUnwindSafe(|| match mood {
                Mood::Erasing => (self.over_a_liar(random), None),
                _ => self.act(what, mirrored, session, random),
            }))
        });
        let (said, catalog) = done.unwrap_or_else(|panic| {
            self.world.complain(format!(
                "machine {}, command {deed}, {what:?}: panic: {}",
                self.number,
                words(&*panic)
            ));
            (Ok(()), None)
        });
        self.world.note(self.number, deed, &format!("{what:?}, {mood:?}: {said:?}"));
        if let Err(failed) = &said {
            self.judge(deed, what, mood, failed);
        }
        catalog.filter(|_| goes_on && said.is_ok() && !self.weather.is_dead())
    }

    fn act(
        &self,
        what: Deed,
        mirrored: bool,
        session: Option<Catalog>,
        random: &mut Seeded,
    ) -> (Said, Option<Catalog>) {
        let same = session.filter(|it| it.store().copies().next().is_some() == mirrored);
        let opened = match (same, mirrored) {
            (Some(catalog), _) => Ok(catalog),
            (None, true) => self.open_to_read(),
            (None, false) => self.open(),
        };
        match opened {
            Ok(mut catalog) => {
                let said = what.act(self, &mut catalog, random);
                if said.is_ok() && catalog.store().silence().is_some() {
                    self.world.hit(Kind::Silent);
                }
                (said, Some(catalog))
            }
            Err(error) => (Err(error.into()), None),
        }
    }

    /// R17: a machine that sees the store for the first time, on a way that ignores create-only, has to find that out before it
    /// writes.
    fn over_a_liar(&self, random: &mut Seeded) -> Said {
        let mut catalog = match Catalog::open(self.weather.store(), Cache::none(), Journal::none()) {
            Ok(catalog) => catalog,
            // There is no store yet: to make one there is refused too.
            Err(CatalogError::NotAStore { .. }) => {
                let made = Catalog::create(self.weather.store(), Cache::none(), Journal::none());
                return Ok(made.map(drop)?);
            }
            Err(error) => return Err(error.into()),
        };
        push(self, &mut catalog, random)
    }

    /// An error is one line that says something, of a kind that the command line has.
    fn judge(&self, deed: u64, what: Deed, mood: Mood, failed: &Failed) {
        let is_shut = matches!(mood, Mood::Refusing(_, Failure::Full | Failure::Denied));
        if let Some(fault) = fault_of(failed, is_shut || self.weather.disk_failed()) {
            let Failed { words, kind } = failed;
            let number = self.number;
            let context = format!("machine {number}, command {deed}, {what:?}, {mood:?}");
            self.world.complain(format!("{context}: {fault}: {words:?}, {kind:?}"));
        }
    }

    /// In the end, when nothing fails any more: what was begun is brought to its end.
    pub(super) fn recover(&self) -> Result<(), String> {
        self.weather.begin(u64::MAX, Mood::Fair, false);
        let mut random = self.random(u64::MAX);
        let clock = self.world.bucket.clock();
        chance::given(random.draw(), clock, || {
            let mut catalog = self.open().map_err(|error| error.to_string())?;
            push_all(self, &mut catalog)?;
            // What did not come to this machine comes now, whatever that left here.
            let mut wrong = vec![];
            self.world.ledger().check_files(&mut catalog, &self.world.shelf, &mut wrong);
            if let Some(what) = wrong.into_iter().next() {
                return Err(what);
            }
            match self.journals() {
                0 => Ok(()),
                left => Err(format!("{left} journals are left on machine {}", self.number)),
            }
        })
    }

    fn journals(&self) -> usize {
        let mut files = Vec::new();
        below(&self.disk.join("journal"), &mut files);
        files.retain(|path| !path.parent().is_some_and(|folder| folder.ends_with("packs")));
        // What a process that was killed had begun to write.
        files.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
        files.len()
    }
}

fn push_all(machine: &Machine, catalog: &mut Catalog) -> Said {
    let shelf = &machine.world.shelf;
    let repo = machine.world.repos[0];
    let uploads = shelf.uploads(shelf.all(), None);
    let done = crate::ops::upload::upload(catalog, repo, &uploads, &[], &crate::progress::Silent)?;
    machine.world.ledger().uploaded(repo, &done);
    Ok(())
}

/// What a panic says.
pub(super) fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
