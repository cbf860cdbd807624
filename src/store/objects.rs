//! [`Backend`] over the `object_store` crate: a directory or memory today, clouds through the same lines.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::runtime::{Builder, Runtime};

use super::backend::{Backend, BackendError, Create, Failure, Listed};
use super::payload::Payload;

/// The one runtime, started at the first request: an agent that only says `init` never pays for it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("store")
        .build()
        .expect("a thread can be started")
});

/// A backend of the `object_store` crate.
#[derive(Debug)]
pub struct Objects(Arc<dyn ObjectStore>);

impl Objects {
    /// Every request goes to `inner`.
    pub fn new(inner: impl ObjectStore) -> Self {
        Objects(Arc::new(inner))
    }
}

fn path(key: &str) -> Result<Path, BackendError> {
    Path::parse(key).map_err(|e| BackendError { failure: Failure::Unsupported, message: e.to_string() })
}

/// The deepest cause says most: object_store wraps an I/O error two or three times.
fn classify(error: Error) -> BackendError {
    let mut message = error.to_string();
    let mut failure = match &error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Failure::Denied,
        Error::NotSupported { .. } | Error::NotImplemented { .. } => Failure::Unsupported,
        _ => Failure::Other,
    };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(at) = cause {
        if let Some(io) = at.downcast_ref::<std::io::Error>() {
            failure = match io.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    Failure::Denied
                }
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Failure::Full,
                std::io::ErrorKind::Unsupported => Failure::Unsupported,
                _ => failure,
            };
            message = io.to_string();
        }
        cause = at.source();
    }
    BackendError { failure, message: message.replace(['\n', '\r'], " ") }
}

fn found<T>(result: Result<T, Error>) -> Result<Option<T>, BackendError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(classify(error)),
    }
}

fn put(payload: &Payload) -> PutPayload {
    payload.pieces().iter().cloned().collect()
}

impl Backend for Objects {
    fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, BackendError> {
        let path = path(key)?;
        let options = GetOptions { range: range.map(Into::into), ..GetOptions::default() };
        found(RUNTIME.block_on(async { self.0.get_opts(&path, options).await?.bytes().await }))
    }

    fn size(&self, key: &str) -> Result<Option<u64>, BackendError> {
        let path = path(key)?;
        Ok(found(RUNTIME.block_on(self.0.head(&path)))?.map(|meta| meta.size))
    }

    fn create(&self, key: &str, bytes: Payload) -> Result<Create, BackendError> {
        let path = path(key)?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match RUNTIME.block_on(self.0.put_opts(&path, put(&bytes), options)) {
            Ok(_) => Ok(Create::Created),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Create::Exists),
            Err(error) => Err(classify(error)),
        }
    }

    fn overwrite(&self, key: &str, bytes: Payload) -> Result<(), BackendError> {
        let path = path(key)?;
        RUNTIME.block_on(self.0.put(&path, put(&bytes))).map(drop).map_err(classify)
    }

    fn list(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, BackendError> {
        let prefix = (!prefix.is_empty()).then(|| Path::from(prefix));
        let listed = match after {
            "" => self.0.list(prefix.as_ref()),
            after => self.0.list_with_offset(prefix.as_ref(), &path(after)?),
        };
        let metas: Vec<_> = RUNTIME.block_on(listed.try_collect()).map_err(classify)?;
        Ok(metas.into_iter().map(|m| Listed { key: m.location.to_string(), size: m.size }).collect())
    }

    fn delete(&self, key: &str) -> Result<(), BackendError> {
        let path = path(key)?;
        found(RUNTIME.block_on(self.0.delete(&path))).map(drop)
    }
}
