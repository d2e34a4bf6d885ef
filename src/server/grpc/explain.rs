//! Between the service's words and the messages of `Explain`.

use std::time::Instant;

use super::{call::GrpcCall, convert, proto};
use crate::service::{
    Error, ExplainCrops, ExplainRequest, ExplainView, Explained, ExplainedClass, ExplainedCrop, Explanation, Framing,
    Target,
};

/// A message as a request of the service.
pub(super) fn request(
    message: proto::ExplainRequest,
    target: Target,
    deadline: Option<Instant>,
    call: &GrpcCall,
) -> Result<ExplainRequest, Error> {
    Ok(ExplainRequest {
        target,
        pictures: message.images,
        classes: message.classes,
        top_k: message.top_k.map(|top_k| top_k as usize),
        crops: match message.crops {
            0 => ExplainCrops::One,
            number => ExplainCrops::numbered(number.into())?,
        },
        view: ExplainView::Numbers,
        deadline,
        priority: convert::priority(message.priority),
        client: call.client,
        charge: call.charge.clone(),
        trace: call.trace(),
    })
}

/// The answer as a message.
pub(super) fn response(explained: Explained) -> proto::ExplainResponse {
    let Explained { model, version, architecture, explanations, timing, batch_size } = explained;
    proto::ExplainResponse {
        model: model.to_string(),
        version,
        architecture: architecture.to_string(),
        explanations: explanations.into_iter().map(explanation).collect(),
        timing: Some(convert::timing(&timing)),
        batch_size: batch_size as u32,
    }
}

fn explanation(Explanation { classes, framing, crops, .. }: Explanation) -> proto::Explanation {
    let Framing { picture_width, picture_height, x, y, width, height } = framing;
    proto::Explanation {
        classes: classes.into_iter().map(class).collect(),
        crop: Some(proto::Crop { x, y, width, height, mirrored: false }),
        width: picture_width,
        height: picture_height,
        crops: crops.into_iter().map(crop).collect(),
    }
}

fn crop(ExplainedCrop { x, y, width, height, is_mirrored }: ExplainedCrop) -> proto::Crop {
    proto::Crop { x, y, width, height, mirrored: is_mirrored }
}

fn class(
    ExplainedClass { index, label, probability, logit, crop_logits, map }: ExplainedClass,
) -> proto::ExplainedClass {
    let map_height = map.rows().len() as u32;
    proto::ExplainedClass {
        index: index as u32,
        label: label.to_string(),
        probability,
        logit,
        bias: map.bias,
        map_width: map.width as u32,
        map_height,
        map: map.values,
        crop_logits,
    }
}
