//! The thread that mirrors a store: looks now and then and when it is asked, comes back later and later while the store is away, and says once that it
//! went and once that it is back.
//!
//! A thread of its own, with its own I/O: bytes are received, hashed and written here, behind traffic. What is served does not know it; when it is
//! dropped, a fetch under way is given up, and goes on after the next start.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::sleep_until,
};

use super::{
    error::{StoreError, StoreFault},
    mirror::{Mirror, MirrorOptions, Troubles},
    url::StoreUrl,
};
use crate::{
    runtime::step_back,
    telemetry::{StoreMeter, escaped},
};

/// The pause after a store was away: so long, then twice as long, …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

type Wish = oneshot::Sender<Result<(), StoreError>>;

/// The way to the thread that mirrors a store.
pub struct StoreMirror {
    wishes: UnboundedSender<Wish>,
    folder: PathBuf,
    url: StoreUrl,
}

impl StoreMirror {
    /// Starts the thread; it does nothing until it is asked for the first time.
    ///
    /// * `interval`: from one look to the next; `None`: nobody looks unless somebody asks
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(options: MirrorOptions, interval: Option<Duration>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (wishes, inbox) = unbounded_channel();
        let (folder, url) = (options.folder.clone(), options.url.clone());
        let meter = options.meter.clone();
        let following =
            Following { mirror: Mirror::new(options), interval, url: url.clone(), said: Said::default(), meter };
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            step_back();
            runtime.block_on(following.run(inbox));
        })?;
        Ok(Self { wishes, folder, url })
    }

    /// Where the models are, laid out as in any model repository.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Looks at the store now, and takes what is there as complete. Answered when all that is new is here; what is wrong with single models is in
    /// the log.
    ///
    /// # Errors
    /// If the store cannot be had; what is here stays.
    pub async fn look(&self) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        // Without the thread there is nobody to ask; that is seen below.
        let _ = self.wishes.send(done);
        answer.await.unwrap_or_else(|_| {
            let fault = StoreFault::Settings("the server is about to leave".to_owned());
            Err(StoreError { url: self.url.clone(), fault: Box::new(fault) })
        })
    }
}

struct Following {
    mirror: Mirror,
    interval: Option<Duration>,
    url: StoreUrl,
    said: Said,
    meter: StoreMeter,
}

/// What was said, so that it is said once.
#[derive(Default)]
struct Said {
    /// Why the store cannot be had, and since when.
    away: Option<(String, Instant)>,
    failures: u32,
    troubles: std::collections::BTreeMap<String, String>,
    is_shared: bool,
}

impl Following {
    async fn run(mut self, mut inbox: UnboundedReceiver<Wish>) {
        let mut waiting: Vec<Wish> = Vec::new();
        let mut next: Option<Instant> = None;
        loop {
            if waiting.is_empty() {
                let pause = async {
                    match next {
                        Some(at) => sleep_until(at.into()).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    wish = inbox.recv() => match wish {
                        Some(wish) => waiting.push(wish),
                        None => return,
                    },
                    () = pause => {}
                }
            }
            let asked = std::mem::take(&mut waiting);
            let outcome = {
                let look = look(&mut self.mirror, !asked.is_empty());
                tokio::pin!(look);
                loop {
                    tokio::select! {
                        outcome = &mut look => break outcome,
                        // Whoever asks now may mean something that this look has passed.
                        wish = inbox.recv() => match wish {
                            Some(wish) => waiting.push(wish),
                            None => return,
                        },
                    }
                }
            };
            let pause = self.tell(&outcome);
            next = pause.map(|pause| Instant::now() + pause);
            let mut outcome = outcome.map(drop);
            for done in asked {
                let told = match &outcome {
                    Ok(()) => Ok(()),
                    Err(fault) => Err(StoreError { url: self.url.clone(), fault: Box::new(fault.again()) }),
                };
                // Whoever asked may have left.
                let _ = done.send(told);
            }
            if let Err(StoreFault::Credentials { .. } | StoreFault::NoCredentials(_) | StoreFault::Denied { .. }) =
                &mut outcome
            {
                self.mirror.forget_credentials();
            }
        }
    }

    /// Says what has changed; how long to wait for the next look.
    fn tell(&mut self, outcome: &Result<Option<Troubles>, StoreFault>) -> Option<Duration> {
        let url = &self.url;
        match outcome {
            Ok(troubles) => {
                self.meter.note_state(true);
                self.said.failures = 0;
                if let Some((_, since)) = self.said.away.take() {
                    tracing::info!(store = %url, "answers again, after {} s", since.elapsed().as_secs());
                }
                if troubles.is_none() && !std::mem::replace(&mut self.said.is_shared, true) {
                    tracing::info!(
                        store = %url,
                        folder = %self.mirror.options().folder.display(),
                        "another process fills this cache; what it brings is served here, too"
                    );
                }
                self.tell_troubles(troubles.as_ref());
                self.interval
            }
            Err(fault) => {
                self.meter.note_state(false);
                self.meter.note_failure();
                let reason = fault.to_string();
                if self.said.away.as_ref().is_none_or(|(said, _)| *said != reason) {
                    let (models, looked) = self.mirror.cached();
                    let age = looked.map(|age| format!(", last compared {} s ago", age.as_secs())).unwrap_or_default();
                    let cached = match models {
                        0 => "nothing of it is cached".to_owned(),
                        models => format!("what is cached of it goes on ({models} models{age})"),
                    };
                    tracing::warn!(store = %url, "{reason}; {cached}");
                    let since = self.said.away.take().map_or_else(Instant::now, |(_, since)| since);
                    self.said.away = Some((reason, since));
                }
                let pause = FIRST_PAUSE.saturating_mul(1 << self.said.failures.min(16)).min(LONGEST_PAUSE);
                self.said.failures += 1;
                // Whoever is told of the first failure decides whether there is a second look.
                self.interval.map(|_| pause)
            }
        }
    }

    fn tell_troubles(&mut self, troubles: Option<&Troubles>) {
        let Some(troubles) = troubles else { return };
        for (model, fault) in troubles {
            let line = fault.to_string();
            if self.said.troubles.get(model) == Some(&line) {
                continue;
            }
            match &**model {
                "" => tracing::warn!(store = %self.url, "{}", escaped(&line)),
                model => tracing::warn!(store = %self.url, model, "{}; what is cached of it goes on", escaped(&line)),
            }
            self.said.troubles.insert(model.clone(), line);
        }
        let resting = self.mirror.resting();
        self.said.troubles.retain(|model, _| troubles.contains_key(model) || resting(model));
    }
}

/// One look; `None` where another process fills the folder.
async fn look(mirror: &mut Mirror, at_once: bool) -> Result<Option<Troubles>, StoreFault> {
    if !mirror.lock()? {
        return match mirror.cached() {
            (0, _) => Err(StoreFault::Away("is fetched by another process, which is not done".to_owned())),
            _ => Ok(None),
        };
    }
    mirror.look(at_once, Instant::now()).await.map(Some)
}
