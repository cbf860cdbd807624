//! Copies: places that hold the same objects under the same names (`ops/mirror`), asked for what the store itself does not give.
//!
//! Only who reads has them: what is written relies on nothing but the store. A pack has one content wherever it lies, and is checked
//! when it is read. The log of a copy may be behind, so it is asked for only while the store does not answer at all; that the store has
//! no such entry is an answer. A store that was silent once, with all patience, is not waited for again by the same process.

use std::sync::{Mutex, OnceLock};

use super::backend::{Backend, BackendError, Create, Failure, Listed};
use super::payload::Payload;
use super::settings::Settings;
use super::url::StoreUrl;
use super::{Store, StoreError, key};

/// What a copy gave in place of its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instead {
    /// What the store did not give, and why.
    pub why: String,
    /// Where the copy is.
    pub copy: String,
}

/// The first time in this process: one line is enough to tell.
static INSTEAD: OnceLock<Instead> = OnceLock::new();

/// What a copy gave first in place of a store, if this process read from any.
pub fn instead() -> Option<&'static Instead> {
    INSTEAD.get()
}

/// A place with the same objects, opened when it is needed.
#[derive(Debug)]
struct Copy {
    url: StoreUrl,
    settings: Settings,
    store: OnceLock<Option<Store>>,
}

/// The copies of a store, in the order in which they are asked.
#[derive(Debug, Default)]
pub(super) struct Copies {
    all: Vec<Copy>,
    /// The user named them, and is told when they are needed. Those of a simulation are nobody's.
    named: bool,
    /// Why the store itself is not asked any more.
    silent: Mutex<Option<BackendError>>,
}

impl Copies {
    pub(super) fn new(places: Vec<(StoreUrl, Settings)>) -> Copies {
        let copy = |(url, settings)| Copy { url, settings, store: OnceLock::new() };
        Copies { all: places.into_iter().map(copy).collect(), named: true, silent: Mutex::default() }
    }

    /// Places that are open.
    pub(super) fn opened(stores: Vec<Store>) -> Copies {
        let copy = |store: Store| Copy {
            url: store.url().clone(),
            settings: Settings::default(),
            store: OnceLock::from(Some(store)),
        };
        Copies { all: stores.into_iter().map(copy).collect(), named: false, silent: Mutex::default() }
    }

    /// One of them gave what the store did not, for this reason.
    pub(super) fn told(&self, copy: &Store, why: impl FnOnce() -> String) {
        if self.named {
            INSTEAD.get_or_init(|| Instead { why: why(), copy: copy.url().to_string() });
        }
    }

    /// Those that are there. One that is not is passed over, and one that became a store: its log is another one by now.
    pub(super) fn stores(&self) -> impl Iterator<Item = &Store> {
        let open = |copy: &Copy| {
            let place = Store::open_with(&copy.url, &copy.settings).ok()?;
            (!matches!(place.size(key::STORE), Ok(Some(_)))).then_some(place)
        };
        self.all.iter().filter_map(move |copy| copy.store.get_or_init(|| open(copy)).as_ref())
    }

    /// Why the store itself is not asked any more.
    pub(super) fn silence(&self) -> Option<BackendError> {
        self.silent.lock().expect("no holder of this lock panics").clone()
    }

    /// The answer of the store, after all tries: one that nobody reached is not asked again. An object that cannot be read says nothing of
    /// others.
    pub(super) fn heard<T>(&self, answer: &Result<T, BackendError>) {
        if let Err(error) = answer
            && error.failure == Failure::Unreachable
        {
            *self.silent.lock().expect("no holder of this lock panics") = Some(error.clone());
        }
    }

    /// The answer of the store, or where it gave none or a lack (of which `lack` says what) the first one of a copy.
    pub(super) fn or<T>(
        &self,
        own: Result<T, StoreError>,
        lacks: impl Fn(&T) -> bool,
        lack: impl FnOnce() -> String,
        ask: impl Fn(&Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if own.as_ref().is_ok_and(|answer| !lacks(answer)) {
            return own;
        }
        let mut answers = self.stores().filter_map(|copy| Some((copy, ask(copy).ok()?)));
        let Some((copy, answer)) = answers.find(|(_, answer)| !lacks(answer)) else { return own };
        self.told(copy, || own.err().map_or_else(lack, |error| error.to_string()));
        Ok(answer)
    }
}

/// What an object of a store is called in a copy of it: a copy is no store, so that nobody writes to it (ADR 20).
pub(super) fn name_in_copy(key: &str) -> &str {
    if key == key::STORE { key::MIRROR } else { key }
}

/// A store that cannot even be opened, of which there are copies.
#[derive(Debug)]
pub(super) struct Silent(pub BackendError);

impl Silent {
    pub(super) fn of(error: &StoreError) -> Silent {
        Silent(BackendError { failure: Failure::Unreachable, message: error.to_string() })
    }
}

impl Backend for Silent {
    fn get(&self, _: &str, _: Option<std::ops::Range<u64>>) -> Result<Option<bytes::Bytes>, BackendError> {
        Err(self.0.clone())
    }

    fn size(&self, _: &str) -> Result<Option<u64>, BackendError> {
        Err(self.0.clone())
    }

    fn create(&self, _: &str, _: Payload) -> Result<Create, BackendError> {
        Err(self.0.clone())
    }

    fn overwrite(&self, _: &str, _: Payload) -> Result<(), BackendError> {
        Err(self.0.clone())
    }

    fn list(&self, _: &str, _: &str) -> Result<Vec<Listed>, BackendError> {
        Err(self.0.clone())
    }

    fn modified(&self, _: &str) -> Result<Option<u64>, BackendError> {
        Err(self.0.clone())
    }

    fn delete(&self, _: &str) -> Result<(), BackendError> {
        Err(self.0.clone())
    }
}
