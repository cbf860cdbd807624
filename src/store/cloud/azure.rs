//! Azure Blob Storage. What others call a bucket is a container here, and it lies in a storage account.

use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::ClientOptions;

use super::wire::Wire;
use super::{once, unusable};
use crate::store::backend::BackendError;
use crate::store::settings::Settings;
use crate::store::url::Bucket;

pub fn open(
    bucket: &Bucket,
    settings: &Settings,
    client: ClientOptions,
) -> Result<MicrosoftAzure, BackendError> {
    let mut builder = MicrosoftAzureBuilder::from_env();
    // The emulator, which the environment names, has no encryption.
    let emulator = builder.get_config_value(&AzureConfigKey::UseEmulator).is_some_and(|it| it == "true");
    let client = if emulator { client.with_allow_http(true) } else { client };
    builder = builder
        .with_container_name(&bucket.name)
        .with_retry(once())
        .with_client_options(client)
        .with_http_connector(Wire)
        .with_skip_signature(settings.anonymous);
    if let Some(account) = &settings.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder.build().map_err(unusable)
}
