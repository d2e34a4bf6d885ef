//! `:classify` of several models at once.

use serde_json::json;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use super::classify::{EnsembleMethod, takes_pictures};
use crate::server::http::{
    description::{AnswerHeader, Described, RefusalStatus, Tag, content, reference},
    v1::{rows::OutputRow, several::SeveralDocument},
};

/// What several models say together.
#[derive(IntoParams)]
#[expect(dead_code, reason = "read by client authors; `options` takes it apart")]
struct EnsembleOption {
    /// `mean`: the answer also has the classes by the mean of all models' probabilities. Their labels must be the same.
    #[param(nullable = false)]
    ensemble: Option<EnsembleMethod>,
}

const TEXT: &str = "\
Asks up to 8 models at once, their names with commas between: the body is read once, and each picture is decoded once for all models that \
prepare it alike. Every model answers from its own queue, all by the one deadline.

A version stands behind the name, `a@3` by its number or `a@stable` by its label; two versions of one model may be asked, one version twice may \
not.

```sh
curl --data-binary @cat.jpg 'http://127.0.0.1:8000/v1/models/resnet18,resnet50@3:classify?ensemble=mean'
```

200 where any model answers. One that fails (its queue is full, it is loading, it has fewer classes than `top_k`) has its error in its place. \
Where none answers, and where the call names a model that there is not, the whole call is refused.";

fn in_path(name: &str, text: &str, example: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(text))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .example(Some(json!(example)))
        .build()
}

pub(in crate::server::http::v1) fn classify_several() -> Described {
    let described = Described::new(Tag::Own, "classifySeveral", "The most probable classes by several models", TEXT)
        .parameter(in_path("model", "A model, with its version where one is meant.", "resnet18"))
        .parameter(in_path("other", "Another one, or several with commas between.", "resnet50@3"))
        .refuses([RefusalStatus::NotFound])
        .query::<EnsembleOption>();
    let class = |probability: f32| json!({ "index": 3, "label": "cat", "probability": probability });
    let example = json!({
        "models": [
            {
                "model": "resnet18", "version": 1, "architecture": "resnet18",
                "predictions": [{ "classes": [class(0.75)] }],
                "timing_ms": { "preprocess": 2.1, "queue": 0.021, "inference": 20.5, "total": 23.2 },
                "batch_size": 1,
            },
            { "model": "resnet50", "error": "model `resnet50` has 128 images in work, its limit; try again later", "code": "OVERLOADED" },
        ],
        "ensemble": { "error": "model `resnet50` has 128 images in work, its limit; try again later", "code": "OVERLOADED" },
    });
    let answer = content(reference::<SeveralDocument<'_>>()).example(Some(example)).build();
    takes_pictures(described).knows::<SeveralDocument<'_>>().knows::<OutputRow>().answers_with(
        "What each model says, in the order of the call.",
        [("application/json", answer)],
        &[AnswerHeader::ServerTiming],
    )
}
