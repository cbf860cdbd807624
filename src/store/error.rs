//! What can go wrong between us and a store, each with the next thing to do.

use std::fmt;

use super::backend::{BackendError, Failure};
use super::url::{BadUrl, Bucket, Place, Provider, StoreUrl};

/// A store that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names nothing.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// No directory there.
    #[error(
        "there is no store at {url}: if it should be here, mount or restore it; to make one, run `git datamon init --store {url}`"
    )]
    Absent {
        /// The store.
        url: String,
    },
    /// A directory store whose root is a file.
    #[error("the store {url} is a file, not a directory: name a directory with `git datamon init --store`")]
    NotADirectory {
        /// The store.
        url: String,
    },
    /// An object that must be there is not.
    #[error(fmt = missing)]
    Missing {
        /// The store.
        url: String,
        /// The object.
        key: String,
    },
    /// An object is shorter than the catalog says.
    #[error(fmt = short)]
    Short {
        /// The store.
        url: String,
        /// The object.
        key: String,
        /// Bytes asked for.
        wanted: u64,
        /// Bytes that came.
        got: u64,
    },
    /// Something else lies under a name that is ours alone.
    #[error(
        "object {key} of the store {url} has other bytes than those written under this name: the backend does not keep create-only writes; run `git datamon doctor`"
    )]
    Foreign {
        /// The store.
        url: String,
        /// The object.
        key: String,
    },
    /// The probe found a backend that would lose data (R17).
    #[error("the store {url} cannot hold data safely: {why}")]
    Unsafe {
        /// The store.
        url: String,
        /// The property it lacks.
        why: String,
    },
    /// A request failed for good.
    #[error("cannot {verb} {key} in the store {url}: {source}; {}", advice(.source.failure, .verb, .url))]
    Request {
        /// `read`, `write`, `list` or `delete`.
        verb: &'static str,
        /// The object.
        key: String,
        /// The store.
        url: String,
        /// Why.
        source: BackendError,
    },
}

impl StoreError {
    /// The object that it is about.
    pub fn key(&self) -> Option<&str> {
        match self {
            StoreError::Missing { key, .. }
            | StoreError::Short { key, .. }
            | StoreError::Foreign { key, .. }
            | StoreError::Request { key, .. } => Some(key),
            StoreError::Url(_)
            | StoreError::Absent { .. }
            | StoreError::NotADirectory { .. }
            | StoreError::Unsafe { .. } => None,
        }
    }

    /// Whether the object lies in an archive, and is well as far as anybody can tell.
    pub fn is_archived(&self) -> bool {
        matches!(self, StoreError::Request { source, .. } if source.failure == Failure::Archived)
    }

    /// Whether the store answers, and cannot read or write this object.
    pub fn is_of_object(&self) -> bool {
        matches!(self, StoreError::Request { source, .. } if source.failure == Failure::Other)
    }

    /// Whether the place is full, or closed to whoever asks: somebody has to see to it.
    pub fn is_shut(&self) -> bool {
        matches!(self, StoreError::Request { source, .. } if matches!(source.failure, Failure::Full | Failure::Denied))
    }

    /// Whether the store said no before it did anything: no permission, no space, no such operation.
    pub fn is_refusal(&self) -> bool {
        matches!(self, StoreError::Request { source, .. } if !source.failure.may_pass())
    }
}

/// What is wrong, and what helps; `{:#}` leaves that out, for who says it better.
fn missing(url: &str, key: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "the store {url} has no object {key}")?;
    if f.alternate() { Ok(()) } else { f.write_str(": run `git datamon fsck` to see what is damaged") }
}

/// The same.
fn short(url: &str, key: &str, wanted: &u64, got: &u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "object {key} of the store {url} is cut short ({got} bytes where {wanted} were asked)")?;
    if f.alternate() { Ok(()) } else { f.write_str(": run `git datamon fsck --data`") }
}

/// What to do, which depends on whose store it is.
fn advice(failure: Failure, verb: &str, url: &str) -> String {
    let place = StoreUrl::parse(url).ok();
    let bucket = place.as_ref().and_then(|url| match url.place() {
        Place::Bucket(bucket) => Some(bucket),
        Place::Directory(_) | Place::Memory(_) => None,
    });
    let again = "then run the command again";
    match (failure, bucket) {
        (Failure::Denied, Some(bucket)) => format!("allow {}, {again}", right(bucket, verb)),
        (Failure::Denied, None) => format!("check who may read and write there, {again}"),
        (Failure::Credentials, bucket) => {
            let provider = bucket.map_or(Provider::S3, |bucket| bucket.provider);
            format!("{}, {again}", identify(provider))
        }
        (Failure::Certificate, _) => format!(
            "if the server is the one you mean, name the certificate that signed its own: \
             `git config --global datamon.store.{url}.caFile FILE`, {again}"
        ),
        (Failure::Clock, _) => format!("set the clock of this machine right, {again}"),
        (Failure::Full, _) => {
            format!("free some space, {again}: nothing that was acknowledged is lost")
        }
        (Failure::NoBucket, _) => {
            "check the name, the endpoint and whose credentials are used; git-datamon makes no buckets"
                .to_owned()
        }
        (Failure::Region, _) => {
            format!("say where it lies: `git config --global datamon.store.{url}.region REGION`, {again}")
        }
        (Failure::Archived, _) => {
            format!("it lies in an archive: `git datamon thaw` says what has to be brought back, {again}")
        }
        (Failure::Unsupported, _) => "choose another place for the store".to_owned(),
        (Failure::Stranger, _) => {
            format!(
                "what answered is no object store: check the network, the proxy and the endpoint, {again}"
            )
        }
        (Failure::Busy, _) => format!("the store asks for fewer requests: wait a while, {again}"),
        (Failure::Unreachable | Failure::Other, _) => format!("check that the store can be reached, {again}"),
    }
}

/// The right that a request needs, in the provider's words.
fn right(bucket: &Bucket, verb: &str) -> String {
    let Bucket { provider, name, prefix } = bucket;
    let below = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    match provider {
        Provider::S3 => match verb {
            "list" => format!("s3:ListBucket on arn:aws:s3:::{name}"),
            "write" => format!("s3:PutObject on arn:aws:s3:::{name}/{below}*"),
            "delete" => format!("s3:DeleteObject on arn:aws:s3:::{name}/{below}*"),
            // Without the second a missing object reads as forbidden.
            _ => format!(
                "s3:GetObject on arn:aws:s3:::{name}/{below}* and s3:ListBucket on arn:aws:s3:::{name}"
            ),
        },
        Provider::Gcs => {
            let right = match verb {
                "list" => "storage.objects.list",
                "write" => "storage.objects.create",
                "delete" => "storage.objects.delete",
                _ => "storage.objects.get and storage.objects.list",
            };
            format!("{right} on gs://{name}/{below}*")
        }
        Provider::Azure => {
            let role = match verb {
                "write" | "delete" => "Storage Blob Data Contributor",
                _ => "Storage Blob Data Reader",
            };
            format!("the role {role:?} on the container {name}")
        }
    }
}

/// How a provider learns who asks.
fn identify(provider: Provider) -> &'static str {
    match provider {
        Provider::S3 => {
            "give credentials by AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, `aws configure` or `aws sso login`"
        }
        Provider::Gcs => {
            "give credentials by `gcloud auth application-default login` or GOOGLE_APPLICATION_CREDENTIALS"
        }
        Provider::Azure => {
            "give credentials by AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or by `az login` and AZURE_USE_AZURE_CLI=true"
        }
    }
}
