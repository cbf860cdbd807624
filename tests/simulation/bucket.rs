//! A bucket that keeps only sizes, and counts what it is asked for by the kind of object.
//!
//! What is not kept: the bytes of data packs. Where a footer of one is read it is made again, from the name of the pack and the number
//! of its chunks, byte for byte the same each time, so the hooks and the look-ups of the program see real footers.
//!
//! What is kept: whatever the program reads back, which is `datamon.json`, `log/HEAD`, the newest log entries and the meta packs
//! that something live names. Of older ones only the size is left ([`Bucket::forget`]). To read such bytes is a failed request, so a run
//! that ends has shown that nobody needs them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::{AddAssign, Range, Sub};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use datamon::id::{ChunkId, PackId, PackKind};
use datamon::pack::format::FRAME_HEADER;
use datamon::pack::{Footer, FrameEntry, PackInfo};
use datamon::store::{Backend, BackendError, Create, Failure, Listed, Payload, key};

/// Bytes of a chunk, raw and stored: it does not compress.
pub const CHUNK: u64 = 16 << 10;
/// Chunks of a frame.
const FRAME_CHUNKS: u64 = 16;
/// Log entries whose bytes are kept.
const LOG_KEPT: usize = 300;

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Data,
    Meta,
    Log,
    Other,
}

/// All of them.
pub const KINDS: [Kind; 4] = [Kind::Data, Kind::Meta, Kind::Log, Kind::Other];

impl Kind {
    fn of(key: &str) -> Kind {
        match key {
            key::HEAD => Kind::Other,
            _ if key.starts_with(key::DATA) => Kind::Data,
            _ if key.starts_with(key::META) => Kind::Meta,
            _ if key.starts_with(key::LOG) => Kind::Log,
            _ => Kind::Other,
        }
    }
}

/// Requests about one kind of object, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    pub get: u64,
    pub head: u64,
    pub put: u64,
    pub list: u64,
    pub read: u64,
    pub written: u64,
}

/// Requests by kind of object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally(pub [Asked; 4]);

impl Tally {
    pub fn of(&self, kind: Kind) -> Asked {
        self.0[kind as usize]
    }

    /// All kinds together.
    pub fn all(&self) -> Asked {
        let mut all = Asked::default();
        self.0.iter().for_each(|it| all += *it);
        all
    }
}

macro_rules! each_field {
    ($($field:ident),*) => {
        impl AddAssign for Asked {
            fn add_assign(&mut self, other: Asked) {
                $(self.$field += other.$field;)*
            }
        }
        impl Sub for Asked {
            type Output = Asked;
            fn sub(self, other: Asked) -> Asked {
                Asked { $($field: self.$field - other.$field),* }
            }
        }
    };
}
each_field!(get, head, put, list, read, written);

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own += other);
    }
}

impl Sub for Tally {
    type Output = Tally;
    fn sub(mut self, other: Tally) -> Tally {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own = *own - other);
        self
    }
}

#[derive(Default)]
struct Inside {
    tally: Tally,
    /// Chunks of each data pack.
    data: HashMap<PackId, u32>,
    /// Sizes of meta packs.
    meta: HashMap<PackId, u32>,
    /// Sizes of log entries by seq.
    log: Vec<u32>,
    /// Bytes of what is kept.
    bodies: BTreeMap<String, Bytes>,
}

/// The bucket.
#[derive(Default)]
pub struct Bucket(Mutex<Inside>);

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

impl Bucket {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// What was asked for so far.
    pub fn tally(&self) -> Tally {
        self.inside().tally
    }

    /// A data pack of so many chunks is written.
    pub fn put_data(&self, pack: PackId, chunks: u32) -> PackInfo {
        let info = info(chunks);
        let mut inside = self.inside();
        let asked = &mut inside.tally.0[Kind::Data as usize];
        asked.put += 1;
        asked.written += info.size;
        inside.data.insert(pack, chunks);
        info
    }

    /// Objects of a kind and their bytes.
    pub fn stored(&self, kind: Kind) -> (u64, u64) {
        let inside = self.inside();
        let sum = |sizes: &mut dyn Iterator<Item = u64>| {
            sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
        };
        match kind {
            Kind::Data => sum(&mut inside.data.values().map(|chunks| info(*chunks).size)),
            Kind::Meta => sum(&mut inside.meta.values().map(|size| u64::from(*size))),
            Kind::Log => sum(&mut inside.log.iter().map(|size| u64::from(*size))),
            Kind::Other => (2, 400),
        }
    }

    /// Bytes of these meta packs.
    pub fn size_of(&self, packs: &BTreeSet<PackId>) -> u64 {
        let inside = self.inside();
        packs.iter().filter_map(|pack| inside.meta.get(pack)).map(|size| u64::from(*size)).sum()
    }

    /// Keeps no bytes of meta packs but these, and of old log entries none.
    pub fn forget(&self, live: &BTreeSet<PackId>) {
        let mut inside = self.inside();
        let from = key::log(inside.log.len().saturating_sub(LOG_KEPT) as u64);
        inside.bodies.retain(|key, _| match Kind::of(key) {
            Kind::Meta => key::pack_id(key).is_some_and(|(_, pack)| live.contains(&pack)),
            Kind::Log => *key >= from,
            _ => true,
        });
    }

    /// Bytes that it keeps in memory, about: what this process has beside the program.
    pub fn memory(&self) -> u64 {
        let inside = self.inside();
        let bodies: usize = inside.bodies.values().map(Bytes::len).sum();
        (bodies + (inside.data.capacity() + inside.meta.capacity()) * 24 + inside.log.capacity() * 4) as u64
    }
}

impl Inside {
    /// Keep the object, or its size.
    fn put(&mut self, key: &str, bytes: &Payload) {
        let size = u32::try_from(bytes.len()).expect("objects are small");
        let asked = &mut self.tally.0[Kind::of(key) as usize];
        asked.put += 1;
        asked.written += u64::from(size);
        match (key::pack_id(key), key::log_seq(key)) {
            (Some((_, pack)), _) => drop(self.meta.insert(pack, size)),
            (_, Some(seq)) => {
                assert_eq!(seq, self.log.len() as u64, "the log is dense");
                self.log.push(size);
            }
            _ => {}
        }
        self.bodies.insert(key.to_owned(), bytes.to_bytes());
    }

    fn size(&self, key: &str) -> Option<u64> {
        match (key::pack_id(key), key::log_seq(key)) {
            (Some((PackKind::Data, pack)), _) => self.data.get(&pack).map(|chunks| info(*chunks).size),
            (Some((PackKind::Meta, pack)), _) => self.meta.get(&pack).map(|size| u64::from(*size)),
            (_, Some(seq)) => self.log.get(usize::try_from(seq).ok()?).map(|size| u64::from(*size)),
            _ => self.bodies.get(key).map(|bytes| bytes.len() as u64),
        }
    }

    fn body(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError> {
        if let Some((PackKind::Data, pack)) = key::pack_id(key) {
            let chunks = self.data[&pack];
            let (info, footer) = (info(chunks), footer(pack, chunks));
            let bytes = footer.encode(info.size - u64::from(info.footer));
            return match range == (info.size - u64::from(info.footer)..info.size) {
                true => Ok(bytes.into()),
                false => Err(not_kept(key)),
            };
        }
        let body = self.bodies.get(key).ok_or_else(|| not_kept(key))?;
        Ok(body.slice(range.start as usize..(range.end as usize).min(body.len())))
    }
}

fn not_kept(key: &str) -> BackendError {
    // No failure that may pass, or it would be asked for again.
    BackendError { failure: Failure::Unsupported, message: format!("the simulation keeps no bytes of {key}") }
}

impl Backend for Bucket {
    fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, BackendError> {
        let mut inside = self.inside();
        let bytes = match inside.size(key) {
            Some(size) => Some(inside.body(key, range.unwrap_or(0..size))?),
            None => None,
        };
        let asked = &mut inside.tally.0[Kind::of(key) as usize];
        asked.get += 1;
        asked.read += bytes.as_ref().map_or(0, Bytes::len) as u64;
        Ok(bytes)
    }

    fn size(&self, key: &str) -> Result<Option<u64>, BackendError> {
        let mut inside = self.inside();
        inside.tally.0[Kind::of(key) as usize].head += 1;
        Ok(inside.size(key))
    }

    fn create(&self, key: &str, bytes: Payload) -> Result<Create, BackendError> {
        // One lock for the look and the write: of several at once one creates.
        let mut inside = self.inside();
        if inside.size(key).is_some() {
            return Ok(Create::Exists);
        }
        inside.put(key, &bytes);
        Ok(Create::Created)
    }

    fn overwrite(&self, key: &str, bytes: Payload) -> Result<(), BackendError> {
        self.inside().put(key, &bytes);
        Ok(())
    }

    /// Of the log, of packs, and of a probe.
    fn list(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, BackendError> {
        let mut inside = self.inside();
        inside.tally.0[Kind::of(prefix) as usize].list += 1;
        if prefix.starts_with("probe/") {
            let below =
                inside.bodies.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
            return Ok(below
                .map(|(key, it)| Listed { key: key.clone(), size: it.len() as u64, modified: 0 })
                .collect());
        }
        if prefix == key::DATA || prefix == key::META {
            let of = |kind, pack: PackId, size| Listed { key: key::pack(kind, pack), size, modified: 0 };
            let data = inside.data.iter().map(|(pack, chunks)| of(PackKind::Data, *pack, info(*chunks).size));
            let meta = inside.meta.iter().map(|(pack, size)| of(PackKind::Meta, *pack, u64::from(*size)));
            return Ok(data.chain(meta).filter(|it| it.key.starts_with(prefix)).collect());
        }
        let from = key::log_seq(after).map_or(0, |seq| seq + 1);
        let seqs = (from..inside.log.len() as u64).filter(|_| prefix == key::LOG);
        let listed =
            |seq: u64| Listed { key: key::log(seq), size: u64::from(inside.log[seq as usize]), modified: 0 };
        Ok(seqs.map(listed).collect())
    }

    fn list_first(&self, prefix: &str, after: &str) -> Result<Option<Vec<Listed>>, BackendError> {
        self.list(prefix, after).map(|mut listed| {
            listed.truncate(1000);
            Some(listed)
        })
    }

    /// Packs, and what a probe left; a store deletes nothing else.
    fn delete(&self, key: &str) -> Result<(), BackendError> {
        let mut inside = self.inside();
        let body = inside.bodies.remove(key).is_some();
        let gone = match key::pack_id(key) {
            Some((PackKind::Data, pack)) => inside.data.remove(&pack).is_some(),
            Some((PackKind::Meta, pack)) => inside.meta.remove(&pack).is_some(),
            None => body,
        };
        if gone { Ok(()) } else { Err(not_kept(key)) }
    }
}

/// The id of a chunk of a pack: as good as random, and the same whenever it is asked for.
pub fn chunk(pack: PackId, n: u32) -> ChunkId {
    let [high, low] = [0, 8].map(|at| u64::from_le_bytes(*pack.as_bytes()[at..].first_chunk().expect("16")));
    let mut state = high ^ low.rotate_left(29) ^ u64::from(n).wrapping_mul(0xd6e8_feb8_6659_fd93);
    // SplitMix64.
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut bytes = [0; 32];
    bytes.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&next().to_le_bytes()));
    ChunkId::from_bytes(bytes)
}

/// The footer of a data pack: frames of [`FRAME_CHUNKS`] chunks that do not compress.
pub fn footer(pack: PackId, chunks: u32) -> Footer {
    let frame = |first: u32| {
        let count = (chunks - first).min(FRAME_CHUNKS as u32);
        let raw = count * CHUNK as u32;
        let ids = (first..first + count).map(|n| (chunk(pack, n), CHUNK as u32)).collect();
        FrameEntry { offset: offset(first), stored: raw + FRAME_HEADER as u32, raw, chunks: ids }
    };
    let frames = (0..chunks).step_by(FRAME_CHUNKS as usize).map(frame).collect();
    Footer { kind: PackKind::Data, frames }
}

/// Where the frame that begins with this chunk lies.
pub fn offset(chunk: u32) -> u64 {
    let frames = u64::from(chunk) / FRAME_CHUNKS;
    datamon::pack::format::HEADER as u64 + frames * (FRAME_CHUNKS * CHUNK + FRAME_HEADER as u64)
}

/// What the catalog knows of a data pack of so many chunks.
fn info(chunks: u32) -> PackInfo {
    let frames = u64::from(chunks).div_ceil(FRAME_CHUNKS);
    let body =
        datamon::pack::format::HEADER as u64 + u64::from(chunks) * CHUNK + frames * FRAME_HEADER as u64;
    let footer = frames * 12 + u64::from(chunks) * 36 + 64;
    PackInfo { kind: PackKind::Data, size: body + footer, footer: footer as u32 }
}
