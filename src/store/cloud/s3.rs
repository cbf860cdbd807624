//! S3, and servers that speak its protocol.

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::ClientOptions;

use super::credentials::{self, Chain};
use super::wire::Wire;
use super::{once, unusable};
use crate::store::backend::BackendError;
use crate::store::settings::Settings;
use crate::store::url::Bucket;

pub fn open(bucket: &Bucket, settings: &Settings, client: ClientOptions) -> Result<AmazonS3, BackendError> {
    let machine = credentials::of_this_machine(settings)?;
    let endpoint = settings.endpoint.clone().or(machine.endpoint);
    let path_style = settings.path_style.unwrap_or(endpoint.is_some());
    // The user's own environment may name a server without encryption, as the settings may.
    let client = client.with_allow_http(endpoint.as_ref().is_some_and(|url| url.starts_with("http://")));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.name)
        .with_region(machine.region)
        .with_virtual_hosted_style_request(!path_style)
        .with_skip_signature(settings.anonymous)
        // One object at a time: not every server knows the request for many.
        .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true")
        .with_retry(once())
        .with_client_options(client)
        .with_http_connector(Wire)
        .with_credentials(std::sync::Arc::new(Chain::new(machine.credentials)));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(match path_style {
            true => endpoint,
            // object_store wants the bucket in the host's name already.
            false => endpoint.replacen("://", &format!("://{}.", bucket.name), 1),
        });
    }
    if settings.requester_pays {
        builder = builder.with_config(AmazonS3ConfigKey::RequestPayer, "true");
    }
    // These two keys are known by name only.
    let mut with = |name: &str, value: &str| -> Result<(), BackendError> {
        let key = name.parse::<AmazonS3ConfigKey>().map_err(unusable)?;
        builder = std::mem::take(&mut builder).with_config(key, value);
        Ok(())
    };
    match settings.encryption.as_deref() {
        Some("aws:kms") => with("aws_server_side_encryption", "sse:kms")?,
        Some("aws:kms:dsse") => with("aws_server_side_encryption", "sse:kms:dsse")?,
        Some(other) => with("aws_server_side_encryption", other)?,
        None => {}
    }
    if let Some(key) = &settings.kms_key {
        with("aws_sse_kms_key_id", key)?;
    }
    builder.build().map_err(unusable)
}
