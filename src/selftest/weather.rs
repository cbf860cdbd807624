//! The weather of one machine: what happens at each seam it crosses, decided by the seed.
//!
//! A seam is a request to the store or a step with a local file. What happens at one follows from the seed, the machine, the command it
//! runs and the seam itself (what is asked of which object, and for which time), so it does not matter that a command may have
//! several threads.
//!
//! Files that are fetched are written while others of the same command are still asked for, on other threads: which step comes first,
//! no seed decides. So such a step fails by itself alone, and is in no order: nobody else goes on there, it is not counted or noted, and no
//! process is killed at it. What a killed process still writes there is seen by nobody.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::bucket::Bucket;
use super::kind::Kind;
use super::world::World;
use crate::chance::Seeded;
use crate::disk::{self, Disk, When};
use crate::store::fail::{Failing, Fault, Plan, Request, Verb};
use crate::store::key::HEAD;
use crate::store::{Backend, Failure, Store, StoreUrl, key};

/// In fair weather somebody else goes on at one seam in so many.
const PASSES: u64 = 3;
/// And at one of these in so many the machine is frozen.
const FREEZES: u64 = 40;
/// Seams of a whole simulation above which it does not come to an end, which is a hang.
pub(super) const MOST_SEAMS: u64 = 400_000;

/// What a command meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Others, and nothing else.
    Fair,
    /// One fault at so many seams.
    Showers(u64),
    /// From this seam on the store says no to everything.
    Refusing(u64, Failure),
    /// The process is killed at this seam, in this way.
    Cut(u64, Way),
    /// The way to the store ignores that a create is one.
    Erasing,
}

/// How a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Before the seam: nothing was done.
    Before,
    /// After it: it was done, and nobody knows.
    After,
    /// What was under way lands later.
    Later,
    /// The machine goes down with it, and half of a file is on the disk.
    Torn,
}

/// A seam that a command crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seam {
    /// One of several creates at once, by the probe: which of them comes first, no seed decides.
    Probed,
    Asked(Verb),
    Disk(disk::Verb, When),
}

impl Seam {
    /// The ways in which a process can be killed there.
    pub(super) fn ways(self) -> &'static [Way] {
        match self {
            Seam::Asked(Verb::Create) => &[Way::Before, Way::After, Way::Later],
            Seam::Asked(Verb::Overwrite | Verb::Delete) => &[Way::Before, Way::After],
            Seam::Disk(disk::Verb::Write | disk::Verb::Append, When::After) => &[Way::After, Way::Torn],
            Seam::Probed => &[],
            // Nothing is changed by it.
            Seam::Asked(_) | Seam::Disk(..) => &[Way::Before],
        }
    }
}

#[derive(Debug)]
struct Now {
    /// The number of the command.
    deed: u64,
    mood: Mood,
    collects: bool,
    /// How often each seam was met.
    met: HashMap<u64, u64>,
    /// The seams that were crossed.
    seams: Vec<Seam>,
    dead: bool,
    /// A step with a local file failed.
    disk_failed: bool,
}

impl Now {
    fn new(deed: u64, mood: Mood, collects: bool) -> Now {
        Now { deed, mood, collects, met: HashMap::new(), seams: vec![], dead: false, disk_failed: false }
    }
}

/// What one machine meets.
#[derive(Debug)]
pub(super) struct Weather {
    world: Arc<World>,
    machine: usize,
    now: Mutex<Now>,
}

/// A number for anything.
fn number(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    u64::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().expect("32 bytes"))
}

impl Weather {
    pub(super) fn new(world: Arc<World>, machine: usize) -> Arc<Weather> {
        Arc::new(Weather { world, machine, now: Mutex::new(Now::new(0, Mood::Fair, false)) })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next command begins.
    pub(super) fn begin(&self, deed: u64, mood: Mood, collects: bool) {
        *self.now() = Now::new(deed, mood, collects);
    }

    /// Whether the command's process was killed.
    pub(super) fn is_dead(&self) -> bool {
        self.now().dead
    }

    /// Whether the disk of this machine failed it.
    pub(super) fn disk_failed(&self) -> bool {
        self.now().disk_failed
    }

    /// The seams that the command crossed so far.
    pub(super) fn seams(&self) -> Vec<Seam> {
        self.now().seams.clone()
    }

    /// The store as this machine sees it.
    pub(super) fn store(self: &Arc<Self>) -> Store {
        self.store_in(&self.world.bucket, "")
    }

    /// What lies beside the store: its mirror, or another store.
    pub(super) fn beside(self: &Arc<Self>) -> Store {
        self.store_in(&self.world.beside, "beside/")
    }

    /// Any store as this machine sees it; its name begins those of its objects in what is noted.
    pub(super) fn store_in(self: &Arc<Self>, bucket: &Arc<Bucket>, name: &'static str) -> Store {
        let backend: Arc<dyn Backend> = bucket.clone();
        let url = StoreUrl::parse("memory:selftest").expect("a URL");
        let view = Arc::new(View { weather: self.clone(), bucket: bucket.clone(), name });
        Store::over(url, Arc::new(Failing::planned(backend, view))).without_waits()
    }

    /// The disk as this machine sees it.
    pub(super) fn disk(self: &Arc<Self>) -> Disk {
        let weather = self.clone();
        Disk::watched(move |verb, when, path| {
            let done = weather.step(verb, when, path);
            weather.now().disk_failed |= done.is_err();
            done
        })
    }

    /// Numbers for this seam.
    fn draws(&self, seam: u64) -> Seeded {
        let mut now = self.now();
        let times = now.met.entry(seam).or_default();
        *times += 1;
        let own = [self.world.seed, self.machine as u64, *times, now.deed, seam].map(u64::to_le_bytes);
        Seeded::new(number(&[own.as_flattened()]))
    }

    /// Others go on, perhaps, and perhaps for long.
    fn pass(&self, draws: &mut Seeded) {
        if self.world.is_calm() || !draws.once_in(PASSES) {
            return;
        }
        let frozen = if draws.once_in(FREEZES) { 50 + draws.below(500) } else { 0 };
        let others = self.world.turns.pass(self.machine, frozen, draws.draw());
        if frozen > 0 && others > 0 {
            let kind = if self.now().collects { Kind::FrozenCollector } else { Kind::FrozenWriter };
            self.world.hit(kind);
        }
    }

    /// A seam is crossed: in which way the process is killed there. It stays dead.
    fn cross(&self, seam: Seam) -> Option<Way> {
        let count = self.world.turns.cross();
        let mut now = self.now();
        now.seams.push(seam);
        if count > MOST_SEAMS {
            self.world.complain(format!("a hang: more than {MOST_SEAMS} seams"));
            now.dead = true;
        }
        if now.dead {
            return Some(Way::Before);
        }
        match now.mood {
            Mood::Cut(at, way)
                if at <= now.seams.len() as u64 && seam != Seam::Probed && !self.world.is_calm() =>
            {
                now.dead = true;
                self.world.hit(Kind::Killed);
                Some(way)
            }
            _ => None,
        }
    }

    /// It takes its time; nothing else is wrong with it.
    fn wait(&self, kind: Kind, draws: &mut Seeded) -> Option<Fault> {
        if self.world.turns.pass(self.machine, 10 + draws.below(60), draws.draw()) > 0 {
            self.world.hit(kind);
        }
        None
    }

    /// A step with a local file.
    fn step(&self, verb: disk::Verb, when: When, path: &Path) -> io::Result<()> {
        if self.world.shelf.is_fetched(path) {
            return self.fetched(verb, when, path);
        }
        // What is above is another directory each time.
        let parts: Vec<&OsStr> = path.iter().collect();
        let own = parts.iter().rposition(|part| *part == "cache" || *part == "journal").unwrap_or(0);
        let name = parts[own..].join(OsStr::new("/"));
        let mut draws = self.draws(number(&[&[verb as u8, when as u8], name.as_encoded_bytes()]));
        if when == When::Before && !self.now().dead {
            self.pass(&mut draws);
        }
        if let Some(way) = self.cross(Seam::Disk(verb, when)) {
            if way == Way::Torn && when == When::After {
                self.tear(verb, path);
            }
            return Err(io::Error::other("the process was killed"));
        }
        let deed = self.now().deed;
        self.world.note(self.machine, deed, &format!("{when:?} {verb:?} {}", name.display()));
        let Mood::Showers(rate) = self.now().mood else { return Ok(()) };
        if self.world.is_calm() || !draws.once_in(rate) {
            return Ok(());
        }
        let writes = matches!(verb, disk::Verb::Write | disk::Verb::Begin | disk::Verb::Append);
        match (when, draws.below(3)) {
            (When::Before, 0) if writes => {
                self.world.hit(Kind::DiskFull);
                Err(io::ErrorKind::StorageFull.into())
            }
            (_, 1) => {
                self.world.hit(Kind::DiskError);
                Err(io::Error::other("input/output error"))
            }
            (When::After, _) if verb == disk::Verb::Write && self.world.is_cache(path) => {
                harm(path, &mut draws);
                self.world.hit(Kind::TornCache);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A step with a file that is fetched. The end of its path is what it is called each time.
    fn fetched(&self, verb: disk::Verb, when: When, path: &Path) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default();
        let mut draws = self.draws(number(&[b"fetched", &[verb as u8, when as u8], name.as_encoded_bytes()]));
        let Mood::Showers(rate) = self.now().mood else { return Ok(()) };
        if self.world.is_calm() || !draws.once_in(rate) {
            return Ok(());
        }
        match (when, draws.below(3)) {
            // Of a file that cannot be removed there is no more to ask.
            (When::Before, _) if verb == disk::Verb::Remove => Ok(()),
            (When::Before, 0) => {
                self.world.hit(Kind::FetchedFull);
                Err(io::ErrorKind::StorageFull.into())
            }
            (_, 1) => {
                self.world.hit(Kind::FetchedError);
                Err(io::Error::other("input/output error"))
            }
            _ => Ok(()),
        }
    }

    /// The machine went down with the process, before all of the file was on the disk.
    fn tear(&self, verb: disk::Verb, path: &Path) {
        if matches!(verb, disk::Verb::Write | disk::Verb::Append)
            && let Ok(file) = File::options().write(true).open(path)
            && let Ok(meta) = file.metadata()
        {
            let _ = file.set_len(meta.len().saturating_sub(20) / 2);
            self.world.hit(if self.world.is_cache(path) { Kind::TornCache } else { Kind::TornJournal });
        }
    }
}

/// A file is cut, or a bit of it is another.
pub(super) fn harm(path: &Path, draws: &mut Seeded) {
    let Ok(mut bytes) = fs::read(path) else { return };
    if bytes.is_empty() || draws.once_in(2) {
        bytes.truncate(bytes.len() / 2);
    } else {
        let at = draws.below(8 * bytes.len() as u64) as usize;
        bytes[at / 8] ^= 1 << (at % 8);
    }
    let _ = fs::write(path, bytes);
}

/// One store as a machine sees it.
#[derive(Debug)]
struct View {
    weather: Arc<Weather>,
    bucket: Arc<Bucket>,
    name: &'static str,
}

impl View {
    /// What befalls a request in a shower.
    fn shower(&self, request: &Request<'_>, draws: &mut Seeded) -> Option<Fault> {
        let common = [Fault::Before, Fault::After, Fault::Twice, Fault::Torn];
        let (draw, any) = (draws.below(100), draws.draw());
        Some(match request.verb {
            _ if draw < 10 && !request.key.starts_with(key::PROBE) => {
                return self.weather.wait(Kind::Slow, draws);
            }
            Verb::Get if request.key == HEAD && draw < 60 => Fault::Former,
            // It has no checksum, and a bit of a JSON number or id is another number or id.
            Verb::Get if request.key == key::STORE => draws.one_of(&[Fault::Before, Fault::Torn]),
            Verb::Get => draws.one_of(&[
                Fault::Before,
                Fault::Torn,
                Fault::Torn,
                Fault::Flipped(any),
                Fault::Flipped(any),
                Fault::Elsewhere,
                Fault::Elsewhere,
            ]),
            Verb::Create if draw < 30 => return self.late(request, draws),
            Verb::Create => draws.one_of(&[
                Fault::Before,
                Fault::After,
                Fault::Twice,
                Fault::LostAnswer,
                Fault::LostAnswer,
                Fault::FalseExists,
                Fault::FalseExists,
            ]),
            Verb::List => draws.one_of(&[
                Fault::Before,
                Fault::After,
                Fault::Lacks((any % 3) as u8),
                Fault::Stale,
                Fault::Repeated,
            ]),
            Verb::Delete => {
                draws.one_of(&[Fault::Before, Fault::After, Fault::Twice, Fault::Kept, Fault::Kept])
            }
            Verb::Size | Verb::Overwrite | Verb::Modified => draws.one_of(&common),
        })
    }

    /// An error is answered, and it lands when nobody waits for it any more.
    fn late(&self, request: &Request<'_>, draws: &mut Seeded) -> Option<Fault> {
        let payload = request.payload.filter(|_| !request.key.starts_with(key::PROBE))?;
        self.bucket.delay(request.key, payload.to_bytes(), 1 + draws.below(300));
        self.weather.world.hit(Kind::LateCreate);
        Some(Fault::Refused(Failure::Unreachable))
    }

    /// Whether the store says no, or nothing. Where nobody can reach the store, what lies beside it can be reached.
    fn refuses(&self, failure: Failure) -> bool {
        self.name.is_empty() || failure != Failure::Unreachable
    }
}

impl Plan for View {
    fn fate(&self, request: &Request<'_>) -> Option<Fault> {
        let range = request.range.as_ref().map_or([0, 0], |it| [it.start, it.end]).map(u64::to_le_bytes);
        // Several threads probe at once: they are told apart by what they write, and nobody else goes on meanwhile.
        let probes = request.key.starts_with(key::PROBE);
        let written = request.payload.filter(|_| probes).map(|it| it.to_bytes()).unwrap_or_default();
        let weather = &self.weather;
        let seam = [
            &[request.verb as u8][..],
            self.name.as_bytes(),
            request.key.as_bytes(),
            range.as_flattened(),
            &written,
        ];
        let mut draws = weather.draws(number(&seam));
        if !probes && !weather.now().dead {
            weather.pass(&mut draws);
        }
        // What was under way when the process was killed lands all the same, perhaps, and perhaps later.
        let seam = match request.verb {
            Verb::Create if probes => Seam::Probed,
            verb => Seam::Asked(verb),
        };
        match weather.cross(seam) {
            None => {}
            Some(Way::After) => return Some(Fault::After),
            Some(Way::Later) => return self.late(request, &mut draws).or(Some(Fault::Before)),
            Some(Way::Before | Way::Torn) => return Some(Fault::Before),
        }
        if weather.world.is_calm() {
            return None;
        }
        let (mood, crossed) = {
            let now = weather.now();
            (now.mood, now.seams.len() as u64)
        };
        match mood {
            Mood::Showers(rate) if draws.once_in(rate) => self.shower(request, &mut draws),
            Mood::Refusing(from, failure) if crossed >= from && self.refuses(failure) => {
                Some(Fault::Refused(failure))
            }
            Mood::Erasing if request.verb == Verb::Create => Some(Fault::Erases),
            _ => None,
        }
    }

    fn former(&self, key: &str) -> Option<Bytes> {
        self.bucket.old_hint().filter(|_| key == HEAD)
    }

    fn hit(&self, request: &Request<'_>, fault: Fault) {
        let (weather, lists) = (&self.weather, request.verb == Verb::List);
        if request.verb == Verb::Create && matches!(fault, Fault::After | Fault::LostAnswer) {
            self.bucket.unheard(request.key);
        }
        let kind = match fault {
            Fault::Before | Fault::After | Fault::Torn if lists => Kind::ListFails,
            Fault::Torn if request.verb != Verb::Get => Kind::ErrorBefore,
            Fault::Refused(Failure::Credentials) => Kind::Expired,
            Fault::Refused(Failure::Full) => Kind::StoreFull,
            // Counted where it was put off.
            Fault::Refused(_) => return,
            Fault::Before if weather.now().dead => return,
            Fault::Before => Kind::ErrorBefore,
            Fault::After | Fault::Dead => Kind::ErrorAfter,
            Fault::Torn => Kind::Truncated,
            Fault::Flipped(_) => Kind::Flipped,
            Fault::Elsewhere => Kind::WrongRange,
            Fault::Former => Kind::StaleHint,
            Fault::LostAnswer => Kind::LostAnswer,
            Fault::FalseExists => Kind::FalseExists,
            Fault::Twice => Kind::Twice,
            Fault::Erases => Kind::Erases,
            Fault::Kept => Kind::DeleteLies,
            Fault::Lacks(_) => Kind::ListLacks,
            Fault::Stale => Kind::ListStale,
            Fault::Repeated => Kind::ListRepeats,
        };
        weather.world.hit(kind);
        if !request.key.starts_with(key::PROBE) {
            weather.world.note(weather.machine, weather.now().deed, kind.name());
        }
    }

    fn done(&self, request: &Request<'_>) {
        if request.key.starts_with(key::PROBE) {
            return;
        }
        let weather = &self.weather;
        let (deed, mood, dead) = {
            let now = weather.now();
            (now.deed, now.mood, now.dead)
        };
        let range = request.range.clone().unwrap_or_default();
        let (verb, name, key) = (request.verb, self.name, request.key);
        weather.world.note(weather.machine, deed, &format!("{verb:?} {name}{key} {range:?}"));
        if mood == Mood::Erasing && matches!(request.verb, Verb::Create | Verb::Overwrite) {
            weather.world.complain(format!("{name}{key} was written where create-only is ignored"));
        }
        let mut draws = weather.draws(number(&[b"done", name.as_bytes(), key.as_bytes()]));
        if let Mood::Showers(rate) = mood
            && !dead
            && !weather.world.is_calm()
            && draws.once_in(5 * rate)
        {
            weather.wait(Kind::Stalled, &mut draws);
        }
    }
}
