//! From pictures to answers, many at a time and in the order in which they came.

use std::{cell::Cell, ops::ControlFlow};

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::feed::Fed;
use crate::{
    bulk::{Member, MemberError},
    cli::offline::Offline,
    server::error_code,
    service::{ClassesWanted, ErrorKind, Prediction, Priority, Request, TraceContext, Wanted},
};

/// What became of one picture.
pub(super) struct PictureOutcome {
    pub(super) key: String,
    /// Which of the sources it came from, and its place there.
    pub(super) at: (usize, u64),
    pub(super) outcome: Result<Vec<Prediction>, Refused>,
}

/// Why a picture has no classes.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) message: String,
    /// As the server names it.
    pub(super) code: &'static str,
    /// Its source could not be read any further.
    pub(super) is_cut: bool,
    /// The picture has nothing to do with it: another time it may have an answer.
    pub(super) is_ours: bool,
}

impl Refused {
    fn new(kind: ErrorKind, message: String) -> Self {
        let is_ours = !matches!(kind, ErrorKind::InvalidArgument | ErrorKind::UnsupportedFormat | ErrorKind::TooLarge);
        Self { message, code: error_code(kind), is_cut: false, is_ours }
    }
}

impl From<MemberError> for Refused {
    fn from(error: MemberError) -> Self {
        let kind = match error {
            MemberError::TooLarge { .. } => ErrorKind::TooLarge,
            MemberError::Missing(_) | MemberError::Cut(_) => ErrorKind::InvalidArgument,
        };
        Self { is_cut: matches!(error, MemberError::Cut(_)), ..Self::new(kind, error.to_string()) }
    }
}

/// Who takes the answers.
pub(super) trait Taker {
    /// The next one. `Break`: no more are wanted.
    fn take(&mut self, answered: PictureOutcome) -> anyhow::Result<ControlFlow<()>>;

    /// There is none at this moment: whoever waits for those that were taken should get them now.
    ///
    /// * `is_idle`: none will come before there are more pictures
    fn pause(&mut self, is_idle: bool) -> anyhow::Result<()>;

    /// The pictures up to here came together.
    fn end_batch(&mut self) -> anyhow::Result<()>;
}

/// Classifies everything that is `fed`.
///
/// # Errors
/// What `taker` says; the service's own errors are answers.
pub(super) async fn answer_all(
    offline: &Offline,
    fed: mpsc::Receiver<Fed>,
    classes: ClassesWanted,
    taker: &mut impl Taker,
) -> anyhow::Result<()> {
    let under_way = Cell::new(0_usize);
    let answers = ReceiverStream::new(fed).map(|fed| {
        under_way.set(under_way.get() + 1);
        async move {
            match fed {
                Fed::Picture { member, source, room } => {
                    let answered = answer(offline, member, source, classes).await;
                    drop(room);
                    Some(answered)
                }
                Fed::EndOfBatch => None,
            }
        }
    });
    let mut answers = std::pin::pin!(answers.buffered(offline.concurrency()));
    loop {
        let next = tokio::select! {
            biased;
            next = answers.next() => next,
            () = std::future::ready(()) => {
                taker.pause(under_way.get() == 0)?;
                answers.next().await
            }
        };
        let Some(answered) = next else { return Ok(()) };
        under_way.set(under_way.get() - 1);
        let Some(answered) = answered else {
            taker.end_batch()?;
            continue;
        };
        if taker.take(answered)?.is_break() {
            return Ok(());
        }
    }
}

async fn answer(offline: &Offline, member: Member, source: usize, classes: ClassesWanted) -> PictureOutcome {
    let at = (source, member.number);
    let outcome = match member.content {
        Err(error) => Err(error.into()),
        Ok(picture) => {
            let Offline { service, model, .. } = offline;
            let classified = async {
                let target = service.target(&model.name, Some(model.version))?;
                let request = Request {
                    items: vec![target.picture(picture)],
                    target,
                    wanted: Wanted::classes(classes),
                    deadline: None,
                    priority: Priority::DEFAULT,
                    client: None,
                    charge: service.open_charge()?,
                    trace: TraceContext::new(&*member.key),
                };
                service.answer(request).await
            };
            match classified.await {
                Ok(mut answer) => Ok(answer.predictions.pop().unwrap_or_default()),
                Err(error) => Err(Refused::new(error.kind, error.message)),
            }
        }
    };
    PictureOutcome { key: member.key, at, outcome }
}
