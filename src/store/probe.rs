//! The probe (R17): does this backend, on this path, from this machine, keep the promises the log is built on?
//!
//! Two objects are created and removed below `probe/`. What is asked: a missing key reads as missing (not as forbidden); a
//! create lands; a second create of the same key is refused and changes nothing; a key that was missing is seen once created.

use bytes::Bytes;

use super::{Create, Failure, Store, StoreError};
use crate::id::Nonce;

impl Store {
    /// Try the backend with a few requests; an error says which promise it breaks.
    pub fn probe(&self) -> Result<(), StoreError> {
        let key = format!("probe/{}", Nonce::new());
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
        let outcome = self.probe_create(&key);
        let removed = self.delete(&key);
        outcome?.map_err(broken)?;
        removed
    }

    fn probe_create(&self, key: &str) -> Result<Result<(), String>, StoreError> {
        let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
        match self.create_shared(key, &first.clone().into()) {
            Ok(Create::Created) => {}
            // Said of some creates that landed, and of some that did not (R5): what is there decides.
            Ok(Create::Exists) if self.get(key)?.as_ref() == Some(&first) => {}
            Ok(Create::Exists) => return Ok(Err("a create of a new name is refused".into())),
            Err(StoreError::Request { source, .. }) if source.failure == Failure::Unsupported => {
                return Ok(Err(format!(
                    "create-only writes fail ({source}); a directory store needs a file system with hard links"
                )));
            }
            Err(error) => return Err(error),
        }
        let again = self.create_shared(key, &second.into())?;
        let there = self.get(key)?;
        Ok(match (again, there) {
            (Create::Created, _) => {
                Err("a second create of one name succeeds: two writers would erase each other".into())
            }
            (_, None) => Err("an object just written reads as missing".into()),
            (_, Some(bytes)) if bytes != first => Err("a refused create changed the object".into()),
            _ => Ok(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;

    use super::super::{Backend, BackendError, Listed, Payload, StoreUrl};
    use super::*;

    #[derive(Debug)]
    struct Overwrites(Store);

    impl Backend for Overwrites {
        fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, BackendError> {
            self.0.backend.get(key, range)
        }
        fn size(&self, key: &str) -> Result<Option<u64>, BackendError> {
            self.0.backend.size(key)
        }
        fn create(&self, key: &str, bytes: Payload) -> Result<Create, BackendError> {
            self.0.backend.overwrite(key, bytes).map(|()| Create::Created)
        }
        fn overwrite(&self, key: &str, bytes: Payload) -> Result<(), BackendError> {
            self.0.backend.overwrite(key, bytes)
        }
        fn list(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, BackendError> {
            self.0.backend.list(prefix, after)
        }
        fn delete(&self, key: &str) -> Result<(), BackendError> {
            self.0.backend.delete(key)
        }
    }

    #[test]
    fn a_good_backend_passes_and_keeps_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for text in [directory.path().to_str().expect("plain"), "memory:probe-good"] {
            let store = Store::open(&StoreUrl::parse(text).expect(text)).expect(text);
            store.probe().expect(text);
            assert_eq!(store.list("", "").expect(text), []);
        }
    }

    #[derive(Debug)]
    struct NoHardLinks;

    impl Backend for NoHardLinks {
        fn get(&self, _: &str, _: Option<Range<u64>>) -> Result<Option<Bytes>, BackendError> {
            Ok(None)
        }
        fn size(&self, _: &str) -> Result<Option<u64>, BackendError> {
            Ok(None)
        }
        fn create(&self, _: &str, _: Payload) -> Result<Create, BackendError> {
            Err(BackendError { failure: Failure::Unsupported, message: "operation not supported".to_owned() })
        }
        fn overwrite(&self, _: &str, _: Payload) -> Result<(), BackendError> {
            Ok(())
        }
        fn list(&self, _: &str, _: &str) -> Result<Vec<Listed>, BackendError> {
            Ok(vec![])
        }
        fn delete(&self, _: &str) -> Result<(), BackendError> {
            Ok(())
        }
    }

    #[test]
    fn a_file_system_without_hard_links_is_refused_by_name() {
        let url = StoreUrl::parse("memory:probe-exfat").expect("a URL");
        let error = Store::over(url, Arc::new(NoHardLinks)).probe().expect_err("no hard links").to_string();
        assert!(error.contains("hard links"), "{error}");
    }

    #[test]
    fn a_backend_that_ignores_create_only_is_refused() {
        let url = StoreUrl::parse("memory:probe-liar").expect("a URL");
        let liar = Store::over(url.clone(), Arc::new(Overwrites(Store::open(&url).expect("memory"))));
        let error = liar.probe().expect_err("a liar").to_string();
        assert!(error.contains("second create"), "{error}");
    }
}
