//! Which model is asked, and what its network takes: looked up at the server, over whichever protocol is spoken.

use hyper::HeaderMap;
use serde::Deserialize;

use super::{
    desk::{OutlineError, ServerDesk},
    endpoint::Endpoint,
    form::WireProtocol,
    parts::{framed, in_path},
};
use crate::server::grpc::proto::{ListModelsRequest, ListModelsResponse, inference, model::State};

/// A model as its clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelOutline {
    /// Its name, which is the route.
    pub name: String,
    /// The name of the network's input.
    pub input: String,
    /// What its numbers are: `FP32` and the like.
    pub datatype: String,
    /// The network's input; -1 where it is free, the number of images first.
    pub shape: Vec<i64>,
}

/// What `GET /v1/models` says, as far as it is of interest.
#[derive(Deserialize)]
struct Listed {
    model_versions: Vec<ListedVersion>,
}

#[derive(Deserialize)]
struct ListedVersion {
    name: String,
    state: String,
}

/// What `GET /v2/models/{model}` says.
#[derive(Deserialize)]
struct Described {
    inputs: Vec<DescribedInput>,
}

#[derive(Deserialize)]
struct DescribedInput {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

impl ModelOutline {
    /// Asks the server.
    ///
    /// * `name`: the model; its first one that answers where there is none
    /// * `headers`: with each request
    ///
    /// # Errors
    /// See [`OutlineError`].
    pub async fn ask(
        endpoint: &Endpoint,
        protocol: WireProtocol,
        name: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Self, OutlineError> {
        let desk = match protocol {
            WireProtocol::Http1 => ServerDesk::http1(endpoint.clone(), headers.clone()),
            _ => ServerDesk::http2(endpoint.clone(), headers.clone()),
        };
        let is_grpc = protocol == WireProtocol::Grpc;
        let name = match name {
            Some(name) => name.to_owned(),
            None if is_grpc => desk.first_by_call().await?,
            None => desk.first().await?,
        };
        if is_grpc { desk.describe_by_call(name).await } else { desk.describe(name).await }
    }

    /// The longer side of the images that the network sees; `None` where it is free.
    pub fn side(&self) -> Option<u32> {
        // Without the number of images; the channels are fewer than pixels.
        let sides = self.shape.get(1..)?;
        if sides.iter().any(|side| *side < 0) {
            return None;
        }
        sides.iter().max().and_then(|side| u32::try_from(*side).ok())
    }
}

impl ServerDesk {
    async fn first(&self) -> Result<String, OutlineError> {
        let listed: Listed = self.get("/v1/models").await?;
        let available = listed.model_versions.into_iter().find(|version| version.state == "AVAILABLE");
        available.map(|version| version.name).ok_or_else(|| self.no_model())
    }

    async fn describe(&self, name: String) -> Result<ModelOutline, OutlineError> {
        let described: Described = self.get(&format!("/v2/models/{}", in_path(&name))).await?;
        let input = described.inputs.into_iter().next().ok_or_else(|| self.foreign("a model without an input"))?;
        Ok(ModelOutline { name, input: input.name, datatype: input.datatype, shape: input.shape })
    }

    async fn first_by_call(&self) -> Result<String, OutlineError> {
        let answer: ListModelsResponse =
            self.call("/resnetd.v1.Classifier/ListModels", framed(&ListModelsRequest {})).await?;
        let available = answer.models.into_iter().find(|model| model.state() == State::Available);
        available.map(|model| model.name).ok_or_else(|| self.no_model())
    }

    async fn describe_by_call(&self, name: String) -> Result<ModelOutline, OutlineError> {
        let request = inference::ModelMetadataRequest { name: name.clone(), version: String::new() };
        let answer: inference::ModelMetadataResponse =
            self.call("/inference.GRPCInferenceService/ModelMetadata", framed(&request)).await?;
        let input = answer.inputs.into_iter().next().ok_or_else(|| self.foreign("a model without an input"))?;
        Ok(ModelOutline { name, input: input.name, datatype: input.datatype, shape: input.shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_is_that_of_the_pictures_whatever_the_layout() {
        let side = |shape: &[i64]| {
            let name = String::new;
            ModelOutline { name: name(), input: name(), datatype: name(), shape: shape.to_vec() }.side()
        };
        assert_eq!(side(&[-1, 3, 224, 224]), Some(224));
        assert_eq!(side(&[8, 32, 48, 1]), Some(48));
        assert_eq!(side(&[-1, 3, -1, -1]), None);
        assert_eq!(side(&[]), None);
    }
}
