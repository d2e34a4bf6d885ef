//! What goes into the queue, and what comes back.

use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::{coming::Announced, policy::Priority, turns::ClientId};
use crate::tensor::Input;

/// What a job gets back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What the network says of the image, `f32[K]`.
    pub logits: Box<[f32]>,
    /// The pooled values that its last layer reads, `f32[F]`, where the submission asks for them.
    pub features: Option<Box<[f32]>>,
    /// What is averaged before it, where the submission asks for that.
    pub map: Option<Box<[f32]>>,
    /// From submission until a worker took the job.
    pub queued: Duration,
    /// The run of the whole batch, with the filling of it.
    pub inference: Duration,
    /// The filling alone.
    pub fill: Duration,
    /// How many images the batch had.
    pub batch_size: usize,
    /// Which run of this queue it was; `None` of a row that had none.
    pub run: Option<u64>,
}

/// What of the network's inside is wanted of an image; the whole batch is then run with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inside {
    /// Only what it says.
    #[default]
    Nothing,
    /// The pooled values that its last layer reads.
    Features,
    /// The maps that are averaged before it.
    Map,
}

/// Why a job was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// `capacity` jobs wait already.
    #[error("{capacity} images wait already")]
    Full {
        /// The queue's capacity.
        capacity: usize,
        /// When there may be room, from the speed of late.
        retry_after: Duration,
    },
    /// More wait than shall, by the time that they take.
    #[error("the queue takes {} ms, more than the {} ms of limits.target_queue_ms", wait.as_millis(), target.as_millis())]
    Congested {
        /// How long the queue takes.
        wait: Duration,
        /// How long it may take.
        target: Duration,
    },
    /// The job would still wait or run when its deadline passes.
    #[error("the queue takes longer than the deadline allows")]
    Hopeless {
        /// How long it waits, from the service times of late.
        wait: Duration,
    },
    /// The deadline had passed before the job came.
    #[error("the deadline had passed already")]
    Expired,
    /// The batcher is closed.
    #[error("the model is being unloaded")]
    Closed,
    /// Every worker is gone; nothing will ever be answered.
    #[error("every worker of the model has broken, and the log says why; load the model again")]
    Broken,
    /// The image was made for another network.
    #[error("an image made for an input of {got:?} was given to a network that takes {wanted:?}")]
    Misfit {
        /// What the network takes.
        wanted: [usize; 3],
        /// What the image was made for.
        got: [usize; 3],
    },
}

/// Why a job that was taken has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Its deadline passed while it waited, or would have before the end of its run; it was not run.
    #[error("the deadline passed in the queue")]
    Expired,
    /// The engine failed.
    #[error("{0}")]
    Failed(String),
}

/// Told of what the workers of a queue do, on their threads: it must be quick.
pub trait WorkerObserver: Send + Sync + 'static {
    /// A run ended; its images are answered next.
    fn ran(&self, _run: &FinishedRun) {}

    /// They are answered; how many that somebody waits for, and how long that took. Not told of a run that failed, nor where nobody waits.
    fn answered(&self, _images: usize, _time: Duration) {}

    /// A worker broke between two runs and begins anew; the images that it had are answered with an error.
    fn restarted(&self) {}

    /// The last worker has broken for good: what waited was answered with an error, and nothing is taken any more.
    fn gone(&self) {}
}

/// One run of the network, as its worker saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishedRun {
    /// How many images it had.
    pub images: usize,
    /// Of them, those of [`Priority::SHADOW`].
    pub shadows: usize,
    /// From the first of them to the network's last word.
    pub time: Duration,
    /// The part of it in which the batch was filled.
    pub fill: Duration,
    /// Whether there is an answer.
    pub succeeded: bool,
}

/// One image for the queue.
#[derive(Debug)]
pub struct Submission {
    /// The image.
    pub input: Input,
    /// What was said of it before it was decoded. `None`: it is judged now.
    pub announced: Option<Announced>,
    /// When whoever asked stops waiting.
    pub deadline: Option<Instant>,
    /// Whom it may overtake; as it was announced, if it was.
    pub priority: Priority,
    /// Whose it is, where clients take turns; as it was announced, if it was.
    pub client: Option<ClientId>,
    /// What else is wanted.
    pub inside: Inside,
    /// Its place among the model's images in work, which is free again as soon as nobody waits for the image: because it was
    /// answered, or because its client left. `None` where nobody counts.
    pub place: Option<OwnedSemaphorePermit>,
}
