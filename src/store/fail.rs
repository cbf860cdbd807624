//! A backend that fails on purpose: whoever plans it is asked about each request, and says how it goes.
//!
//! This is the one seam between the product and the weather. Durability is tested by failing at the k-th request, for every k
//! ([`Failing::new`]), and by whole simulations in which a seed decides ([`Plan`]).

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use bytes::Bytes;

use super::backend::{Backend, BackendError, Create, Failure, Listed};
use super::payload::Payload;

/// What is asked of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// An object or a part of it.
    Get,
    /// The size of an object.
    Size,
    /// To write an object unless one is there.
    Create,
    /// To write an object.
    Overwrite,
    /// A listing.
    List,
    /// When an object was written.
    Modified,
    /// To remove an object.
    Delete,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// What is asked.
    pub verb: Verb,
    /// Of which object; of a listing its prefix.
    pub key: &'a str,
    /// Which bytes of it.
    pub range: Option<Range<u64>>,
    /// What is to be written.
    pub payload: Option<&'a Payload>,
}

/// How a request fails. One that a verb knows nothing of leaves the request as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing happens; an error is answered.
    Before,
    /// Nothing happens; an error of this kind is answered.
    Refused(Failure),
    /// The request takes effect; an error is answered.
    After,
    /// The request takes effect and the answer is lost, as is every later one: the process is as good as dead.
    Dead,
    /// A write leaves nothing (writes are atomic) and a read gives half of the bytes.
    Torn,
    /// A read gives bytes of which one bit, chosen by the number, is another.
    Flipped(u64),
    /// A read of a part gives as many bytes of another place.
    Elsewhere,
    /// A read gives what was there before the object was written over ([`Plan::former`]).
    Former,
    /// A create takes effect and is answered with "exists"; other requests are served.
    LostAnswer,
    /// A create has no effect and is answered with "exists", as S3's 409 through object_store; other requests are served.
    FalseExists,
    /// The request reaches the store twice, and the second answer comes back.
    Twice,
    /// A create erases what is there, as where create-only is ignored.
    Erases,
    /// A delete is answered as if it were done, and is not.
    Kept,
    /// A listing lacks every object whose number in it leaves this rest when divided by three.
    Lacks(u8),
    /// A listing lacks what was written last, a third of it.
    Stale,
    /// A listing has each object twice, the last first.
    Repeated,
}

/// Whoever decides how requests go.
pub trait Plan: Send + Sync + Debug {
    /// How this one goes: as it should, where there is none. Called before anything is done; it may take its time.
    fn fate(&self, request: &Request<'_>) -> Option<Fault>;

    /// What an object was before it was written over, for those who remember it.
    fn former(&self, _key: &str) -> Option<Bytes> {
        None
    }

    /// It failed so: not called where a fault made no difference.
    fn hit(&self, _request: &Request<'_>, _fault: Fault) {}

    /// The store has done with the request, whatever is answered.
    fn done(&self, _request: &Request<'_>) {}
}

/// A plan: the request number `at` fails.
#[derive(Debug)]
struct Once {
    fault: Fault,
    at: u64,
    came: AtomicU64,
}

impl Plan for Once {
    fn fate(&self, _: &Request<'_>) -> Option<Fault> {
        let n = self.came.fetch_add(1, SeqCst);
        let hit = n == self.at || (self.fault == Fault::Dead && n > self.at);
        hit.then_some(if n > self.at { Fault::Before } else { self.fault })
    }
}

/// A backend in front of another.
#[derive(Debug)]
pub struct Failing {
    inner: Arc<dyn Backend>,
    plan: Arc<dyn Plan>,
    served: AtomicU64,
    hits: AtomicU64,
}

type Answer<T> = Result<T, BackendError>;

impl Failing {
    /// Serve `at` requests of `inner`, then fail the next as `fault` says, then serve again (but [`Fault::Dead`] stays dead).
    pub fn new(inner: Arc<dyn Backend>, fault: Fault, at: u64) -> Self {
        Failing::planned(inner, Arc::new(Once { fault, at, came: AtomicU64::new(0) }))
    }

    /// Each request goes as the plan says.
    pub fn planned(inner: Arc<dyn Backend>, plan: Arc<dyn Plan>) -> Self {
        Failing { inner, plan, served: AtomicU64::new(0), hits: AtomicU64::new(0) }
    }

    /// How many requests were answered otherwise than `inner` would have: a fault that never hits tests nothing.
    pub fn hits(&self) -> u64 {
        self.hits.load(SeqCst)
    }

    /// How many requests came.
    pub fn served(&self) -> u64 {
        self.served.load(SeqCst)
    }

    /// The answer of a request; `twist` is what becomes of it under faults that only its verb knows.
    fn ask<T>(
        &self,
        request: &Request<'_>,
        serve: impl Fn() -> Answer<T>,
        twist: impl FnOnce(Fault) -> Option<Answer<T>>,
    ) -> Answer<T> {
        self.served.fetch_add(1, SeqCst);
        let fate = self.plan.fate(request);
        let failed = match fate {
            None => None,
            Some(Fault::Before) => Some(Err(injected(Failure::Other))),
            Some(Fault::Refused(failure)) => Some(Err(injected(failure))),
            Some(Fault::After | Fault::Dead) => Some(serve().and_then(|_| Err(injected(Failure::Other)))),
            Some(Fault::Twice) => Some(serve().and_then(|_| serve())),
            Some(other) => twist(other),
        };
        let answer = match (fate, failed) {
            (Some(fault), Some(answer)) => {
                self.hits.fetch_add(1, SeqCst);
                self.plan.hit(request, fault);
                answer
            }
            _ => serve(),
        };
        self.plan.done(request);
        answer
    }

    fn body(
        &self,
        fault: Fault,
        key: &str,
        range: Option<Range<u64>>,
        bytes: Bytes,
    ) -> Option<Answer<Option<Bytes>>> {
        match fault {
            Fault::Torn if !bytes.is_empty() => Some(Ok(Some(bytes.slice(..bytes.len() / 2)))),
            Fault::Flipped(bit) if !bytes.is_empty() => {
                let mut flipped = bytes.to_vec();
                let at = bit as usize % (8 * flipped.len());
                flipped[at / 8] ^= 1 << (at % 8);
                Some(Ok(Some(flipped.into())))
            }
            Fault::Former => self.plan.former(key).map(|former| Ok(Some(former))),
            Fault::Elsewhere => {
                let range = range.filter(|range| range.start > 0)?;
                let before = range.start - 1..range.end - 1;
                Some(self.inner.get(key, Some(before)))
            }
            _ => None,
        }
    }
}

fn injected(failure: Failure) -> BackendError {
    BackendError { failure, message: "failed on purpose".to_owned() }
}

fn of_object(verb: Verb, key: &str) -> Request<'_> {
    Request { verb, key, range: None, payload: None }
}

/// A fault of writes and answers that have no body to tear.
fn torn<T>(fault: Fault) -> Option<Answer<T>> {
    (fault == Fault::Torn).then(|| Err(injected(Failure::Other)))
}

fn meddled(fault: Fault, mut listed: Vec<Listed>) -> Option<Vec<Listed>> {
    match fault {
        Fault::Lacks(rest) if !listed.is_empty() => {
            let mut at = 0_u8;
            listed.retain(|_| {
                at = (at + 1) % 3;
                at != rest % 3
            });
            Some(listed)
        }
        Fault::Stale if !listed.is_empty() => {
            let mut dates: Vec<u64> = listed.iter().map(|it| it.modified).collect();
            dates.sort_unstable();
            let until = dates[dates.len() * 2 / 3];
            listed.retain(|it| it.modified < until);
            Some(listed)
        }
        Fault::Repeated if !listed.is_empty() => {
            listed.extend(listed.clone());
            listed.reverse();
            Some(listed)
        }
        _ => None,
    }
}

impl Backend for Failing {
    fn get(&self, key: &str, range: Option<Range<u64>>) -> Answer<Option<Bytes>> {
        let request = Request { range: range.clone(), ..of_object(Verb::Get, key) };
        let serve = || self.inner.get(key, range.clone());
        self.ask(&request, serve, |fault| match serve() {
            Ok(Some(bytes)) => self.body(fault, key, range.clone(), bytes),
            _ => None,
        })
    }

    fn size(&self, key: &str) -> Answer<Option<u64>> {
        self.ask(&of_object(Verb::Size, key), || self.inner.size(key), torn)
    }

    fn create(&self, key: &str, bytes: Payload) -> Answer<Create> {
        let request = Request { payload: Some(&bytes), ..of_object(Verb::Create, key) };
        let serve = || self.inner.create(key, bytes.clone());
        self.ask(&request, serve, |fault| match fault {
            Fault::FalseExists => Some(Ok(Create::Exists)),
            Fault::LostAnswer => Some(serve().map(|_| Create::Exists)),
            Fault::Erases => Some(self.inner.overwrite(key, bytes.clone()).map(|()| Create::Created)),
            other => torn(other),
        })
    }

    fn overwrite(&self, key: &str, bytes: Payload) -> Answer<()> {
        let request = Request { payload: Some(&bytes), ..of_object(Verb::Overwrite, key) };
        self.ask(&request, || self.inner.overwrite(key, bytes.clone()), torn)
    }

    fn list(&self, prefix: &str, after: &str) -> Answer<Vec<Listed>> {
        let serve = || self.inner.list(prefix, after);
        self.ask(&of_object(Verb::List, prefix), serve, |fault| match torn(fault) {
            None => meddled(fault, serve().ok()?).map(Ok),
            failed => failed,
        })
    }

    fn list_first(&self, prefix: &str, after: &str) -> Answer<Option<Vec<Listed>>> {
        let serve = || self.inner.list_first(prefix, after);
        self.ask(&of_object(Verb::List, prefix), serve, |fault| match torn(fault) {
            None => meddled(fault, serve().ok()??).map(|listed| Ok(Some(listed))),
            failed => failed,
        })
    }

    fn modified(&self, key: &str) -> Answer<Option<u64>> {
        self.ask(&of_object(Verb::Modified, key), || self.inner.modified(key), torn)
    }

    fn delete(&self, key: &str) -> Answer<()> {
        let kept = |fault| if fault == Fault::Kept { Some(Ok(())) } else { torn(fault) };
        self.ask(&of_object(Verb::Delete, key), || self.inner.delete(key), kept)
    }
}
