//! Tells from a graph that its images were probably not prepared as torchvision does. Pure, and no more than a warning: a graph does
//! not say it.

use super::{InputSection, Preset};
use crate::inspect::{Inspection, StrideIn};

/// TensorFlow counts a class for what is nothing of ImageNet.
const CLASSES_WITH_BACKGROUND: usize = 1001;

/// What to warn of where `model.toml` says nothing about images, and the graph looks otherwise trained.
///
/// * `classes`: how many the network has, where that is known
pub fn preset_warning(input: &InputSection, inspection: &Inspection, classes: Option<usize>) -> Option<String> {
    if *input != InputSection::default() {
        return None;
    }
    let (preset, sign) = looks_like(inspection, classes)?;
    let name = preset.name();
    Some(format!(
        "{sign}, and model.toml has no [input]: images are prepared as torchvision does, which is probably wrong; set [input] preset = \
         \"{name}\", or \"torchvision\" if it is right"
    ))
}

/// The preset that a graph looks like, and by what.
fn looks_like(inspection: &Inspection, classes: Option<usize>) -> Option<(Preset, String)> {
    let producer = inspection.producer.to_ascii_lowercase();
    let input = inspection.input.as_ref().map_or("", |image| image.name.as_str());
    let resnet = inspection.resnet.as_ref();
    if classes.or(resnet.and_then(|resnet| resnet.classes)) == Some(CLASSES_WITH_BACKGROUND) {
        return Some((Preset::Tf, "it has 1001 classes, as TensorFlow's networks have".to_owned()));
    }
    let keras_input = ["input_", "keras_tensor"].iter().any(|start| input.starts_with(start));
    let from_keras =
        producer.contains("keras") || producer.contains("tf2onnx") || (keras_input && !is_pytorch(&producer));
    if from_keras {
        let sign = format!("it looks like an export of Keras (made by {:?}, input `{input}`)", inspection.producer);
        let preset = if resnet.is_some_and(|resnet| resnet.pre_activation) { Preset::Tf } else { Preset::KerasCaffe };
        return Some((preset, sign));
    }
    let as_caffe_strides = resnet.is_some_and(|resnet| resnet.stride_in == Some(StrideIn::Conv1x1));
    let from_caffe = producer.contains("caffe")
        || input.starts_with("gpu_0/")
        || (input == "data" && as_caffe_strides && !is_pytorch(&producer));
    from_caffe.then(|| {
        let sign = format!("it looks like an export of Caffe (made by {:?}, input `{input}`)", inspection.producer);
        (Preset::KerasCaffe, sign)
    })
}

fn is_pytorch(producer: &str) -> bool {
    producer.contains("pytorch")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::inspect::inspect_file;

    fn warning(fixture: &str, classes: usize) -> Option<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx").join(fixture);
        preset_warning(&InputSection::default(), &inspect_file(&path).unwrap(), Some(classes))
    }

    #[test]
    fn exports_of_keras_and_caffe_and_1001_classes_are_told_by_their_signs() {
        for (fixture, classes, preset) in [
            ("keras_resnet50.onnx", 1000, "keras-caffe"),
            ("tf2onnx_resnet50.onnx", 1000, "keras-caffe"),
            ("caffe2_resnet50.onnx", 1000, "keras-caffe"),
            ("torchscript_resnet50.onnx", 1001, "tf"),
        ] {
            let warning = warning(fixture, classes).unwrap();
            assert!(warning.contains(&format!("preset = \"{preset}\"")), "{fixture}: {warning}");
        }
        for fixture in ["torchscript_resnet50.onnx", "dynamo_resnet34.onnx", "timm_seresnet50.onnx"] {
            assert_eq!(warning(fixture, 1000), None, "{fixture}");
        }
    }

    #[test]
    fn who_says_something_about_images_is_not_warned() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx/keras_resnet50.onnx");
        let said = InputSection { preset: Some(Preset::Torchvision), ..InputSection::default() };
        assert_eq!(preset_warning(&said, &inspect_file(&path).unwrap(), Some(1000)), None);
    }
}
