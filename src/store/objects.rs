//! [`Backend`] over the `object_store` crate: directories, memory and clouds through the same lines.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload,
};
use tokio::runtime::{Builder, Runtime};

use super::backend::{Backend, BackendError, Create, Failure, Listed};
use super::cloud::{self, Answered, NoCredentials};
use super::key;
use super::payload::Payload;

/// The one runtime, started at the first request: an agent that only says `init` never pays for it.
pub(super) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("store")
        .enable_all()
        .build()
        .expect("a thread can be started")
});

/// What one request of a listing gives at most.
const PAGE: usize = 1000;

/// No object that git-datamon writes is larger, bytes.
const LARGEST: u64 = 128 << 20;

/// A backend of the `object_store` crate.
#[derive(Debug)]
pub struct Objects {
    inner: Arc<dyn ObjectStore>,
    class_of_data: Option<String>,
    lists_after: bool,
}

impl Objects {
    /// Every request goes to `inner`.
    pub fn new(inner: impl ObjectStore) -> Self {
        Objects { inner: Arc::new(inner), class_of_data: None, lists_after: false }
    }

    /// Data packs are written into this storage class; everything else is read too often for another than the bucket's.
    pub fn with_class_of_data(self, class: Option<String>) -> Self {
        Objects { class_of_data: class, ..self }
    }

    /// Whether a listing after a key costs what comes after it, and not the whole prefix.
    pub fn with_listing_after(self, lists_after: bool) -> Self {
        Objects { lists_after, ..self }
    }
}

fn path(key: &str) -> Result<Path, BackendError> {
    Path::parse(key).map_err(|e| BackendError { failure: Failure::Unsupported, message: e.to_string() })
}

/// The deepest cause says most: object_store wraps what happened two or three times.
pub(super) fn classify(error: Error) -> BackendError {
    let mut message = error.to_string();
    let mut failure = match &error {
        Error::PermissionDenied { .. } => Failure::Denied,
        Error::Unauthenticated { .. } => Failure::Credentials,
        Error::NotSupported { .. } | Error::NotImplemented { .. } => Failure::Unsupported,
        _ => Failure::Other,
    };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(at) = cause {
        if let Some(io) = at.downcast_ref::<std::io::Error>() {
            failure = of_io(io).unwrap_or(failure);
            message = io.to_string();
            if failure == Failure::Certificate {
                break;
            }
        } else if let Some(http) = at.downcast_ref::<HttpError>() {
            if matches!(http.kind(), HttpErrorKind::Connect) {
                failure = Failure::Unreachable;
            }
            message = deepest(http);
        } else if let Some(answered) = at.downcast_ref::<Answered>() {
            failure = cloud::meaning(answered);
            message = answered.to_string();
            break;
        } else if let Some(none) = at.downcast_ref::<NoCredentials>() {
            (failure, message) = (Failure::Credentials, none.to_string());
            break;
        }
        cause = at.source();
    }
    BackendError { failure, message: message.replace(['\n', '\r'], " ") }
}

fn of_io(io: &std::io::Error) -> Option<Failure> {
    use std::io::ErrorKind;
    // An I/O error holds what TLS said, or another I/O error that does.
    let mut inner = io.get_ref();
    while let Some(error) = inner {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return Some(Failure::Certificate);
        }
        inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    }
    match io.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Some(Failure::Denied),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(Failure::Full),
        ErrorKind::Unsupported => Some(Failure::Unsupported),
        _ => None,
    }
}

fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(cause) = at.source() {
        at = cause;
    }
    at.to_string()
}

fn found<T>(result: Result<T, Error>) -> Result<Option<T>, BackendError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(classify(error)),
    }
}

/// When the object was written, milliseconds since 1970.
fn millis(meta: &ObjectMeta) -> u64 {
    u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0)
}

fn put(payload: &Payload) -> PutPayload {
    payload.pieces().iter().cloned().collect()
}

impl Objects {
    /// How an object is written, over what is there.
    fn options(&self, key: &str) -> PutOptions {
        let mut attributes = Attributes::new();
        if let Some(class) = self.class_of_data.as_ref().filter(|_| key.starts_with(key::DATA)) {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        PutOptions { mode: PutMode::Overwrite, attributes, ..PutOptions::default() }
    }

    fn list_most(&self, prefix: &str, after: &str, most: usize) -> Result<Vec<Listed>, BackendError> {
        let prefix = (!prefix.is_empty()).then(|| Path::from(prefix));
        let listed = match after {
            "" => self.inner.list(prefix.as_ref()),
            after => self.inner.list_with_offset(prefix.as_ref(), &path(after)?),
        };
        let metas: Vec<_> = RUNTIME.block_on(listed.take(most).try_collect()).map_err(classify)?;
        let listed = |meta: ObjectMeta| Listed {
            key: meta.location.to_string(),
            size: meta.size,
            modified: millis(&meta),
        };
        Ok(metas.into_iter().map(listed).collect())
    }
}

impl Backend for Objects {
    fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, BackendError> {
        let path = path(key)?;
        let options = GetOptions { range: range.map(Into::into), ..GetOptions::default() };
        RUNTIME.block_on(async {
            let Some(answer) = found(self.inner.get_opts(&path, options).await)? else { return Ok(None) };
            // Whoever can write into the store chooses its lengths, and this one is read into memory.
            match answer.range.end - answer.range.start {
                length if length <= LARGEST => found(answer.bytes().await),
                length => Err(BackendError {
                    failure: Failure::Unsupported,
                    message: format!(
                        "it has {length} bytes, and no object of a store has more than {LARGEST}"
                    ),
                }),
            }
        })
    }

    fn size(&self, key: &str) -> Result<Option<u64>, BackendError> {
        let path = path(key)?;
        Ok(found(RUNTIME.block_on(self.inner.head(&path)))?.map(|meta| meta.size))
    }

    fn create(&self, key: &str, bytes: Payload) -> Result<Create, BackendError> {
        let path = path(key)?;
        let options = PutOptions { mode: PutMode::Create, ..self.options(key) };
        match RUNTIME.block_on(self.inner.put_opts(&path, put(&bytes), options)) {
            Ok(_) => Ok(Create::Created),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Create::Exists),
            Err(error) => Err(classify(error)),
        }
    }

    fn overwrite(&self, key: &str, bytes: Payload) -> Result<(), BackendError> {
        let path = path(key)?;
        let options = self.options(key);
        RUNTIME.block_on(self.inner.put_opts(&path, put(&bytes), options)).map(drop).map_err(classify)
    }

    fn list(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, BackendError> {
        self.list_most(prefix, after, usize::MAX)
    }

    fn list_first(&self, prefix: &str, after: &str) -> Result<Option<Vec<Listed>>, BackendError> {
        self.lists_after.then(|| self.list_most(prefix, after, PAGE)).transpose()
    }

    fn modified(&self, key: &str) -> Result<Option<u64>, BackendError> {
        let path = path(key)?;
        Ok(found(RUNTIME.block_on(self.inner.head(&path)))?.map(|meta| millis(&meta)))
    }

    fn delete(&self, key: &str) -> Result<(), BackendError> {
        let path = path(key)?;
        found(RUNTIME.block_on(self.inner.delete(&path))).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use object_store::local::LocalFileSystem;

    use super::*;

    #[test]
    fn an_object_larger_than_any_is_not_read_into_memory() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = std::fs::File::create(folder.path().join("huge")).expect("made");
        file.set_len(1 << 40).expect("a sparse file");
        let backend = Objects::new(LocalFileSystem::new_with_prefix(folder.path()).expect("a directory"));
        let error = backend.get("huge", None).expect_err("a tebibyte").to_string();
        assert!(error.contains("1099511627776"), "{error}");
        assert_eq!(backend.get("huge", Some(5..8)).expect("a range of it").as_deref(), Some(&[0, 0, 0][..]));
    }
}
