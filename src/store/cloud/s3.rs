//! S3, and servers that speak its protocol.

use futures_util::StreamExt;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, Checksum};
use object_store::client::{ClientOptions, HttpClient, HttpConnector, HttpRequest, HttpRequestBody};

use super::credentials::{self, Chain};
use super::wire::Wire;
use super::{once, unusable};
use crate::store::backend::BackendError;
use crate::store::objects::{RUNTIME, classify};
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
        // Buckets with a default retention want one; it is the hash that is signed, so it costs nothing.
        .with_checksum_algorithm(Checksum::SHA256)
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

/// Of an answer about a bucket, bytes.
const ANSWER: usize = 1 << 20;

/// A bucket itself, which can be asked about itself; `object_store` knows only its objects.
pub struct Door {
    client: HttpClient,
    bucket: String,
    region: String,
    credentials: Option<Chain>,
    requester_pays: bool,
}

impl Door {
    /// Reached as its objects are.
    pub fn of(bucket: &Bucket, settings: &Settings, client: ClientOptions) -> Result<Door, BackendError> {
        let machine = credentials::of_this_machine(settings)?;
        let endpoint = settings.endpoint.clone().or(machine.endpoint);
        let path_style = settings.path_style.unwrap_or(endpoint.is_some());
        let client = client.with_allow_http(endpoint.as_ref().is_some_and(|url| url.starts_with("http://")));
        let server = endpoint.unwrap_or_else(|| format!("https://s3.{}.amazonaws.com", machine.region));
        let place = match path_style {
            true => format!("{server}/{}", bucket.name),
            false => server.replacen("://", &format!("://{}.", bucket.name), 1) + "/",
        };
        Ok(Door {
            client: Wire.connect(&client).map_err(unusable)?,
            bucket: place,
            region: machine.region,
            credentials: (!settings.anonymous).then(|| Chain::new(machine.credentials)),
            requester_pays: settings.requester_pays,
        })
    }

    /// What the bucket says of `what`; `None` if nothing is set.
    pub fn ask(&self, what: &str) -> Result<Option<String>, BackendError> {
        RUNTIME.block_on(self.answer(what)).map_err(classify)
    }

    async fn answer(&self, what: &str) -> Result<Option<String>, object_store::Error> {
        let failed = |source| object_store::Error::Generic { store: "S3", source };
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = format!("{}?{what}", self.bucket).parse().map_err(|e| failed(Box::new(e)))?;
        if let Some(credentials) = &self.credentials {
            let credential = credentials.get_credential().await?;
            AwsAuthorizer::new(&credential, "s3", &self.region)
                .with_request_payer(self.requester_pays)
                .try_authorize(&mut request, None)?;
        }
        let answer = self.client.execute(request).await.map_err(|e| failed(Box::new(e)))?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let (mut text, mut stream) = (Vec::new(), answer.into_body().bytes_stream());
        while let Some(piece) = stream.next().await {
            text.extend_from_slice(&piece.map_err(|e| failed(Box::new(e)))?);
            if text.len() > ANSWER {
                break;
            }
        }
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}
