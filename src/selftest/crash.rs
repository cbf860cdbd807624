//! Crash points: each piece of work is killed at every seam it crosses, in every way that seam allows, and done again by the next
//! process; at some points that one is killed too. Nothing acknowledged may be lost, and the work has to come to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tempfile::TempDir;

use super::bucket::Bucket;
use super::clean;
use super::copies::COPIES;
use super::failed::{Failed, fault_of};
use super::ledger::Ledger;
use super::machine::words;
use super::shelf::{Shelf, scratch};
use super::turns::Turns;
use super::weather::{Mood, Seam, Way, Weather};
use super::work::{Moment, Names, Stage, WORKS, Work, below};
use super::world::World;
use super::{Cast, memory};
use crate::chance;

/// At one point in so many the next process is killed too.
const AGAIN: usize = 4;
/// At so many of its seams.
const SEAMS_AGAIN: u64 = 3;

/// What came of killing everything everywhere.
#[derive(Debug, Default, Serialize)]
pub struct Crashes {
    /// How many points there are in each piece of work.
    pub points: BTreeMap<&'static str, u64>,
    /// At how many of all points the next process was killed too.
    pub twice: u64,
    /// What happened that must not.
    pub wrong: Vec<String>,
}

impl Crashes {
    /// Points at which something was killed, each once.
    pub fn count(&self) -> u64 {
        self.points.values().sum::<u64>() + self.twice
    }
}

/// Where a process is killed, and where the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    seam: u64,
    way: u8,
    again: Option<u64>,
}

const WAYS: [Way; 4] = [Way::Before, Way::After, Way::Later, Way::Torn];

/// A piece of work, and all that was there before.
struct Prepared {
    work: &'static Work,
    bucket: Bucket,
    beside: Bucket,
    disk: TempDir,
    ledger: Ledger,
    shelf: Arc<Shelf>,
    /// What the work crosses when nothing fails.
    seams: Vec<Seam>,
}

fn stage(bucket: Bucket, beside: Bucket, shelf: &Arc<Shelf>, ledger: Ledger, disk: &Path) -> Stage {
    let world = World::new(1, bucket, Turns::new(1, 0), shelf.clone());
    let world = Arc::new(world.with_beside(beside));
    *world.ledger() = ledger;
    let weather = Weather::new(world.clone(), 0);
    Stage { weather, world, disk: disk.to_owned() }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    below(from, &mut files);
    for file in files {
        let target = to.join(file.strip_prefix(from).map_err(io::Error::other)?);
        fs::create_dir_all(target.parent().unwrap_or(to))?;
        fs::copy(file, target)?;
    }
    Ok(())
}

impl Prepared {
    fn new(work: &'static Work) -> Result<Prepared, String> {
        let said = |error: io::Error| error.to_string();
        let (disk, shelf) = (scratch().map_err(said)?, Arc::new(Names::shelf().map_err(said)?));
        let before = stage(Bucket::default(), Bucket::default(), &shelf, Ledger::default(), disk.path());
        chance::given(1, before.world.bucket.clock(), || (work.prepare)(&before))?;
        let (bucket, beside) = (before.world.bucket.twin(), before.world.beside.twin());
        let ledger = before.world.ledger().clone();
        let mut prepared = Prepared { work, bucket, beside, disk, ledger, shelf, seams: vec![] };
        let (whole, _disk) = prepared.stage().map_err(said)?;
        whole.weather.begin(1, Mood::Fair, false);
        prepared.run(&whole, 2)?;
        prepared.seams = whole.weather.seams();
        match (work.look)(&whole, Moment::Done).into_iter().next() {
            Some(what) => Err(format!("it does not do its work: {what}")),
            None => Ok(prepared),
        }
    }

    fn stage(&self) -> io::Result<(Stage, TempDir)> {
        let disk = scratch()?;
        copy(self.disk.path(), disk.path())?;
        let (bucket, beside) = (self.bucket.twin(), self.beside.twin());
        Ok((stage(bucket, beside, &self.shelf, self.ledger.clone(), disk.path()), disk))
    }

    /// The work, by a process with these numbers.
    fn run(&self, stage: &Stage, seed: u64) -> Result<(), String> {
        let clock = stage.world.bucket.clock();
        let work = || chance::given(seed, clock, || (self.work.act)(stage));
        let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            stage.world.complain(format!("panic: {}", words(&*panic)));
            Err("panic".to_owned())
        });
        if let Err(why) = &done
            && let Some(fault) = fault_of(&Failed::ours(why.as_str()), true)
        {
            stage.world.complain(format!("{fault}: {why:?}"));
        }
        done
    }

    /// Every point, the second ones among them.
    fn points(&self) -> BTreeSet<Point> {
        let mut points = BTreeSet::new();
        for (seam, ways) in (1..).zip(self.seams.iter().map(|seam| seam.ways())) {
            for way in ways {
                let way = WAYS.iter().position(|it| it == way).unwrap_or(0) as u8;
                points.insert(Point { seam, way, again: None });
            }
        }
        let some: Vec<Point> = points.iter().copied().step_by(AGAIN).collect();
        let last = self.seams.len() as u64;
        for point in some {
            for nth in 0..SEAMS_AGAIN {
                let again = 1 + (point.seam * 7 + nth * last / SEAMS_AGAIN) % last;
                points.insert(Point { again: Some(again), ..point });
            }
        }
        points
    }

    /// Killed there, and done again: what is wrong then, and whether the next process was killed too.
    fn crash(&self, point: Point) -> io::Result<(Vec<String>, bool)> {
        let (stage, _disk) = self.stage()?;
        let world = &stage.world;
        stage.weather.begin(1, Mood::Cut(point.seam, WAYS[usize::from(point.way)]), false);
        let _ = self.run(&stage, 2);
        if !stage.weather.is_dead() {
            world.complain("the process was not killed".to_owned());
        }
        let store = memory(&world.bucket);
        let say = |when: &str, wrong: Vec<String>| {
            wrong.into_iter().for_each(|what| world.complain(format!("{when}: {what}")));
        };
        let look = |when: &str| say(when, world.ledger().complaints(&store, &self.shelf));
        if !self.work.mends && self.work.name != "init" {
            look("killed");
        }
        say("killed", (self.work.look)(&stage, Moment::Killed));
        let mut twice = false;
        if let Some(again) = point.again {
            stage.weather.begin(2, Mood::Cut(again, Way::After), false);
            let _ = self.run(&stage, 3);
            twice = stage.weather.is_dead();
        }
        stage.weather.begin(3, Mood::Fair, false);
        if let Err(why) = self.run(&stage, 4) {
            world.complain(format!("done again: {why}"));
        }
        if let Err(why) = stage.settle() {
            world.complain(format!("settled: {why}"));
        }
        if stage.left_open() > 0 {
            world.complain("a journal is left".to_owned());
        }
        world.bucket.settle();
        world.beside.settle();
        look("done again");
        say("done again", (self.work.look)(&stage, Moment::Done));
        if let Err(why) = clean(world, &store) {
            world.complain(why);
        }
        look("collected");
        let wrong = world.bucket.wrong().into_iter().chain(world.beside.wrong());
        wrong.for_each(|what| world.complain(what));
        Ok((world.wrong(), twice))
    }
}

/// Kills every piece of work at every seam.
pub fn crash_everywhere() -> io::Result<Crashes> {
    let crashes = Mutex::new(Crashes::default());
    let add = |what: &dyn Fn(&mut Crashes)| what(&mut crashes.lock().expect("no holder of this lock panics"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for work in WORKS.iter().chain(COPIES) {
        let cast = Cast::of(1)?;
        let prepared = match cast.alone(|| Prepared::new(work)) {
            Ok(prepared) => prepared,
            Err(why) => {
                add(&|it| it.wrong.push(format!("{}: {why}", work.name)));
                continue;
            }
        };
        let points: Vec<Point> = prepared.points().into_iter().collect();
        let twice = points.iter().filter(|point| point.again.is_some()).count() as u64;
        add(&|it| {
            it.points.insert(work.name, points.len() as u64 - twice);
        });
        let next = AtomicUsize::new(0);
        let kill = || {
            let cast = Cast::of(1)?;
            while let Some(point) = points.get(next.fetch_add(1, SeqCst)) {
                let (wrong, twice) = cast.alone(|| prepared.crash(*point))?;
                add(&|it| it.twice += u64::from(twice));
                add(&|it| {
                    it.wrong.extend(wrong.iter().map(|what| format!("{}, {point:?}: {what}", work.name)))
                });
            }
            Ok::<(), io::Error>(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..cores).map(|_| scope.spawn(kill)).collect();
            workers.into_iter().try_for_each(|it| it.join().expect("what panics is caught"))
        })?;
    }
    Ok(crashes.into_inner().expect("no holder of this lock panics"))
}
