//! A server's TLS: made of files, and made anew when they change.
//!
//! The files are read and compared, not watched: they have a few kilobytes, events miss the link that Kubernetes swaps, and stamps miss a
//! copy that keeps its time. [`Followed`] says what of it counts.
//!
//! A whole configuration is swapped, which new connections take and open ones do not notice: a resolver of certificates alone would not
//! follow the clients' authority, and sessions that it vouched for could be resumed.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use rustls::{
    Error, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tracing::{error, info, warn};

use super::{
    H2, HTTP_11,
    client_name::ClientName,
    error::TlsError,
    names::{AllowedName, NamedClients},
    pem::{PemFile, in_days},
    provider,
};
use crate::followed::{Followed, Look};

/// A certificate that expires earlier is warned of.
const SOON_DAYS: u64 = 7;

/// What a server's TLS is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's chain, its own certificate first.
    pub cert: PathBuf,
    /// The key of that one.
    pub key: PathBuf,
    /// Who vouches for clients; without it they need no certificate.
    pub client_ca: Option<PathBuf>,
    /// The names of clients that are let in; none: all that `client_ca` vouches for.
    pub allowed_names: Vec<String>,
    /// TLS 1.2 is refused.
    pub only_1_3: bool,
}

/// What is spoken under TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsSpoken {
    /// HTTP/2 or HTTP/1.1, as the client likes.
    Http,
    /// HTTP/2 alone.
    Http2,
}

/// A server's TLS; clones follow the files together.
#[derive(Clone)]
pub struct ServerTls(Arc<Following>);

struct Following {
    files: TlsFiles,
    current: ArcSwap<Configs>,
    followed: Mutex<Followed<Material>>,
}

struct Configs {
    http: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
}

/// What the files held at one moment. It has no `Debug`: there is a key in it.
#[derive(Clone, PartialEq, Eq)]
struct Material {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], which names the setting and the file.
    pub fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let material = files.material()?;
        let current = ArcSwap::from_pointee(files.configs(&material)?);
        let followed = Mutex::new(Followed::new(material));
        Ok(Self(Arc::new(Following { files, current, followed })))
    }

    /// What a new connection is answered with.
    pub fn config(&self, spoken: TlsSpoken) -> Arc<ServerConfig> {
        let current = self.0.current.load();
        match spoken {
            TlsSpoken::Http => current.http.clone(),
            TlsSpoken::Http2 => current.http2.clone(),
        }
    }

    /// Who a client is that was let in.
    ///
    /// * `shown`: its chain, its own certificate first
    pub fn client_name(&self, shown: Option<&[CertificateDer<'_>]>) -> Option<ClientName> {
        let own = shown?.first()?;
        // They were read at the start, so they can be read.
        let allowed = AllowedName::read_all(&self.0.files.allowed_names).unwrap_or_default();
        Some(ClientName::of(own, &allowed))
    }

    /// Looks whether the files have changed; what changed is judged by the look after. Waits for the disk.
    pub fn look(&self) -> Look {
        self.look_at_files(false)
    }

    /// The same, where somebody says that the files are whole.
    pub fn look_at_once(&self) -> Look {
        self.look_at_files(true)
    }

    fn look_at_files(&self, at_once: bool) -> Look {
        let Following { files, current, followed } = &*self.0;
        let read = files.material();
        let mut followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
        let (look, untold) = followed.look(read, at_once, |material| {
            current.store(Arc::new(files.configs(material)?));
            Ok(())
        });
        if look == Look::Taken {
            info!(cert = %files.cert.display(), "the certificate was read again: new connections get this one");
        }
        if let Some(refused) = untold {
            error!("{refused}; until then the certificate from before is shown");
        }
        look
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls").field(&self.0.files).finish()
    }
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ServerTls {}

impl TlsFiles {
    fn cert(&self) -> PemFile {
        PemFile::new("[tls] cert", &self.cert)
    }

    fn key(&self) -> PemFile {
        PemFile::new("[tls] key", &self.key)
    }

    fn client_ca(&self) -> Option<PemFile> {
        self.client_ca.as_deref().map(|path| PemFile::new("[tls] client_ca", path))
    }

    fn material(&self) -> Result<Material, TlsError> {
        let client_ca = self.client_ca().map(|file| file.read()).transpose()?;
        Ok(Material { cert: self.cert().read()?, key: self.key().read()?, client_ca })
    }

    fn configs(&self, material: &Material) -> Result<Configs, TlsError> {
        let (cert, key) = (self.cert(), self.key());
        let refused = |cause: Error| TlsError::Refused { place: cert.place(), cause: cause.to_string() };
        let chain = cert.certificates(&material.cert)?;
        // Chains may end in an authority that has expired and that nobody asks for; the server's own certificate counts.
        if let Some(own) = chain.first() {
            cert.check_time(own, UnixTime::now())?;
            if cert.check_time(own, in_days(SOON_DAYS)).is_err() {
                warn!("{}: expires within {SOON_DAYS} days; renew it", cert.place());
            }
        }
        let certified = CertifiedKey::from_der(chain, key.key(&material.key)?, &provider());
        let certified = certified.map_err(|cause| match cause {
            Error::InconsistentKeys(_) => TlsError::Mismatch { place: key.place(), certificate: cert.place() },
            cause => TlsError::BadKey { place: key.place(), cause: cause.to_string() },
        })?;
        let versions: &[_] = if self.only_1_3 { &[&TLS13] } else { &[&TLS13, &TLS12] };
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions);
        let builder = builder.map_err(refused)?;
        let clients = self.clients(material)?;
        let knows_clients = clients.is_some();
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(clients),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        if knows_clients {
            // A session that is resumed shows no certificate: each connection is to be vouched for.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let speaking = |names: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Configs { http: speaking(&[H2, HTTP_11]), http2: speaking(&[H2]) })
    }

    fn clients(&self, material: &Material) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let (Some(file), Some(text)) = (self.client_ca(), &material.client_ca) else { return Ok(None) };
        let bad = |cause: String| TlsError::BadAuthority { place: file.place(), cause };
        let mut roots = RootCertStore::empty();
        for certificate in file.certificates(text)? {
            roots.add(certificate).map_err(|cause| bad(cause.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        NamedClients::among(verifier.map_err(|cause| bad(cause.to_string()))?, &self.allowed_names).map(Some)
    }
}
