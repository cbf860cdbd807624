//! The store of a simulation: objects in memory, a clock that goes as it likes, and a watch over what nobody may do to a store.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::store::{Backend, BackendError, Create, Listed, Payload, key};

/// Objects that one request of a listing gives.
const PAGE: usize = 1000;
/// Where the clock of the store begins, milliseconds since 1970.
const BEGIN: u64 = 1_750_000_000_000;
/// How long a request takes by that clock, milliseconds.
const TICK: u64 = 1000;

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    modified: u64,
}

/// A create that will land, whoever waits for it or not.
#[derive(Debug, Clone)]
struct Late {
    due: u64,
    key: String,
    bytes: Bytes,
}

#[derive(Debug, Clone)]
struct Content {
    objects: BTreeMap<String, Object>,
    clock: u64,
    /// Requests so far.
    count: u64,
    late: Vec<Late>,
    /// What was there once: no program writes those names again, but for who did not hear that it had.
    gone: BTreeMap<String, Bytes>,
    /// Creates that took effect, as nobody heard: they are tried again with the same bytes (R16).
    unheard: BTreeSet<String>,
    /// What was damaged here, as it was.
    damaged: BTreeMap<String, Bytes>,
    /// What strangers put here.
    foreign: BTreeMap<String, Bytes>,
    /// What the hint said before.
    old_hint: Option<Bytes>,
    wrong: Vec<String>,
}

/// A store in memory.
#[derive(Debug)]
pub struct Bucket(Mutex<Content>);

impl Default for Bucket {
    fn default() -> Self {
        Bucket(Mutex::new(Content {
            objects: BTreeMap::new(),
            clock: BEGIN,
            count: 0,
            late: vec![],
            gone: BTreeMap::new(),
            unheard: BTreeSet::new(),
            damaged: BTreeMap::new(),
            foreign: BTreeMap::new(),
            old_hint: None,
            wrong: vec![],
        }))
    }
}

impl Bucket {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another store with the same objects.
    pub fn twin(&self) -> Bucket {
        Bucket(Mutex::new(self.content().clone()))
    }

    /// Every object.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.content().objects.iter().map(|(key, it)| (key.clone(), it.bytes.clone())).collect()
    }

    /// Whether there is this one.
    pub fn has(&self, key: &str) -> bool {
        self.content().objects.contains_key(key)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.content().objects.is_empty()
    }

    /// What the clock of the store says, milliseconds since 1970.
    pub fn clock(&self) -> u64 {
        self.content().clock
    }

    /// From now on the clock is so much off, milliseconds.
    pub fn jump(&self, by: i64) {
        let mut content = self.content();
        content.clock = content.clock.saturating_add_signed(by);
    }

    /// This create lands after so many other requests.
    pub fn delay(&self, key: &str, bytes: Bytes, requests: u64) {
        let mut content = self.content();
        let due = content.count + requests;
        content.unheard.insert(key.to_owned());
        content.late.push(Late { due, key: key.to_owned(), bytes });
    }

    /// Who asked for this object to be created does not know whether it was.
    pub fn unheard(&self, key: &str) {
        self.content().unheard.insert(key.to_owned());
    }

    /// Somebody else's object.
    pub fn plant(&self, key: &str, bytes: Bytes) {
        let mut content = self.content();
        let modified = content.clock;
        content.foreign.insert(key.to_owned(), bytes.clone());
        content.objects.insert(key.to_owned(), Object { bytes, modified });
    }

    /// Another bit in the middle of an object that is there.
    pub fn flip(&self, key: &str) {
        let mut content = self.content();
        if let Some(object) = content.objects.get_mut(key) {
            let whole = object.bytes.clone();
            let mut bytes = whole.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            object.bytes = bytes.into();
            content.damaged.insert(key.to_owned(), whole);
        }
    }

    /// What the hint said before it was written last.
    pub fn old_hint(&self) -> Option<Bytes> {
        self.content().old_hint.clone()
    }

    /// Everything that is under way has landed, and the clock is past all it ever said: what lies in the future is young for ever.
    pub fn settle(&self) {
        let mut content = self.content();
        content.count = u64::MAX / 2;
        content.land();
        let newest = content.objects.values().map(|it| it.modified).max();
        content.clock = content.clock.max(newest.unwrap_or(0));
    }

    /// What was done that nobody may do to a store, and what strangers miss.
    pub fn wrong(&self) -> Vec<String> {
        let content = self.content();
        let kept = |(key, bytes): (&String, &Bytes)| {
            let there = content.objects.get(key).map(|it| &it.bytes) == Some(bytes);
            (!there).then(|| format!("somebody else's object {key} was changed"))
        };
        content.wrong.iter().cloned().chain(content.foreign.iter().filter_map(kept)).collect()
    }
}

impl Content {
    fn tick(&mut self) {
        self.count += 1;
        self.clock = self.clock.saturating_add(TICK);
        self.land();
    }

    fn land(&mut self) {
        let count = self.count;
        for late in self.late.extract_if(.., |late| late.due <= count).collect::<Vec<_>>() {
            let modified = self.clock;
            self.objects.entry(late.key).or_insert(Object { bytes: late.bytes, modified });
        }
    }

    fn write(&mut self, key: &str, bytes: Bytes) {
        let modified = self.clock;
        self.objects.insert(key.to_owned(), Object { bytes, modified });
    }

    /// An object as it was written.
    fn had(&self, key: &str) -> Option<Bytes> {
        self.damaged.get(key).cloned().or_else(|| self.objects.get(key).map(|it| it.bytes.clone()))
    }

    fn listed(&self, prefix: &str, after: &str, most: usize) -> Vec<Listed> {
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let below = self.objects.range::<str, _>((from, Bound::Unbounded));
        let below = below.take_while(|(key, _)| key.starts_with(prefix)).take(most);
        let listed = |(key, it): (&String, &Object)| Listed {
            key: key.clone(),
            size: it.bytes.len() as u64,
            modified: it.modified,
        };
        below.map(listed).collect()
    }
}

impl Backend for Bucket {
    fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, BackendError> {
        let mut content = self.content();
        content.tick();
        let Some(object) = content.objects.get(key) else { return Ok(None) };
        let length = object.bytes.len();
        let within = |at: u64| usize::try_from(at).unwrap_or(length).min(length);
        Ok(Some(match range {
            Some(range) => {
                object.bytes.slice(within(range.start)..within(range.end).max(within(range.start)))
            }
            None => object.bytes.clone(),
        }))
    }

    fn size(&self, key: &str) -> Result<Option<u64>, BackendError> {
        let mut content = self.content();
        content.tick();
        Ok(content.objects.get(key).map(|it| it.bytes.len() as u64))
    }

    fn create(&self, key: &str, bytes: Payload) -> Result<Create, BackendError> {
        let mut content = self.content();
        content.tick();
        if content.objects.contains_key(key) {
            return Ok(Create::Exists);
        }
        let bytes = bytes.to_bytes();
        // What was deleted as garbage before its maker tried again is garbage again: R8 refuses who would name it. Of a mirror who
        // copies beside others may be late.
        let may_be_late = content.unheard.remove(key) || content.objects.contains_key(key::MIRROR);
        match content.gone.get(key) {
            Some(had) if *had != bytes && !key.starts_with(key::PROBE) => {
                content.wrong.push(format!("{key} was made again with other bytes"));
            }
            Some(_) if !may_be_late && !key.starts_with(key::PROBE) => {
                content.wrong.push(format!("{key} was made again after it had been deleted"));
            }
            _ => {}
        }
        content.write(key, bytes);
        Ok(Create::Created)
    }

    fn overwrite(&self, key: &str, bytes: Payload) -> Result<(), BackendError> {
        let mut content = self.content();
        content.tick();
        let bytes = bytes.to_bytes();
        match key {
            key::HEAD => content.old_hint = content.objects.get(key).map(|it| it.bytes.clone()),
            _ if key.starts_with(key::PROBE) => {}
            // What was found damaged, if only on its way, gets the bytes that it had.
            _ if content.objects.contains_key(key::MIRROR)
                && content.had(key).is_none_or(|had| had == bytes) => {}
            _ => content.wrong.push(format!("{key} was written over")),
        }
        content.write(key, bytes);
        Ok(())
    }

    fn list(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, BackendError> {
        let mut content = self.content();
        content.tick();
        Ok(content.listed(prefix, after, usize::MAX))
    }

    fn list_first(&self, prefix: &str, after: &str) -> Result<Option<Vec<Listed>>, BackendError> {
        let mut content = self.content();
        content.tick();
        Ok(Some(content.listed(prefix, after, PAGE)))
    }

    fn modified(&self, key: &str) -> Result<Option<u64>, BackendError> {
        let mut content = self.content();
        content.tick();
        Ok(content.objects.get(key).map(|it| it.modified))
    }

    fn delete(&self, key: &str) -> Result<(), BackendError> {
        let mut content = self.content();
        content.tick();
        let mut may_go = vec![key::PROBE, key::DATA, key::META, key::READS, key::LACKING];
        // A mirror that is a store by now.
        may_go.extend(content.objects.contains_key(key::STORE).then_some(key::MIRROR));
        if !may_go.iter().any(|folder| key.starts_with(folder)) {
            content.wrong.push(format!("{key} was deleted"));
        }
        if let Some(object) = content.objects.remove(key) {
            let bytes = content.damaged.get(key).cloned().unwrap_or(object.bytes);
            content.gone.insert(key.to_owned(), bytes);
        }
        Ok(())
    }
}
