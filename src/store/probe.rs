//! The probe (R17): does this backend, on this path, from this machine, keep the promises the log is built on?
//!
//! One object is created and removed below `probe/`, in nine requests. What is asked: a missing key reads as missing, not as
//! forbidden; of several creates of it at the same time one succeeds, and its bytes are there, read by a name that was missing a
//! moment ago; a later create is refused and changes nothing; a part of the object is that part. That a listing shows it at once is
//! only remarked on: nothing relies on that.

use std::thread;

use bytes::Bytes;

use super::{Create, Failure, Store, StoreError, key};
use crate::id::Nonce;

/// Who create the object at the same time. The one who comes later has the number after theirs.
const WRITERS: u8 = 3;
/// Bytes of the object: all writers together have each value of a byte once, so that a part of it tells whose and which it is.
const LENGTH: u8 = 64;
/// The part that is read alone.
const PART: std::ops::Range<usize> = 17..40;

/// A promise that is not kept, in words, inside what went wrong on the way.
type Promise<T> = Result<Result<T, String>, StoreError>;

fn bytes_of(writer: u8) -> Bytes {
    (0..LENGTH).map(|at| writer * LENGTH + at).collect()
}

impl Store {
    /// Try the backend with a few requests; an error says which promise it breaks. What is worth knowing beside it comes back.
    pub fn probe(&self) -> Result<Option<String>, StoreError> {
        let key = format!("{}{}", key::PROBE, Nonce::new());
        let broken = |why: String| StoreError::Unsafe { url: self.url().to_string(), why };
        match self.get(&key) {
            Ok(None) => {}
            Ok(Some(_)) => return Err(broken("a name never used before reads as an object".into())),
            Err(StoreError::Request { source, .. }) if source.failure == Failure::Denied => {
                return Err(broken(
                    "a missing object answers \"forbidden\", so the end of the log cannot be found: \
                     allow reading and listing"
                        .into(),
                ));
            }
            Err(error) => return Err(error),
        }
        let outcome = self.probe_object(&key);
        let remark = outcome.as_ref().is_ok_and(Result::is_ok).then(|| self.remark(&key)).flatten();
        let removed = self.delete(&key);
        outcome?.map_err(broken)?;
        removed.map(|()| remark)
    }

    fn probe_object(&self, key: &str) -> Promise<()> {
        let winner = match self.race(key)? {
            Ok(winner) => winner,
            Err(why) => return Ok(Err(why)),
        };
        if self.create_shared(key, &bytes_of(WRITERS).into())? == Create::Created {
            return Ok(
                Err("a second create of one name succeeds: two writers would erase each other".into()),
            );
        }
        let range = PART.start as u64..PART.end as u64;
        let part = match self.get_range(key, range) {
            Ok(part) => part,
            Err(StoreError::Request { source, .. }) if source.failure == Failure::Unsupported => {
                return Ok(Err(format!("a part of an object cannot be read alone ({source})")));
            }
            Err(StoreError::Short { wanted, got, .. }) => {
                return Ok(Err(format!("{got} bytes come where {wanted} of an object are asked for")));
            }
            Err(error) => return Err(error),
        };
        Ok(if part == bytes_of(winner).slice(PART) {
            Ok(())
        } else if part == bytes_of(WRITERS).slice(PART) {
            Err("a refused create changed the object".into())
        } else {
            Err("other bytes of an object come than those that are asked for".into())
        })
    }

    /// Several create the key at the same time: who did.
    fn race(&self, key: &str) -> Promise<u8> {
        let answers: Vec<_> = thread::scope(|scope| {
            let create = |writer| scope.spawn(move || self.create_shared(key, &bytes_of(writer).into()));
            let writers: Vec<_> = (0..WRITERS).map(create).collect();
            writers.into_iter().map(|it| it.join().expect("a request does not panic")).collect()
        });
        let mut created = vec![];
        for (writer, answer) in (0..WRITERS).zip(answers) {
            match answer {
                Ok(Create::Created) => created.push(writer),
                // Said of some creates that landed, and of some that did not (R5): what is there decides.
                Ok(Create::Exists) => {}
                Err(StoreError::Request { source, .. }) if source.failure == Failure::Unsupported => {
                    return Ok(Err(format!(
                        "create-only writes fail ({source}); a directory store needs a file system with hard links"
                    )));
                }
                Err(error) => return Err(error),
            }
        }
        if created.len() > 1 {
            let why = format!(
                "{} of {WRITERS} creates of one name at the same time succeed: two writers would erase each other",
                created.len()
            );
            return Ok(Err(why));
        }
        let Some(there) = self.get(key)? else {
            return match created.is_empty() {
                true => Ok(Err("a create of a new name is refused".into())),
                false => self.unseen().map(Err),
            };
        };
        let winner = (0..WRITERS).find(|writer| bytes_of(*writer) == there);
        Ok(match (winner, created.first()) {
            (Some(winner), None) => Ok(winner),
            (Some(winner), Some(created)) if winner == *created => Ok(winner),
            (Some(_), Some(_)) => Err("a create that was refused replaced the one that succeeded".into()),
            (None, _) => Err("an object just written reads as other bytes".into()),
        })
    }

    /// A name was asked for when it was missing, written, and still reads as missing: is that so of every name?
    fn unseen(&self) -> Result<String, StoreError> {
        let key = format!("{}{}", key::PROBE, Nonce::new());
        self.create_shared(&key, &bytes_of(0).into())?;
        let seen = self.get(&key)?.is_some();
        self.delete(&key)?;
        Ok(match seen {
            true => "a name that was missing once still reads as missing when its object is there: \
                     something on the way keeps old answers"
                .into(),
            false => "an object just written reads as missing".into(),
        })
    }

    fn remark(&self, key: &str) -> Option<String> {
        match self.list("probe/", "") {
            Ok(listed) if listed.iter().any(|it| it.key == key) => None,
            Ok(_) => {
                Some("a listing does not show an object just written; nothing relies on that".to_owned())
            }
            Err(error) => Some(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::super::{Backend, BackendError, Listed, Payload, StoreUrl};
    use super::*;

    /// How a backend breaks its word.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Lie {
        Overwrites,
        /// Says no, and writes.
        ChangesWhenRefusing,
        RemembersMisses,
        WritesLate,
        WholeForPart,
        OtherPart,
        ListsLate,
        NoHardLinks,
    }

    #[derive(Debug)]
    struct Liar {
        lie: Lie,
        true_one: Arc<dyn Backend>,
        missed: Mutex<Vec<String>>,
    }

    impl Backend for Liar {
        fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, BackendError> {
            let found = match (self.lie, range) {
                (Lie::WholeForPart, _) => self.true_one.get(key, None),
                (Lie::OtherPart, Some(range)) => self.true_one.get(key, Some(range.start + 1..range.end + 1)),
                (_, range) => self.true_one.get(key, range),
            }?;
            let mut missed = self.missed.lock().expect("no panic");
            if found.is_none() {
                missed.push(key.to_owned());
            }
            let hides = match self.lie {
                Lie::RemembersMisses => missed.iter().any(|it| it == key),
                Lie::WritesLate => true,
                _ => false,
            };
            Ok(found.filter(|_| !hides))
        }
        fn size(&self, key: &str) -> Result<Option<u64>, BackendError> {
            self.true_one.size(key)
        }
        fn create(&self, key: &str, bytes: Payload) -> Result<Create, BackendError> {
            match self.lie {
                Lie::Overwrites => self.true_one.overwrite(key, bytes).map(|()| Create::Created),
                Lie::ChangesWhenRefusing => {
                    let answer = self.true_one.create(key, bytes.clone())?;
                    self.true_one.overwrite(key, bytes).map(|()| answer)
                }
                Lie::NoHardLinks => {
                    let message = "operation not supported".to_owned();
                    Err(BackendError { failure: Failure::Unsupported, message })
                }
                _ => self.true_one.create(key, bytes),
            }
        }
        fn overwrite(&self, key: &str, bytes: Payload) -> Result<(), BackendError> {
            self.true_one.overwrite(key, bytes)
        }
        fn list(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, BackendError> {
            let listed = self.true_one.list(prefix, after)?;
            Ok(if self.lie == Lie::ListsLate { vec![] } else { listed })
        }
        fn delete(&self, key: &str) -> Result<(), BackendError> {
            self.true_one.delete(key)
        }
    }

    fn probed(lie: Lie) -> Result<Option<String>, String> {
        let url = StoreUrl::parse("memory:probe").expect("a URL");
        let liar = Liar { lie, true_one: super::super::memory(), missed: Mutex::default() };
        Store::over(url, Arc::new(liar)).probe().map_err(|error| error.to_string())
    }

    #[test]
    fn a_good_backend_passes_in_nine_requests_and_keeps_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for text in [directory.path().to_str().expect("plain"), "memory:probe-good"] {
            let store = Store::open(&StoreUrl::parse(text).expect(text)).expect(text);
            assert_eq!(store.probe().expect(text), None);
            let asked = store.requests();
            assert_eq!((asked.get, asked.put, asked.list, asked.delete), (3, 4, 1, 1), "{text}");
            assert_eq!(store.list("", "").expect(text), []);
        }
    }

    #[test]
    fn each_promise_that_is_not_kept_is_named() {
        for (lie, words) in [
            (Lie::Overwrites, "at the same time succeed"),
            (Lie::RemembersMisses, "keeps old answers"),
            (Lie::WritesLate, "an object just written reads as missing"),
            (Lie::WholeForPart, "64 bytes come where 23"),
            (Lie::OtherPart, "other bytes of an object come"),
            (Lie::NoHardLinks, "hard links"),
        ] {
            let said = probed(lie).expect_err("a liar");
            assert!(said.contains(words), "{lie:?}: {said}");
        }
        let said = probed(Lie::ChangesWhenRefusing).expect_err("a liar");
        assert!(
            said.contains("a refused create changed") || said.contains("that was refused replaced"),
            "{said}"
        );
        let remark = probed(Lie::ListsLate).expect("listings are not relied on").expect("it is said");
        assert!(remark.contains("listing"), "{remark}");
    }
}
