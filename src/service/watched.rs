//! Requests from the door to their end: the line does the work, and where a model's requests are shared out among its versions, it is
//! noted what came of each.

use std::time::Instant;

use super::{Answer, Error, Request, Service, SplitKeys, decoders::Share, traffic::Spare};
use crate::preprocess::DecodeLimits;

impl Service {
    /// Answers a request. Dropping the future gives up its places in the queue.
    ///
    /// # Errors
    /// Every [`ErrorKind`](super::ErrorKind); with several images the message starts with the image's index.
    pub async fn answer(&self, request: Request) -> Result<Answer, Error> {
        self.answer_within(request, self.inner.decoders.share(), false).await.map(|(answer, _)| answer)
    }

    /// The same as a part of a call.
    ///
    /// * `decoding`: the call's part of the threads that decode
    /// * `keep_rows`: whether every image's row of probabilities comes with the answer
    pub(super) async fn answer_within(
        &self,
        request: Request,
        decoding: Share,
        keep_rows: bool,
    ) -> Result<(Answer, Vec<Box<[f32]>>), Error> {
        let Some(course) = request.target.course.clone() else { return self.work(request, decoding, keep_rows).await };
        let began = Instant::now();
        let outcome = self.work(request, decoding, keep_rows).await;
        course.note(outcome.as_ref().map(|(answer, _)| answer), began.elapsed());
        outcome
    }

    /// What is left over for what nobody waits for.
    pub(super) fn spare(&self) -> Spare {
        Spare {
            account: self.inner.account.clone(),
            decoders: self.inner.decoders.clone(),
            limits: DecodeLimits { max_pixels: self.limits().max_image_pixels },
            max_in_flight_bytes: self.limits().max_in_flight_bytes,
        }
    }

    /// What a request has under the names that models share their requests out by.
    ///
    /// * `value`: of a header, or of metadata, by its name in lowercase
    pub fn split_keys<'v>(&self, value: impl Fn(&str) -> Option<&'v [u8]>) -> SplitKeys {
        SplitKeys::new(&self.registry().current().keys, value)
    }
}
