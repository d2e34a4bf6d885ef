//! One image of a cascade: the first model answers where it is sure, else the one that was asked for. The picture is decoded once for
//! both where they prepare it alike.

use std::{sync::Arc, time::Instant};

use super::{
    Error, ErrorKind, Item, Service, Target,
    admission::Admitted,
    answered::{Answered, RowFrom},
    cascade::{Cascade, FirstStanding},
    preparing::Common,
    served::Served,
};
use crate::{model::ServedModel, telemetry::CascadeReason};

/// Both ways of a request that follows a cascade.
pub(super) struct InTurn {
    pub(super) cascade: Arc<Cascade>,
    /// For the first model.
    pub(super) first: Common,
    /// For the one that was asked for.
    pub(super) last: Common,
}

impl InTurn {
    /// `None` where there is no first model to ask.
    ///
    /// * `last`: for the model that was asked for
    pub(super) fn of(cascade: &Arc<Cascade>, last: &Common) -> Option<Self> {
        let FirstStanding::First(served) = &cascade.standing else { return None };
        let target = Target { served: served.clone(), course: None, cascade: None, caller: None };
        Some(Self { cascade: cascade.clone(), first: Common { target, ..last.clone() }, last: last.clone() })
    }
}

impl Service {
    /// Answers one image; with the first model where that did.
    ///
    /// A place of the last model is taken when it is its turn: what the first one answers costs it nothing.
    ///
    /// * `place`: of the first model
    ///
    /// # Errors
    /// What is wrong with the image or with its time is refused as the first model refuses it, and so is what it has no room for: what it
    /// cannot take would be more than the last one can. Where it fails, the last one answers.
    pub(super) async fn answer_in_turn(
        &self,
        InTurn { cascade, first, last }: &InTurn,
        item: Item,
        place: Admitted,
    ) -> Result<(Answered, Option<Arc<Served>>), Error> {
        let item = item.for_several();
        first.target.served.last_use.note(Instant::now());
        let (earlier, reason) = match self.answer_one(first, item.clone(), place).await {
            Ok(answered) => match confidence(first.target.model(), &answered) {
                Some(confidence) if confidence >= cascade.rule.threshold => {
                    cascade.metrics.note(CascadeReason::Sure);
                    return Ok((answered, Some(first.target.served.clone())));
                }
                Some(_) => (Some(answered), CascadeReason::Unsure),
                None => (Some(answered), CascadeReason::Failed),
            },
            Err(error) if matches!(error.kind, ErrorKind::Internal | ErrorKind::Unavailable) => {
                (None, CascadeReason::Failed)
            }
            Err(error) => return Err(error),
        };
        if let Some(earlier) = &earlier
            && earlier.from == RowFrom::Run
        {
            let preprocess = (!earlier.is_decoded_elsewhere).then_some(earlier.preprocess);
            first.target.served.metrics.note_image(preprocess, earlier.reply.queued, first.trace.recorded());
        }
        let place = Admitted::of(&last.target.served, 1, last.client)?;
        let mut answered = self.answer_one(last, item, place).await?;
        cascade.metrics.note(reason);
        if let Some(earlier) = earlier {
            answered.after(&earlier);
        }
        Ok((answered, None))
    }
}

/// How probable the most probable class is; `None` where that is no number.
fn confidence(model: &ServedModel, answered: &Answered) -> Option<f32> {
    let mut row = answered.reply.logits.clone();
    if row.iter().any(|value| !value.is_finite()) {
        return None;
    }
    model.activation.apply(&mut row);
    row.iter().copied().reduce(f32::max)
}
