//! A backend around another one: what a test wants to happen beside a request, or instead of it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datamon::store::{Backend, BackendError, Create, Listed, Payload};

/// What is asked of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Size,
    Create,
    Overwrite,
    List,
    Modified,
    Delete,
}

type Before = dyn Fn(Verb, &str) -> Result<(), BackendError> + Send + Sync;
type Lists = dyn Fn(Vec<Listed>) -> Vec<Listed> + Send + Sync;
type Reads = dyn Fn(&str, Option<Range<u64>>) + Send + Sync;
type Clock = dyn Fn(u64) -> u64 + Send + Sync;

/// Hands every request on to another backend.
pub struct Around {
    inner: Arc<dyn Backend>,
    before: Box<Before>,
    lists: Box<Lists>,
    clock: Box<Clock>,
    reads: Box<Reads>,
}

impl Around {
    /// Nothing happens beside the requests.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        let before = Box::new(|_: Verb, _: &str| Ok(()));
        let reads = Box::new(|_: &str, _: Option<Range<u64>>| ());
        Around { inner, before, lists: Box::new(|listed| listed), clock: Box::new(|time| time), reads }
    }

    /// This happens before each request; its error is the answer, and nothing is handed on.
    pub fn before(
        self,
        before: impl Fn(Verb, &str) -> Result<(), BackendError> + Send + Sync + 'static,
    ) -> Self {
        Around { before: Box::new(before), ..self }
    }

    /// This is made of each listing.
    pub fn lists(self, lists: impl Fn(Vec<Listed>) -> Vec<Listed> + Send + Sync + 'static) -> Self {
        Around { lists: Box::new(lists), ..self }
    }

    /// This is what the clock of the store says instead.
    pub fn clock(self, clock: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Self {
        Around { clock: Box::new(clock), ..self }
    }

    /// This is told of each read: the object, and the range of it.
    pub fn reads(self, reads: impl Fn(&str, Option<Range<u64>>) + Send + Sync + 'static) -> Self {
        Around { reads: Box::new(reads), ..self }
    }

    /// As the backend of a store.
    pub fn shared(self) -> Arc<dyn Backend> {
        Arc::new(self)
    }
}

impl fmt::Debug for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "around {:?}", self.inner)
    }
}

impl Backend for Around {
    fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, BackendError> {
        (self.before)(Verb::Get, key)?;
        (self.reads)(key, range.clone());
        self.inner.get(key, range)
    }
    fn size(&self, key: &str) -> Result<Option<u64>, BackendError> {
        (self.before)(Verb::Size, key)?;
        self.inner.size(key)
    }
    fn create(&self, key: &str, bytes: Payload) -> Result<Create, BackendError> {
        (self.before)(Verb::Create, key)?;
        self.inner.create(key, bytes)
    }
    fn overwrite(&self, key: &str, bytes: Payload) -> Result<(), BackendError> {
        (self.before)(Verb::Overwrite, key)?;
        self.inner.overwrite(key, bytes)
    }
    fn list(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, BackendError> {
        (self.before)(Verb::List, prefix)?;
        let mut listed = (self.lists)(self.inner.list(prefix, after)?);
        listed.iter_mut().for_each(|it| it.modified = (self.clock)(it.modified));
        Ok(listed)
    }
    fn modified(&self, key: &str) -> Result<Option<u64>, BackendError> {
        (self.before)(Verb::Modified, key)?;
        self.inner.modified(key).map(|found| found.map(&self.clock))
    }
    fn delete(&self, key: &str) -> Result<(), BackendError> {
        (self.before)(Verb::Delete, key)?;
        self.inner.delete(key)
    }
}
