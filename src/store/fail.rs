//! A backend that fails on purpose: at the k-th request, in a chosen way. Durability is tested by failing everywhere.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use bytes::Bytes;

use super::backend::{Backend, BackendError, Create, Failure, Listed};
use super::payload::Payload;

/// How the request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens; an error is answered.
    Before,
    /// The request takes effect; an error is answered.
    After,
    /// The request takes effect and the answer is lost, as is every later one: the process is as good as dead.
    Dead,
    /// A write leaves nothing (writes are atomic) and a read gives half of the bytes.
    Torn,
    /// A create takes effect and is answered with "exists"; other requests are served.
    LostAnswer,
    /// A create has no effect and is answered with "exists", as S3's 409 through object_store; other requests are served.
    FalseExists,
}

/// A backend in front of another.
#[derive(Debug)]
pub struct Failing {
    inner: Arc<dyn Backend>,
    fault: Fault,
    at: u64,
    served: AtomicU64,
    hits: AtomicU64,
}

impl Failing {
    /// Serve `at` requests of `inner`, then fail the next as `fault` says, then serve again (but [`Fault::Dead`] stays dead).
    pub fn new(inner: Arc<dyn Backend>, fault: Fault, at: u64) -> Self {
        Failing { inner, fault, at, served: AtomicU64::new(0), hits: AtomicU64::new(0) }
    }

    /// How many requests were answered otherwise than `inner` would have: a fault that never hits tests nothing.
    pub fn hits(&self) -> u64 {
        self.hits.load(SeqCst)
    }

    /// How many requests came.
    pub fn served(&self) -> u64 {
        self.served.load(SeqCst)
    }

    fn now(&self) -> Option<Fault> {
        let n = self.served.fetch_add(1, SeqCst);
        let hit = n == self.at || (self.fault == Fault::Dead && n > self.at);
        hit.then_some(if n > self.at { Fault::Before } else { self.fault })
    }

    fn hit<T>(&self, answer: T) -> T {
        self.hits.fetch_add(1, SeqCst);
        answer
    }

    fn call<T>(&self, call: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
        match self.now() {
            None => call(),
            Some(Fault::LostAnswer | Fault::FalseExists) => call(),
            Some(Fault::Before | Fault::Torn) => self.hit(Err(injected())),
            Some(Fault::After | Fault::Dead) => self.hit(call().and_then(|_| Err(injected()))),
        }
    }
}

fn injected() -> BackendError {
    BackendError { failure: Failure::Other, message: "failed on purpose".to_owned() }
}

impl Backend for Failing {
    fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, BackendError> {
        match self.now() {
            None | Some(Fault::LostAnswer | Fault::FalseExists) => self.inner.get(key, range),
            Some(Fault::Torn) => {
                let half = |bytes: Bytes| self.hit(bytes.slice(..bytes.len() / 2));
                Ok(self.inner.get(key, range)?.map(half))
            }
            Some(_) => self.hit(Err(injected())),
        }
    }

    fn size(&self, key: &str) -> Result<Option<u64>, BackendError> {
        self.call(|| self.inner.size(key))
    }

    fn create(&self, key: &str, bytes: Payload) -> Result<Create, BackendError> {
        match self.now() {
            None => self.inner.create(key, bytes),
            Some(Fault::Before | Fault::Torn) => self.hit(Err(injected())),
            Some(Fault::After | Fault::Dead) => {
                self.hit(self.inner.create(key, bytes).and_then(|_| Err(injected())))
            }
            Some(Fault::FalseExists) => self.hit(Ok(Create::Exists)),
            Some(Fault::LostAnswer) => self.hit(self.inner.create(key, bytes).map(|_| Create::Exists)),
        }
    }

    fn overwrite(&self, key: &str, bytes: Payload) -> Result<(), BackendError> {
        self.call(|| self.inner.overwrite(key, bytes))
    }

    fn list(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, BackendError> {
        self.call(|| self.inner.list(prefix, after))
    }

    fn list_first(&self, prefix: &str, after: &str) -> Result<Option<Vec<Listed>>, BackendError> {
        self.call(|| self.inner.list_first(prefix, after))
    }

    fn modified(&self, key: &str) -> Result<Option<u64>, BackendError> {
        self.call(|| self.inner.modified(key))
    }

    fn delete(&self, key: &str) -> Result<(), BackendError> {
        self.call(|| self.inner.delete(key))
    }
}
