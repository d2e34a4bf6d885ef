//! A client of a store: credentials by the cloud's usual chain, time limits, and whom it trusts.
//!
//! The only file that knows the builders of the client library and its HTTP client. Nothing here logs.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig,
    aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService},
    gcp::GoogleCloudStorageBuilder,
};
use rustls::ClientConfig;

use super::{
    error::StoreFault,
    profile,
    url::{StoreKind, StoreUrl},
};
use crate::trust;

/// A part of an object has to come within that time, and an answer begin; a store that is slower is taken for away.
const PART_LIMIT: Duration = Duration::from_secs(300);
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How often one request is sent again before the store is taken for away; whoever asked comes again later.
const RETRIES: usize = 2;
const RETRY_LIMIT: Duration = Duration::from_secs(20);

/// A client of a store. It has no `Debug`: it knows the credentials.
#[derive(Clone)]
pub struct StoreClient {
    /// What is asked.
    pub store: Arc<dyn ObjectStore>,
    /// Objects were seen that are encrypted with a key of their owner's: entity tags are no checksums there.
    pub(super) is_encrypted: Arc<AtomicBool>,
}

impl StoreClient {
    /// A store that is there already.
    pub fn of(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, is_encrypted: Arc::default() }
    }
}

/// Makes a client. Nothing is asked yet.
///
/// * `environment`: all variables of the process
///
/// # Errors
/// [`StoreFault::Settings`].
pub fn open(url: &StoreUrl, environment: &[(String, String)]) -> Result<StoreClient, StoreFault> {
    let variable = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    // The words of the library may repeat a value.
    let refused = |_: object_store::Error| {
        let variables = match url.kind {
            StoreKind::S3 => "AWS_*",
            StoreKind::Gcs => "GOOGLE_* and the file of credentials",
            StoreKind::Azure => "AZURE_*: AZURE_STORAGE_ACCOUNT_NAME names the account",
        };
        StoreFault::Settings(format!("look at the environment variables {variables}"))
    };
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_LIMIT,
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
    };
    let is_encrypted = Arc::<AtomicBool>::default();
    let connector = Connector { tls: tls()?, is_encrypted: is_encrypted.clone() };
    let named = |prefix: &'static str| {
        environment
            .iter()
            .filter(move |(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.to_ascii_lowercase(), value))
    };
    let store: Arc<dyn ObjectStore> = match url.kind {
        StoreKind::S3 => {
            let mut builder = AmazonS3Builder::new();
            // Keys of the environment go before those of a file, together or not at all.
            let has_keys =
                ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"].iter().any(|name| variable(name).is_some())
                    && variable("AWS_PROFILE").is_none();
            for (key, value) in profile::variables(variable) {
                if let Ok(config) = key.to_ascii_lowercase().parse()
                    && (!has_keys || !key.contains("ACCESS_KEY") && !key.contains("TOKEN"))
                {
                    builder = builder.with_config(config, value);
                }
            }
            for (key, value) in named("AWS_") {
                if let Ok(config) = key.parse() {
                    builder = builder.with_config(config, value);
                }
            }
            let is_plain = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
                .iter()
                .find_map(|name| variable(name))
                .is_some_and(|endpoint| endpoint.starts_with("http://"));
            let builder = builder.with_bucket_name(&url.bucket).with_http_connector(connector).with_retry(retry);
            Arc::new(builder.with_client_options(options(is_plain)).build().map_err(refused)?)
        }
        StoreKind::Gcs => {
            let mut builder = GoogleCloudStorageBuilder::new();
            for (key, value) in named("GOOGLE_") {
                if let Ok(config) = key.parse() {
                    builder = builder.with_config(config, value);
                }
            }
            let is_plain = variable("GOOGLE_BASE_URL").is_some_and(|endpoint| endpoint.starts_with("http://"));
            let builder = builder.with_bucket_name(&url.bucket).with_http_connector(connector).with_retry(retry);
            Arc::new(builder.with_client_options(options(is_plain)).build().map_err(refused)?)
        }
        StoreKind::Azure => {
            let mut builder = MicrosoftAzureBuilder::new();
            for (key, value) in named("AZURE_") {
                if let Ok(config) = key.parse() {
                    builder = builder.with_config(config, value);
                }
            }
            let is_plain = variable("AZURE_STORAGE_ENDPOINT").is_some_and(|endpoint| endpoint.starts_with("http://"));
            let builder = builder.with_container_name(&url.bucket).with_http_connector(connector).with_retry(retry);
            Arc::new(builder.with_client_options(options(is_plain)).build().map_err(refused)?)
        }
    };
    Ok(StoreClient { store, is_encrypted })
}

fn options(is_plain: bool) -> ClientOptions {
    ClientOptions::new().with_allow_http(is_plain)
}

fn tls() -> Result<ClientConfig, StoreFault> {
    trust::client().map_err(|error| StoreFault::Settings(format!("no TLS: {error}")))
}

/// Makes HTTP clients with our own TLS: the library's would ask for a provider of the whole process.
#[derive(Debug)]
struct Connector {
    tls: ClientConfig,
    is_encrypted: Arc<AtomicBool>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // What asks a machine for its identity waits a second: there may be nobody.
        let is_hasty = options.get_config_value(&ClientConfigKey::ConnectTimeout).as_deref() == Some("1s");
        let connect_limit = if is_hasty { Duration::from_secs(1) } else { CONNECT_LIMIT };
        let https_only = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() != Some("true");
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .https_only(https_only)
            .user_agent(concat!("resnetd/", env!("CARGO_PKG_VERSION")))
            .timeout(PART_LIMIT)
            .read_timeout(SILENCE_LIMIT)
            .connect_timeout(connect_limit)
            // To another host with our headers: never.
            .redirect(reqwest::redirect::Policy::none())
            .build();
        match client {
            Ok(client) => Ok(HttpClient::new(Noting { client, is_encrypted: self.is_encrypted.clone() })),
            Err(error) => Err(object_store::Error::Generic { store: "HTTP", source: Box::new(error) }),
        }
    }
}

/// Looks at the heads of answers as they pass.
#[derive(Debug)]
struct Noting {
    client: reqwest::Client,
    is_encrypted: Arc<AtomicBool>,
}

type Answered<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Noting {
    fn call<'life0, 'async_trait>(&'life0 self, request: HttpRequest) -> Answered<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let answer = HttpService::call(&self.client, request).await?;
            let headers = answer.headers();
            let by_service = headers.get("x-amz-server-side-encryption").is_some_and(|by| by.as_bytes() != b"AES256");
            if by_service || headers.contains_key("x-amz-server-side-encryption-customer-algorithm") {
                self.is_encrypted.store(true, Ordering::Relaxed);
            }
            Ok(answer)
        })
    }
}
