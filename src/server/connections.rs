//! The life of a connection: accepted, served, told to close at its age or at shutdown, with its next answer where that is the only way, cut
//! when it does not.
//!
//! The same for both doors; knows neither requests nor protocols.

use std::{error::Error, pin::pin, sync::Arc, time::Duration};

use hyper_util::server::graceful::GracefulConnection;
use tokio::{task::unconstrained, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    activity::Activity,
    client_address::ClientAddress,
    entrance::{Entrance, Link},
    handshakes::{Handshakes, NoHandshake},
    places::{Place, Places},
    shared::DoorOptions,
    wire::Wire,
};
use crate::{
    telemetry::{DoorMetrics, Seldom},
    tls::{ClientName, TlsSpoken},
};

/// The wait after `accept` failed, mostly for want of file descriptors: trying again at once would only burn the processor.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How long a door's connections live.
#[derive(Clone)]
pub(super) struct Life {
    door: &'static str,
    max_age: Duration,
    max_idle: Duration,
    /// From being told to close until being cut.
    grace: Duration,
    places: Places,
    /// Where the door speaks TLS.
    handshakes: Option<Handshakes>,
    metrics: DoorMetrics,
    lines: Arc<Lines>,
    closing: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

/// What strangers can make a door say, each kind once in a while.
struct Lines {
    refused: Seldom,
    flooded: Seldom,
    not_let_in: Seldom,
}

impl Life {
    /// * `spoken`: under TLS, where `options` has any
    pub(super) fn new(
        (door, spoken): (&'static str, TlsSpoken),
        options: &DoorOptions,
        metrics: DoorMetrics,
        closing: &CancellationToken,
        cut: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        Self {
            door,
            max_age: options.max_connection_age,
            max_idle: options.idle_timeout,
            grace: options.shutdown_grace,
            places: Places::new(door, options.max_connections, metrics.clone()),
            handshakes: options.tls.clone().map(|tls| Handshakes::new(tls, spoken, options.handshake_timeout)),
            metrics,
            lines: Arc::new(Lines { refused: Seldom::new(1), flooded: Seldom::new(1), not_let_in: Seldom::new(1) }),
            closing: closing.clone(),
            cut: cut.clone(),
            tasks: tasks.clone(),
        }
    }

    /// The connection as its requests see it, once TLS stands, and who the client is; `None` where it ended before.
    async fn opened(&self, link: Link, connecting: &Connecting) -> Option<(Wire, Option<ClientName>)> {
        let Some(handshakes) = &self.handshakes else { return Some((Wire::Plain(link), None)) };
        let Connecting { leaving, cut, place, address, .. } = connecting;
        let shaken = tokio::select! {
            biased;
            shaken = handshakes.shake(link) => shaken,
            () = cut.cancelled() => return None,
            () = place.evicted().cancelled() => return None,
            // One that is nearly done is then told to close as others are.
            () = async { leaving.cancelled().await; sleep(SILENT_GRACE).await } => return None,
        };
        match shaken {
            Ok(opened) => Some(opened),
            Err(ended) => {
                self.note_no_handshake(&ended, *address);
                None
            }
        }
    }

    fn note_no_handshake(&self, ended: &NoHandshake, address: ClientAddress) {
        let door = self.door;
        if matches!(ended, NoHandshake::Left) {
            return debug!(door, %address, "a connection ended before it said anything");
        }
        self.metrics.failed_handshakes.inc();
        match self.lines.not_let_in.turn() {
            Some(left_out) => {
                let connections = left_out + 1;
                warn!(door, connections, %address, "a connection without a handshake of TLS was closed: {ended}");
            }
            None => debug!(door, %address, "a connection without a handshake of TLS was closed: {ended}"),
        }
    }

    fn note_flood(&self, error: &dyn Error) {
        self.metrics.flooding.inc();
        if let Some(left_out) = self.lines.flooded.turn() {
            let (door, connections) = (self.door, left_out + 1);
            warn!(door, connections, %error, "closed what flooded the door with streams that are taken back, or with empty frames");
        }
    }
}

/// Why a connection ended that did not end by itself.
type Broken = Box<dyn Error + Send + Sync>;

/// What a new connection is given by the one who lets it in.
pub(super) struct Connecting {
    /// Fires when the connection is told to close: for calls that would never end by themselves.
    pub(super) leaving: CancellationToken,
    /// Ends it at once.
    pub(super) cut: CancellationToken,
    /// To be told of every request.
    pub(super) activity: Activity,
    /// Its place at the door.
    pub(super) place: Place,
    /// Where it comes from.
    pub(super) address: ClientAddress,
    /// Who the client is, where it had to show a certificate.
    pub(super) client_name: Option<ClientName>,
}

/// A connection without a request that is told to close gets so long to do it.
const SILENT_GRACE: Duration = Duration::from_secs(1);

/// Accepts connections and serves each on a task of its own until `life` ends.
pub(super) async fn accept<C>(
    entrance: Entrance,
    life: Life,
    connect: impl Fn(Wire, Connecting) -> C + Send + Sync + 'static,
) where
    C: GracefulConnection + Send + 'static,
    C::Error: Into<Broken> + Send,
{
    let connect = Arc::new(connect);
    loop {
        let next = async {
            let room = life.places.room().await;
            (room, entrance.accept().await)
        };
        let (room, accepted) = tokio::select! {
            biased;
            () = life.closing.cancelled() => return,
            () = life.cut.cancelled() => return,
            next = next => next,
        };
        match accepted {
            Ok((link, address)) => {
                if let Err(error) = link.send_at_once() {
                    debug!(door = life.door, %error, "cannot set TCP_NODELAY");
                }
                let (leaving, cut) = (life.closing.child_token(), life.cut.child_token());
                let activity = Activity::new();
                let place = life.places.take(room, activity.clone());
                let mut connecting = Connecting {
                    leaving: leaving.clone(),
                    cut: cut.clone(),
                    activity: activity.clone(),
                    place: place.clone(),
                    address,
                    client_name: None,
                };
                let (life, connect) = (life.clone(), connect.clone());
                life.tasks.clone().spawn(async move {
                    if let Some((stream, client_name)) = life.opened(link, &connecting).await {
                        connecting.client_name = client_name;
                        let connection = connect(stream, connecting);
                        live(connection, life, (leaving, cut), activity, &place).await;
                    }
                });
            }
            Err(error) => {
                if let Some(left_out) = life.lines.refused.turn() {
                    let times = left_out + 1;
                    let door = life.door;
                    warn!(door, %error, times, "cannot accept a connection; is the limit of open files too low?");
                }
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn live<C>(
    connection: C,
    life: Life,
    (leaving, cut): (CancellationToken, CancellationToken),
    activity: Activity,
    place: &Place,
) where
    C: GracefulConnection,
    C::Error: Into<Broken> + Send,
{
    let mut connection = pin!(connection);
    // Timers take turns like everything that waits (tokio's budget of a task), and a connection that always has a request uses the turn up: of age, it would
    // never be told.
    let mut told_to_close = pin!(unconstrained(async {
        tokio::select! {
            () = can_close(&life, &leaving, &activity) => {}
            // Also a client that has said nothing yet, and one that does not read its last answer.
            () = activity.idle_for(life.max_idle) => {}
            () = place.evicted().cancelled() => {}
        }
    }));
    let mut cut = pin!(cut.cancelled());
    let ended = tokio::select! {
        biased;
        ended = &mut connection => Some(ended),
        () = &mut told_to_close => None,
        () = &mut cut => return,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            leaving.cancel();
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = &mut connection => ended,
                () = &mut cut => return,
                () = unconstrained(sleep(life.grace)) => return,
                () = silent(&activity) => return,
            }
        }
    };
    if let Err(error) = ended {
        let error = error.into();
        debug!(door = life.door, %error, "a connection broke");
        if is_flood(&*error) {
            life.note_flood(&*error);
        }
    }
}

/// Ready when a connection that is of age, or whose server leaves, can be told to close without the loss of a request.
///
/// HTTP/2 has a frame for it, and what the client sent before it read that is still answered. HTTP/1 has a header of answers and nothing else: told
/// while it is idle, a connection is cut, and a request that is on its way is lost. So its next answer ends it. One of age is waited for as long
/// as any connection may be idle, by `live`, or it never is; a server that leaves waits for a second, as it does for who has said nothing yet.
async fn can_close(life: &Life, leaving: &CancellationToken, activity: &Activity) {
    let of_age = async {
        sleep(with_jitter(life.max_age)).await;
        // For an answer that takes for ever.
        last_answer(leaving, activity, life.max_idle + life.grace).await;
    };
    tokio::select! {
        () = life.closing.cancelled() => last_answer(leaving, activity, SILENT_GRACE).await,
        () = of_age => {}
    }
}

/// The next answer over HTTP/1 is the last. Ready at once over HTTP/2, after `patience` where no answer came.
async fn last_answer(leaving: &CancellationToken, activity: &Activity, patience: Duration) {
    leaving.cancel();
    activity.end_with_an_answer();
    tokio::select! {
        () = activity.has_streams() => {}
        () = sleep(patience) => {}
    }
}

/// Whether h2 closed the connection because there was too much of something that costs the client nothing: streams that are taken
/// back, frames without data, what our side has to refuse.
fn is_flood(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
        }
        cause = error.source();
    }
    false
}

/// Ready once a connection that was told to close has had no request in work for a while: whoever is at the other end says
/// nothing, does not read, or never began to speak.
async fn silent(activity: &Activity) {
    sleep(SILENT_GRACE).await;
    activity.idle_for(SILENT_GRACE).await;
}

/// `age`, 10 % more or less by chance: connections that came together do not leave together.
fn with_jitter(age: Duration) -> Duration {
    let chance = uuid::Uuid::new_v4().as_u128() as u32;
    age.mul_f64(0.9 + 0.2 * f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_spreads_the_age_by_ten_percent_each_way() {
        let ages: Vec<_> = (0..200).map(|_| with_jitter(Duration::from_secs(100)).as_secs_f64()).collect();
        assert!(ages.iter().all(|age| (90.0..=110.0).contains(age)));
        assert!(ages.iter().any(|age| *age < 97.0) && ages.iter().any(|age| *age > 103.0));
    }
}
