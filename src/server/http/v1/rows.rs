//! The outputs of one image in JSON: its row of each, as numbers or as base64.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::asked::Encoding;
use crate::service::NamedOutput;

/// `{"features": [0.5, …], "logits": […]}`, or `{"features": {"b64": "…"}}` with the numbers as `f32`, little-endian.
pub(super) struct ImageOutputs<'a> {
    pub(super) outputs: &'a [NamedOutput],
    pub(super) image: usize,
    pub(super) encoding: Encoding,
}

/// Numbers as `f32`, little-endian, in base64.
#[derive(Serialize, ToSchema)]
pub(super) struct Base64Row {
    #[schema(format = Byte)]
    b64: String,
}

/// One output of one picture: numbers, or base64 where that was asked for.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by client authors; each is written as it is")]
pub(super) enum OutputRow {
    Numbers(Vec<f32>),
    Base64(Base64Row),
}

impl Serialize for ImageOutputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.outputs.iter().map(|output| (&*output.name, row(output, self.image)));
        match self.encoding {
            Encoding::Numbers => serializer.collect_map(rows),
            Encoding::Base64 => serializer.collect_map(rows.map(|(name, row)| (name, base64(row)))),
        }
    }
}

fn row(output: &NamedOutput, image: usize) -> &[f32] {
    output.values.chunks_exact(output.shape[1].max(1)).nth(image).unwrap_or_default()
}

fn base64(row: &[f32]) -> Base64Row {
    let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
    Base64Row { b64: BASE64_STANDARD.encode(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_has_its_row_of_each_output_as_numbers_or_as_bytes() {
        let outputs = [
            NamedOutput { name: "features".into(), shape: [2, 3], values: vec![0.0, 1.0, 2.0, 0.5, -1.0, 3.5] },
            NamedOutput { name: "logits".into(), shape: [2, 1], values: vec![7.0, 8.0] },
        ];
        let json =
            |encoding| serde_json::to_string(&ImageOutputs { outputs: &outputs, image: 1, encoding }).expect("JSON");
        assert_eq!(json(Encoding::Numbers), r#"{"features":[0.5,-1.0,3.5],"logits":[8.0]}"#);
        // Python: base64.b64encode(struct.pack("<3f", 0.5, -1, 3.5)), and of 8.
        assert_eq!(json(Encoding::Base64), r#"{"features":{"b64":"AAAAPwAAgL8AAGBA"},"logits":{"b64":"AAAAQQ=="}}"#);
    }
}
