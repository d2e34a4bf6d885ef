//! The handshakes of a door that speaks TLS: bounded in time and in number, and why one came to nothing.
//!
//! Whoever opens connections and says nothing would hold handshakes without end. Beyond the limit the oldest one gives way: an honest one is
//! done in a round trip or two, so what is old is mostly not honest, and nobody has to wait for those who are not.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustls::{AlertDescription, CertificateError, Error as TlsFault};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::wire::Wire;
use crate::tls::{ClientName, ServerTls, TlsSpoken};

/// The most handshakes of a door at a time.
const MOST: usize = 1_024;

/// What the first record of TLS begins with.
const HANDSHAKE: u8 = 0x16;

/// To a client of HTTP/1 that speaks without TLS. It is the whole of the answer, as the connection is not kept.
const NO_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 86\r\nconnection: close\r\n\r\n\
{\"error\":\"this port speaks TLS: write https:// for http://\",\"code\":\"INVALID_ARGUMENT\"}";

/// So long is waited for the rest of what such a client sends: a socket that is closed before would swallow the answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// The handshakes of one door. Clones share them.
#[derive(Clone)]
pub(super) struct Handshakes {
    tls: ServerTls,
    spoken: TlsSpoken,
    limit: Duration,
    under_way: UnderWay,
}

/// The tokens of those that are not done, by age; the oldest gives way where there are too many. Clones share them.
#[derive(Clone)]
struct UnderWay(Arc<Open>);

struct Open {
    most: usize,
    next: AtomicU64,
    tokens: Mutex<BTreeMap<u64, CancellationToken>>,
}

/// Why a connection came to no TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHandshake {
    /// As probes of load balancers do.
    #[error("it ended before it said anything")]
    Left,
    #[error("it speaks without TLS: its URL must begin with https://")]
    Plain,
    #[error("it took longer than {} ms ([tls] handshake_timeout_ms)", .0.as_millis())]
    Slow(Duration),
    #[error("{0} others were under way and this was the oldest")]
    GaveWay(usize),
    #[error("{}", why(.0))]
    Failed(io::Error),
}

/// What clients do wrong, in words that say what to do.
fn why(error: &io::Error) -> String {
    let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsFault>());
    match fault {
        Some(TlsFault::NoCertificatesPresented) => "it shows no certificate, and [tls] client_ca wants one".to_owned(),
        Some(TlsFault::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
            "no name of its certificate (SAN) is one of [tls] allowed_names".to_owned()
        }
        Some(TlsFault::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "its certificate is from nobody whom [tls] client_ca has".to_owned()
        }
        Some(TlsFault::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            "its certificate has expired".to_owned()
        }
        Some(TlsFault::AlertReceived(AlertDescription::UnknownCA | AlertDescription::BadCertificate)) => {
            "it does not trust whoever issued our certificate".to_owned()
        }
        Some(TlsFault::PeerIncompatible(reason)) => {
            format!(
                "nothing that both sides speak ({reason:?}); TLS 1.2 is the oldest, and [tls] min_version may say 1.3"
            )
        }
        _ => error.to_string(),
    }
}

/// A handshake under way.
struct Shaking {
    of: UnderWay,
    id: u64,
    gives_way: CancellationToken,
}

impl Handshakes {
    /// * `limit`: how long one may take
    pub(super) fn new(tls: ServerTls, spoken: TlsSpoken, limit: Duration) -> Self {
        Self { tls, spoken, limit, under_way: UnderWay::of_at_most(MOST) }
    }

    /// The connection under TLS, and who the client is where it had to show a certificate.
    pub(super) async fn shake(&self, stream: TcpStream) -> Result<(Wire, Option<ClientName>), NoHandshake> {
        let shaking = self.under_way.begin();
        tokio::select! {
            biased;
            shaken = timeout(self.limit, self.shaken(stream)) => {
                shaken.unwrap_or(Err(NoHandshake::Slow(self.limit)))
            }
            () = shaking.gives_way.cancelled() => Err(NoHandshake::GaveWay(MOST)),
        }
    }

    async fn shaken(&self, mut stream: TcpStream) -> Result<(Wire, Option<ClientName>), NoHandshake> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(0) => return Err(NoHandshake::Left),
            Ok(_) if first != [HANDSHAKE] => {
                if first[0].is_ascii_uppercase() {
                    answer_without_tls(&mut stream).await;
                }
                return Err(NoHandshake::Plain);
            }
            Ok(_) => {}
            Err(error) => return Err(NoHandshake::Failed(error)),
        }
        let acceptor = TlsAcceptor::from(self.tls.config(self.spoken));
        let stream = acceptor.accept(stream).await.map_err(NoHandshake::Failed)?;
        let name = self.tls.client_name(stream.get_ref().1.peer_certificates());
        Ok((Wire::Tls(Box::new(stream)), name))
    }
}

impl UnderWay {
    fn of_at_most(most: usize) -> Self {
        Self(Arc::new(Open { most, next: AtomicU64::new(0), tokens: Mutex::default() }))
    }

    fn begin(&self) -> Shaking {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let gives_way = CancellationToken::new();
        let mut open = self.tokens();
        if open.len() >= self.0.most
            && let Some((_, oldest)) = open.pop_first()
        {
            oldest.cancel();
        }
        open.insert(id, gives_way.clone());
        Shaking { of: self.clone(), id, gives_way }
    }

    fn tokens(&self) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        self.of.tokens().remove(&self.id);
    }
}

/// Whoever does not read it has lost nothing.
async fn answer_without_tls(stream: &mut TcpStream) {
    let mut sent = [0; 4096];
    let _ = timeout(FAREWELL, async {
        stream.write_all(NO_TLS).await?;
        stream.shutdown().await?;
        while stream.read(&mut sent).await? > 0 {}
        io::Result::Ok(())
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_handshake_gives_way_and_one_that_is_done_leaves_its_place() {
        let under_way = UnderWay::of_at_most(2);
        let (oldest, older) = (under_way.begin(), under_way.begin());
        let newest = under_way.begin();
        assert!(oldest.gives_way.is_cancelled());
        drop(newest);
        let another = under_way.begin();
        assert!(!older.gives_way.is_cancelled() && !another.gives_way.is_cancelled());
    }

    #[test]
    fn the_answer_without_tls_is_as_long_as_it_says() {
        let text = std::str::from_utf8(NO_TLS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["code"], "INVALID_ARGUMENT");
    }
}
