//! L1 · Bytes in an object store: key names, create-only writes, opening by URL, the probe, and the counting of requests.
//!
//! Callers use [`Store`]; a [`Backend`] is what a decorator or a test wraps.

mod backend;
mod care;
mod cloud;
mod copies;
mod count;
mod error;
pub mod fail;
mod flow;
pub mod key;
mod objects;
mod pace;
mod payload;
mod probe;
mod settings;
mod unfinished;
mod url;

use std::collections::HashMap;
use std::fs;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use crate::id::Nonce;

pub use self::url::{BadUrl, Bucket, LOCAL, Place, Provider, StoreUrl, is_same, without_password};
pub use backend::{Backend, BackendError, Create, Failure, Listed};
pub use care::{Concern, Harm, care};
use copies::{Copies, Silent, name_in_copy};
pub use copies::{Instead, instead};
pub use count::{Counts, Requests};
pub use error::StoreError;
pub use flow::{Flow, Lane};
use objects::Objects;
use pace::Pace;
pub use payload::Payload;
pub use settings::{BadSetting, CACHE, CACHE_SIZE, Settings, size};
pub use unfinished::Unfinished;

/// One root in an object store.
#[derive(Debug, Clone)]
pub struct Store {
    url: StoreUrl,
    backend: Arc<dyn Backend>,
    requests: Arc<Requests>,
    pace: Arc<Pace>,
    up: Arc<Flow>,
    down: Arc<Flow>,
    copies: Option<Arc<Copies>>,
}

/// Bytes that one fetch reads from a bucket before they are wanted: what hides the distance.
const AHEAD: u64 = 32 << 20;

/// Memory stores live as long as the process and are found by name.
static MEMORY: LazyLock<Mutex<HashMap<String, Arc<Objects>>>> = LazyLock::new(Mutex::default);

impl Store {
    /// The store at `url`, about which the user says nothing else.
    pub fn open(url: &StoreUrl) -> Result<Store, StoreError> {
        Store::open_with(url, &Settings::default())
    }

    /// The store at `url`. Only looks whether the place is there: no object is read.
    pub fn open_with(url: &StoreUrl, settings: &Settings) -> Result<Store, StoreError> {
        let backend: Arc<dyn Backend> = match url.place() {
            Place::Directory(path) => Arc::new(directory(url, path)?),
            Place::Memory(name) => {
                let mut stores = MEMORY.lock().expect("no holder of this lock panics");
                stores.entry(name.clone()).or_insert_with(in_memory).clone()
            }
            Place::Bucket(bucket) => Arc::new(cloud::open(bucket, settings).map_err(|source| {
                let (key, url) = (format!("the bucket {}", bucket.name), url.to_string());
                StoreError::Request { verb: "use", key, url, source }
            })?),
        };
        Ok(Store::over(url.clone(), backend))
    }

    /// The store at `url` for who only reads: what it does not give, its copies are asked for, and all if it is not there.
    pub fn open_to_read(url: &StoreUrl, settings: &Settings) -> Result<Store, StoreError> {
        let opened = Store::open_with(url, settings);
        if settings.mirrors.is_empty() {
            return opened;
        }
        let copies = Copies::new(settings.mirrors.clone());
        let store = opened.unwrap_or_else(|error| {
            let silent = Silent::of(&error);
            copies.heard(&Err::<(), _>(silent.0.clone()));
            Store::over(url.clone(), Arc::new(silent))
        });
        Ok(Store { copies: Some(Arc::new(copies)), ..store })
    }

    /// The same store for who only reads, with these copies of it: for tests and simulations, whose places no URL names, so
    /// that no user is told of them.
    pub fn with_copies(self, copies: Vec<Store>) -> Store {
        Store { copies: Some(Arc::new(Copies::opened(copies))), ..self }
    }

    /// The same store without its copies.
    pub fn alone(&self) -> Store {
        Store { copies: None, ..self.clone() }
    }

    /// The places with the same objects, as far as they are there.
    pub fn copies(&self) -> impl Iterator<Item = &Store> {
        self.copies.iter().flat_map(|copies| copies.stores())
    }

    /// A copy gave what the store did not, for this reason.
    pub fn took_from(&self, copy: &Store, why: &dyn std::fmt::Display) {
        if let Some(copies) = &self.copies {
            copies.told(copy, || why.to_string());
        }
    }

    /// Why only copies of the store are read by now.
    pub fn silence(&self) -> Option<String> {
        self.copies.as_ref()?.silence().map(|error| error.to_string())
    }

    /// The store at `url`, its directory made first where it is missing; a bucket is made by its owner.
    pub fn create_place(url: &StoreUrl, settings: &Settings) -> Result<Store, StoreError> {
        if let Place::Directory(path) = url.place() {
            fs::create_dir_all(path).map_err(|e| {
                let failure = match e.kind() {
                    std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                        Failure::Denied
                    }
                    std::io::ErrorKind::StorageFull => Failure::Full,
                    std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists => {
                        Failure::Unsupported
                    }
                    _ => Failure::Other,
                };
                let source = BackendError { failure, message: e.to_string() };
                match path.metadata() {
                    Ok(meta) if !meta.is_dir() => StoreError::NotADirectory { url: url.to_string() },
                    _ => StoreError::Request {
                        verb: "make",
                        key: "its directory".into(),
                        url: url.to_string(),
                        source,
                    },
                }
            })?;
        }
        Store::open_with(url, settings)
    }

    /// A store over any backend: for decorators and tests.
    pub fn over(url: StoreUrl, backend: Arc<dyn Backend>) -> Store {
        let (up, down) = match url.place() {
            Place::Bucket(_) => (Flow::following(1, 0), Flow::following(2, AHEAD)),
            Place::Directory(_) | Place::Memory(_) => {
                let cores = thread::available_parallelism().map_or(1, NonZero::get);
                (Flow::steady(1), Flow::steady(cores))
            }
        };
        let (requests, pace) = (Arc::default(), Arc::new(Pace::patient()));
        Store { url, backend, requests, pace, up, down, copies: None }
    }

    /// The same store, which always takes packs of so many bytes: for tests, whose links are not to be measured.
    pub fn with_packs_of(self, bytes: u64) -> Store {
        Store { up: Flow::steady_with_packs(1, bytes), ..self }
    }

    /// How packs are written.
    pub fn up(&self) -> &Arc<Flow> {
        &self.up
    }

    /// How packs are read.
    pub fn down(&self) -> &Arc<Flow> {
        &self.down
    }

    /// The same store, tried again at once after a failure: for tests, whose failures do not pass with time.
    pub fn without_waits(self) -> Store {
        Store { pace: Arc::new(Pace::hasty()), ..self }
    }

    /// What answers the requests: for decorators.
    pub fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    /// Where the store lies.
    pub fn url(&self) -> &StoreUrl {
        &self.url
    }

    /// Requests made through this store and its clones so far.
    pub fn requests(&self) -> Counts {
        self.requests.now()
    }

    /// How many of them were made again, also while that goes on.
    pub fn retries(&self) -> Arc<AtomicU64> {
        self.requests.all_again()
    }

    /// The object, `None` if there is none.
    pub fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let lacks = |found: &Option<Bytes>| found.is_none() && key::pack_id(key).is_some();
        self.or_copies(key, self.get_own(key), lacks, |copy| copy.get(name_in_copy(key)))
    }

    fn get_own(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.requests.get();
        let answer = self.retry("read", key, || self.backend.get(key, None))?;
        self.requests.read(answer.as_ref().map_or(0, |bytes| bytes.len()));
        Ok(answer)
    }

    /// Exactly the bytes in `range` of an object that must be there.
    pub fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let own = self.get_own_range(key, range.clone());
        self.or_copies(key, own, |_| false, |copy| copy.get_range(key, range.clone()))
    }

    fn get_own_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.requests.get();
        let wanted = range.end.saturating_sub(range.start);
        let answer = self.retry("read", key, || self.backend.get(key, Some(range.clone())))?;
        let bytes =
            answer.ok_or_else(|| StoreError::Missing { url: self.url.to_string(), key: key.to_owned() })?;
        let got = bytes.len() as u64;
        self.requests.read(bytes.len());
        if got == wanted { Ok(bytes) } else { Err(self.short(key, wanted, got)) }
    }

    /// Size of the object in bytes, `None` if there is none.
    pub fn size(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.requests.head();
        let own = self.retry("read", key, || self.backend.size(key));
        match key.starts_with(key::LOG) {
            true => self.or_copies(key, own, |_| false, |copy| copy.size(key)),
            false => own,
        }
    }

    /// One create-only request and its bare answer, without a second try: only for the log's slot, whose loop knows what each
    /// answer means (R5).
    pub fn create_once(&self, key: &str, bytes: Payload) -> Result<Create, StoreError> {
        self.requests.put(bytes.len());
        self.pace.once(|| self.backend.create(key, bytes)).map_err(|source| self.failed("write", key, source))
    }

    /// Create an object that others may create too; tried again where that may help, so `Exists` may mean our own: whoever wants to
    /// know reads it.
    pub fn create_shared(&self, key: &str, bytes: &Payload) -> Result<Create, StoreError> {
        self.requests.put(bytes.len());
        self.retry("write", key, || self.backend.create(key, bytes.clone()))
    }

    /// Write an object under a name nobody else uses. An unclear answer is met with the same bytes (R16); other bytes under
    /// the name are an error.
    pub fn create_own(&self, key: &str, bytes: Payload) -> Result<(), StoreError> {
        self.requests.put(bytes.len());
        match self.retry("write", key, || self.backend.create(key, bytes.clone()))? {
            Create::Created => Ok(()),
            // An earlier try of ours landed and its answer was lost, or the backend is wrong: the object decides.
            Create::Exists => match self.get(key)? {
                Some(there) if bytes == *there => Ok(()),
                Some(_) => Err(StoreError::Foreign { url: self.url.to_string(), key: key.to_owned() }),
                None => {
                    let message = "the backend says it exists and that it does not".to_owned();
                    Err(self.failed("write", key, BackendError { failure: Failure::Other, message }))
                }
            },
        }
    }

    /// Write a hint over whatever was there.
    pub fn overwrite(&self, key: &str, bytes: Payload) -> Result<(), StoreError> {
        self.requests.put(bytes.len());
        self.retry("write", key, || self.backend.overwrite(key, bytes.clone()))
    }

    /// Every object below `prefix` whose key sorts after `after`.
    pub fn list(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        self.requests.list();
        self.retry("list", prefix, || self.backend.list(prefix, after))
    }

    /// The first of them, up to a thousand; `None` where that would cost a listing of all of them.
    pub fn list_first(&self, prefix: &str, after: &str) -> Result<Option<Vec<Listed>>, StoreError> {
        let own = self.retry("list", prefix, || self.backend.list_first(prefix, after));
        if matches!(&own, Ok(Some(_))) {
            self.requests.list();
        }
        self.or_copies(prefix, own, |_| false, |copy| copy.list_first(prefix, after))
    }

    /// When the object was written by the clock of the store, milliseconds since 1970; `None` if there is none.
    pub fn modified(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.requests.head();
        self.retry("read", key, || self.backend.modified(key))
    }

    /// What the clock of the store says now, milliseconds since 1970: an object below `probe/` is made, looked at and removed.
    pub fn clock(&self) -> Result<u64, StoreError> {
        let key = format!("{}{}", key::PROBE, Nonce::new());
        self.create_own(&key, Bytes::from_static(b"what time is it").into())?;
        let now = self.modified(&key);
        self.delete(&key)?;
        // Where it is not to be seen yet, everything is young.
        now.map(|now| now.unwrap_or(0))
    }

    /// Remove an object.
    pub fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.requests.delete();
        self.retry("delete", key, || self.backend.delete(key))
    }

    fn or_copies<T>(
        &self,
        key: &str,
        own: Result<T, StoreError>,
        lacks: impl Fn(&T) -> bool,
        ask: impl Fn(&Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &self.copies {
            Some(copies) => copies.or(own, lacks, || format!("the store {} lacks {key}", self.url), ask),
            None => own,
        }
    }

    fn retry<T>(
        &self,
        verb: &'static str,
        key: &str,
        request: impl Fn() -> Result<T, BackendError>,
    ) -> Result<T, StoreError> {
        if let Some(silence) = self.copies.as_ref().and_then(|copies| copies.silence()) {
            return Err(self.failed(verb, key, silence));
        }
        let told = || {
            let answer = request();
            if matches!(&answer, Err(error) if error.failure.may_pass()) {
                if verb == "write" { self.up.refused() } else { self.down.refused() }
            }
            answer
        };
        let answer = self.pace.keep(&self.requests, told);
        if let Some(copies) = &self.copies {
            copies.heard(&answer);
        }
        answer.map_err(|source| self.failed(verb, key, source))
    }

    fn failed(&self, verb: &'static str, key: &str, source: BackendError) -> StoreError {
        StoreError::Request { verb, key: key.to_owned(), url: self.url.to_string(), source }
    }

    fn short(&self, key: &str, wanted: u64, got: u64) -> StoreError {
        StoreError::Short { url: self.url.to_string(), key: key.to_owned(), wanted, got }
    }
}

/// A backend in memory that no URL finds: it goes with whoever holds it.
pub fn memory() -> Arc<dyn Backend> {
    in_memory()
}

fn in_memory() -> Arc<Objects> {
    Arc::new(Objects::new(InMemory::new()).with_listing_after(true))
}

fn directory(url: &StoreUrl, path: &Path) -> Result<Objects, StoreError> {
    match path.metadata() {
        Ok(meta) if meta.is_dir() => {}
        // object_store opens a file as a root without a word, and fails at the first request.
        Ok(_) => return Err(StoreError::NotADirectory { url: url.to_string() }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::Absent { url: url.to_string() });
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(StoreError::NotADirectory { url: url.to_string() });
        }
        Err(e) => {
            let source = BackendError { failure: Failure::Denied, message: e.to_string() };
            return Err(StoreError::Request {
                verb: "open",
                key: "its directory".into(),
                url: url.to_string(),
                source,
            });
        }
    }
    let files = LocalFileSystem::new_with_prefix(path).map_err(|e| {
        let source = BackendError { failure: Failure::Other, message: e.to_string() };
        StoreError::Request { verb: "open", key: "its directory".into(), url: url.to_string(), source }
    })?;
    // R11: off by default in object_store; without it a power cut takes acknowledged packs.
    Ok(Objects::new(files.with_fsync(true)))
}
