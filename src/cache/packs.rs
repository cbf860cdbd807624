//! What was read of data packs in distant stores: runs of whole frames, each a file named by its place in the pack.
//!
//! A file is about [`RUN`] bytes: of a frame each there would be many small files, of a request each much would be read for little
//! (ADR 16). Frames are kept once their checksums were right, and lie wherever requests begin and end, so a kept run serves
//! any later plan that wants a part of it. What is kept of a pack is listed once by each process; a file that is gone or damaged
//! when it is read is a miss, and is read from the store again.
//!
//! One limit holds for all stores of the machine. Sizes are read anew whenever something is to go, and what was used longest ago
//! goes first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::usage::Usage;
use super::{Cache, Limit};
use crate::id::PackId;

/// Bytes of a file, if frames are that small; a larger frame is a file of its own.
const RUN: usize = 1 << 20;
/// A process looks whether something has to go after it has kept this part of all that may be kept.
const LOOKS: u64 = 64;

/// Runs of data packs; clones share what they know.
#[derive(Debug, Clone, Default)]
pub struct Packs(Option<Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    cache: Cache,
    limit: Limit,
    /// Where each run begins and ends, of the packs that were asked for.
    known: Mutex<HashMap<PackId, BTreeMap<u64, u64>>>,
    /// Bytes kept since this process looked for what has to go.
    fresh: AtomicU64,
    looked: AtomicBool,
}

/// Where frames lie: at this offset of the pack, bytes.
pub type Placed<'b> = (u64, &'b [u8]);

impl Packs {
    pub(super) fn new(cache: Cache, limit: Limit) -> Packs {
        let (known, fresh, looked) = (Mutex::default(), AtomicU64::new(0), AtomicBool::new(false));
        Packs(Some(Arc::new(Kept { cache, limit, known, fresh, looked })))
    }

    /// Nothing is kept.
    pub fn none() -> Packs {
        Packs(None)
    }

    /// Runs that have bytes of one of these ranges, each with where it begins. They may overlap.
    pub fn get(&self, pack: PackId, wanted: &[Range<u64>]) -> Vec<(u64, Bytes)> {
        let Some(kept) = &self.0 else { return vec![] };
        let runs = kept.runs(pack);
        let touches = |run: &Range<u64>| wanted.iter().any(|it| it.start < run.end && run.start < it.end);
        let read = |run: Range<u64>| match kept.read(pack, &run) {
            Some(bytes) => Some((run.start, bytes)),
            None => {
                kept.forget(pack, &run);
                None
            }
        };
        runs.into_iter().filter(touches).filter_map(read).collect()
    }

    /// Keep these frames, whose checksums are right, in the order of their places; those that are kept already are left out.
    pub fn put(&self, pack: PackId, frames: &[Placed<'_>]) {
        let Some(kept) = &self.0 else { return };
        let runs = kept.runs(pack);
        let new = |(at, bytes): &Placed<'_>| {
            let end = at + bytes.len() as u64;
            !runs.iter().any(|run| run.start <= *at && end <= run.end)
        };
        let (mut start, mut run) = (0, Vec::new());
        for (at, bytes) in frames.iter().filter(|frame| new(frame)) {
            if start + run.len() as u64 != *at || run.len() + bytes.len() > RUN {
                kept.write(pack, start, &run);
                run.clear();
                start = *at;
            }
            run.extend_from_slice(bytes);
        }
        kept.write(pack, start, &run);
        kept.look(kept.limit.bytes / LOOKS);
    }

    /// A fetch is over: what does not fit any more goes, also if this process will keep no more.
    pub fn settle(&self) {
        if let Some(kept) = &self.0
            && !kept.looked.load(Ordering::Relaxed)
        {
            kept.look(1);
        }
    }
}

impl Kept {
    /// What is known to be kept of the pack.
    fn runs(&self, pack: PackId) -> Vec<Range<u64>> {
        let mut known = self.known.lock().expect("no holder of this lock panics");
        let listed = known.entry(pack).or_insert_with(|| {
            let names = self.cache.part(&pack.to_string()).names();
            names.iter().filter_map(|name| place(name)).collect()
        });
        listed.iter().map(|(start, end)| *start..*end).collect()
    }

    fn forget(&self, pack: PackId, run: &Range<u64>) {
        let mut known = self.known.lock().expect("no holder of this lock panics");
        known.entry(pack).or_default().remove(&run.start);
    }

    fn read(&self, pack: PackId, run: &Range<u64>) -> Option<Bytes> {
        let (folder, name) = (self.cache.part(&pack.to_string()), name(run));
        let bytes = folder.get(&name).filter(|bytes| bytes.len() as u64 == run.end - run.start)?;
        folder.touch(&name);
        Some(bytes)
    }

    fn write(&self, pack: PackId, start: u64, bytes: &[u8]) {
        let run = start..start + bytes.len() as u64;
        if !bytes.is_empty() && self.cache.part(&pack.to_string()).keep(&name(&run), bytes).is_ok() {
            self.known
                .lock()
                .expect("no holder of this lock panics")
                .entry(pack)
                .or_default()
                .insert(run.start, run.end);
            self.fresh.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    }

    /// Let go what does not fit, if at least so many bytes are new. Some more goes, so that the next bytes fit.
    fn look(&self, least: u64) {
        let fresh = self.fresh.load(Ordering::Relaxed);
        if fresh == 0 || fresh < least {
            return;
        }
        self.fresh.store(0, Ordering::Relaxed);
        self.looked.store(true, Ordering::Relaxed);
        let mut data = Usage::of(&self.limit.base);
        data.files.retain(|file| file.is_data());
        if data.bytes() > self.limit.bytes {
            data.prune_on(&self.cache.disk, self.limit.bytes - self.limit.bytes / 16);
        }
    }
}

fn name(run: &Range<u64>) -> String {
    format!("{:x}-{:x}", run.start, run.end)
}

/// The place that a file name says; other files are none of ours.
fn place(name: &str) -> Option<(u64, u64)> {
    let (start, end) = name.split_once('-')?;
    let place = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    (place.0 < place.1).then_some(place)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn packs(base: &Path, url: &str, bytes: u64) -> Packs {
        Cache::below(base, url).with_data(bytes).part("store").packs()
    }

    fn bytes(seed: u64, length: usize) -> Vec<u8> {
        let mut output = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
        let mut bytes = vec![0; length];
        output.fill(&mut bytes);
        bytes
    }

    /// Every kept file of data.
    fn files(base: &Path) -> Vec<PathBuf> {
        let mut found: Vec<_> = Usage::of(base).files.into_iter().filter(|file| file.is_data()).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.into_iter().map(|file| file.path).collect()
    }

    /// What of a pack is kept, and that it is right.
    fn held(packs: &Packs, pack: PackId, content: &[u8], range: Range<u64>) -> u64 {
        let mut found = vec![false; content.len()];
        for (at, run) in packs.get(pack, std::slice::from_ref(&range)) {
            let at = at as usize;
            assert_eq!(run, content[at..at + run.len()], "bytes of another place");
            found[at..at + run.len()].fill(true);
        }
        found[range.start as usize..range.end as usize].iter().filter(|it| **it).count() as u64
    }

    #[test]
    fn frames_are_kept_in_runs_and_found_by_their_bytes() {
        let base = tempfile::tempdir().expect("a directory");
        let (first, pack, content) =
            (packs(base.path(), "s3://a", 1 << 30), PackId::new(), bytes(1, 5 << 20));
        let frame = |at: usize| (at as u64, &content[at..at + (200 << 10)]);
        let frames: Vec<_> = (0..20).map(|n| frame(16 + n * (200 << 10))).collect();
        assert_eq!(held(&first, pack, &content, 0..5 << 20), 0);
        first.put(pack, &frames[..12]);
        assert_eq!(files(base.path()).len(), 3, "five frames each, and two");
        // Again, with a hole, and with what is new.
        first.put(pack, &[frames[3], frames[4], frames[13], frames[15]]);
        assert_eq!(files(base.path()).len(), 5);
        // Another process and another clone find it; another store, and another pack, do not.
        let second = packs(base.path(), "s3://a", 1 << 30);
        assert_eq!(held(&second, pack, &content, 0..5 << 20), 14 * (200 << 10));
        assert_eq!(held(&second, pack, &content, 300 << 10..301 << 10), 1 << 10);
        assert_eq!(held(&second, PackId::new(), &content, 0..5 << 20), 0);
        assert_eq!(held(&packs(base.path(), "s3://b", 1 << 30), pack, &content, 0..5 << 20), 0);
        assert_eq!(held(&packs(base.path(), "s3://a", 0), pack, &content, 0..5 << 20), 0, "nothing is kept");
    }

    #[test]
    fn what_is_cut_flipped_moved_or_gone_is_a_miss() {
        let base = tempfile::tempdir().expect("a directory");
        let (pack, content) = (PackId::new(), bytes(2, 4000));
        let frames: Vec<_> = (0..4).map(|n| (n * 1000, &content[n as usize * 1000..][..1000])).collect();
        let one = |frame: usize| packs(base.path(), "s3://a", 1 << 30).put(pack, &frames[frame..=frame]);
        (0..4).for_each(one);
        let warm = packs(base.path(), "s3://a", 1 << 30);
        assert_eq!(held(&warm, pack, &content, 0..4000), 4000);
        let kept = files(base.path());
        let whole = fs::read(&kept[0]).expect("kept");
        fs::write(&kept[0], &whole[..500]).expect("cut");
        fs::rename(&kept[1], &kept[2]).expect("moved");
        let mut flipped = fs::read(&kept[3]).expect("kept");
        flipped[700] ^= 1;
        fs::write(&kept[3], flipped).expect("flipped");
        let folder = kept[0].parent().expect("a directory");
        for odd in ["x", "1-", "9-3", "0-ffffffffffffffffff", "0-ffffffffffffffff"] {
            fs::write(folder.join(odd), &whole).expect("written");
        }
        for packs in [warm, packs(base.path(), "s3://a", 1 << 30)] {
            assert_eq!(held(&packs, pack, &content, 0..4000), 0);
        }
        (0..4).for_each(one);
        let second = packs(base.path(), "s3://a", 1 << 30);
        let first = held(&second, pack, &content, 0..4000);
        assert_eq!(first, 1000, "what is listed is not written again before somebody reads it");
        second.put(pack, &frames);
        assert_eq!(held(&second, pack, &content, 0..4000), 4000, "what was no use is kept anew");
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_whichever_store_it_is_of() {
        let base = tempfile::tempdir().expect("a directory");
        let (pack, content) = (PackId::new(), bytes(3, 10 << 20));
        let limit = 8 << 20;
        let frame = |n: usize| (((n << 20) as u64), &content[n << 20..(n + 1) << 20]);
        for n in 0..6 {
            packs(base.path(), &format!("s3://{}", n % 2), limit).put(pack, &[frame(n)]);
        }
        let ages = |path: &Path, hours: u64| {
            let file = fs::File::options().write(true).open(path).expect("kept");
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).expect("dated back");
        };
        let (even, odd) = (packs(base.path(), "s3://0", limit), packs(base.path(), "s3://1", limit));
        for (n, path) in files(base.path()).iter().enumerate() {
            ages(path, 10 + n as u64);
        }
        // Two of the oldest are used.
        assert_eq!(held(&even, pack, &content, 0..1 << 20), 1 << 20);
        assert_eq!(held(&odd, pack, &content, 1 << 20..2 << 20), 1 << 20);
        for n in 6..9 {
            even.put(pack, &[frame(n)]);
        }
        even.settle();
        let size = Usage::of(base.path()).bytes();
        assert!(size <= limit, "{size} of {limit}");
        let even_again = packs(base.path(), "s3://0", limit);
        assert_eq!(held(&even_again, pack, &content, 0..1 << 20), 1 << 20, "used");
        assert_eq!(held(&odd, pack, &content, 1 << 20..2 << 20), 1 << 20, "used");
        assert_eq!(held(&even_again, pack, &content, 8 << 20..9 << 20), 1 << 20, "new");
    }

    #[test]
    fn many_at_once_under_a_small_limit_read_nothing_wrong() {
        let base = tempfile::tempdir().expect("a directory");
        let (pack, content) = (PackId::new(), bytes(4, 4 << 20));
        std::thread::scope(|scope| {
            for worker in 0..4u64 {
                let (base, content) = (base.path(), &content);
                scope.spawn(move || {
                    let mut state = worker;
                    for _ in 0..60 {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(worker + 1);
                        let packs = packs(base, "s3://a", 1 << 20);
                        let at = ((state >> 33) % (63 << 16)) as usize;
                        packs.put(pack, &[(at as u64, &content[at..at + (1 << 16)])]);
                        held(&packs, pack, content, at as u64..(at + (1 << 16)) as u64);
                        held(&packs, pack, content, 0..4 << 20);
                        packs.settle();
                    }
                });
            }
        });
        packs(base.path(), "s3://a", 1 << 20).put(pack, &[(0, &content[..10])]);
        let last = packs(base.path(), "s3://a", 1 << 20);
        last.put(pack, &[(5, &content[5..50])]);
        last.settle();
        assert!(Usage::of(base.path()).bytes() <= (1 << 20) + 8192, "metadata aside");
    }
}
