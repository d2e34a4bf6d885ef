//! The thread that follows a repository: looks at it now and then and when it is asked, and tells the control task what should be
//! served.
//!
//! A thread of its own, because a disk may not answer for minutes, and models go on coming and going meanwhile. It gives way to
//! traffic and takes about a fiftieth of the time at most, however many folders there are, but it looks once a minute.

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    command::{Command, Tries},
    keeper::{Keeper, RepositoryOptions, UnloadWish},
    rounds::Round,
};
use crate::{
    runtime::step_back,
    service::{Error, ErrorKind, LabelTarget, ManageModels, Managed, ModelState, Service},
};

/// A look takes at most one part in so many of the time.
const PAUSES: u32 = 50;

/// A look that was slow because the disk or the processor was busy does not put off the next one for ever.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What the thread is asked.
enum Wish {
    Look {
        done: oneshot::Sender<Result<Round, String>>,
    },
    Load {
        model: String,
        done: oneshot::Sender<Result<Round, Error>>,
    },
    Unload {
        model: String,
        done: oneshot::Sender<Result<Round, Error>>,
    },
    Label {
        model: String,
        label: String,
        target: LabelTarget,
        done: oneshot::Sender<Result<(Option<u64>, Round), Error>>,
    },
}

/// The way to the thread that follows a repository. When it is dropped, the thread ends, and what is served goes on.
pub struct ModelManager {
    wishes: Sender<Wish>,
    service: Service,
}

impl ModelManager {
    /// * `commands`: the way to the control task
    pub(super) fn start(options: RepositoryOptions, service: Service, commands: Sender<Command>) -> io::Result<Self> {
        let (wishes, inbox) = mpsc::channel();
        let following = Following { interval: options.watch_interval, keeper: Keeper::new(options), commands };
        std::thread::Builder::new().name("repository".to_owned()).spawn(move || following.run(&inbox))?;
        Ok(Self { wishes, service })
    }

    /// Looks at the repository now, and takes what is there as complete. The round ends with the loads that come of it.
    ///
    /// # Errors
    /// If it cannot be read; what is served goes on.
    pub async fn look(&self) -> Result<Round, String> {
        let (done, answer) = oneshot::channel();
        self.wish(Wish::Look { done });
        answer.await.unwrap_or_else(|_| Err(LEAVING.to_owned()))
    }

    fn wish(&self, wish: Wish) {
        // Without the thread there is nobody to ask; whoever waits for the answer notices.
        let _ = self.wishes.send(wish);
    }
}

const LEAVING: &str = "the server is about to leave";

async fn answered<T>(answer: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
    answer.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, LEAVING)))
}

impl ManageModels for ModelManager {
    fn load(&self, model: &str) -> Managed<()> {
        let (done, answer) = oneshot::channel();
        self.wish(Wish::Load { model: model.to_owned(), done });
        let (service, model) = (self.service.clone(), model.to_owned());
        Box::pin(async move {
            answered(answer).await?.await;
            for status in service.versions(&model)? {
                let reason = match (status.state, status.outdated) {
                    (ModelState::Failed(reason), _) | (_, Some(reason)) => reason,
                    (ModelState::NotLoaded(reason), _) => {
                        let message = format!("model `{model}` version {} is not loaded: {reason}", status.version);
                        return Err(Error::new(ErrorKind::Unavailable, message));
                    }
                    _ => continue,
                };
                let message = format!("model `{model}` version {} cannot be loaded: {reason}", status.version);
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            Ok(())
        })
    }

    fn unload(&self, model: &str) -> Managed<()> {
        let (done, answer) = oneshot::channel();
        self.wish(Wish::Unload { model: model.to_owned(), done });
        Box::pin(async move {
            answered(answer).await?.await;
            Ok(())
        })
    }

    fn label(&self, model: &str, label: &str, target: LabelTarget) -> Managed<Option<u64>> {
        let (done, answer) = oneshot::channel();
        self.wish(Wish::Label { model: model.to_owned(), label: label.to_owned(), target, done });
        Box::pin(async move {
            let (version, round) = answered(answer).await?;
            // A load of the same model may be under way, which changes nothing about its labels.
            drop(round);
            Ok(version)
        })
    }
}

struct Following {
    interval: Option<Duration>,
    keeper: Keeper,
    commands: Sender<Command>,
}

impl Following {
    fn run(mut self, inbox: &Receiver<Wish>) {
        step_back();
        let mut next_look: Option<Instant> = None;
        loop {
            let wish = match next_look {
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let begun = Instant::now();
            // Whoever asked may have left.
            match wish {
                Ok(Wish::Look { done }) => {
                    let looked = self.keeper.look(true, begun).map_err(|error| error.to_string());
                    let _ = done.send(looked.map(|_| self.apply(Tries::Now)));
                }
                Ok(Wish::Load { model, done }) => {
                    let loaded = self.keeper.load(&model, begun);
                    let _ = done.send(loaded.map(|()| self.apply(Tries::NowOf(model))));
                    continue;
                }
                Ok(Wish::Unload { model, done }) => {
                    let unloaded = self.keeper.unload(&model);
                    let _ = done.send(unloaded.map(|wish| match wish {
                        UnloadWish::Forget => self.apply(Tries::AtTheirTime),
                        UnloadWish::Cool => self.cool(model),
                    }));
                    continue;
                }
                Ok(Wish::Label { model, label, target, done }) => {
                    let labelled = self.keeper.label(&model, &label, target);
                    let _ = done.send(labelled.map(|version| (version, self.apply(Tries::AtTheirTime))));
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => match self.keeper.look(false, begun) {
                    Ok(true) => drop(self.apply(Tries::AtTheirTime)),
                    Ok(false) => {}
                    Err(error) => self.keeper.complain(&error),
                },
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let pause = (begun.elapsed() * PAUSES).min(LONGEST_PAUSE);
            next_look = self.interval.map(|interval| Instant::now() + interval.max(pause));
        }
    }

    fn cool(&self, model: String) -> Round {
        let (done, ended) = oneshot::channel();
        // As below.
        let _ = self.commands.send(Command::Cool { model, done });
        Round::new(ended)
    }

    fn apply(&self, tries: Tries) -> Round {
        let (wanted, labels) = self.keeper.wanted();
        let (done, ended) = oneshot::channel();
        // Without the control task there is nobody to tell; the round is over then.
        let _ = self.commands.send(Command::Apply { wanted, labels, tries, done });
        Round::new(ended)
    }
}
