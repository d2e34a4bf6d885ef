//! Graph files that are not what they should be, or that point out of their folder: one clear line each, and no engine sees them.

use std::{
    fs::{self, File},
    path::Path,
};

use resnetd::onnx::{
    self, AttributeProto, DataType, GraphBuilder, ModelProto, StringStringEntryProto, TensorProto,
    proto::tensor_proto::DataLocation, value_info,
};
use tempfile::TempDir;

use crate::support::{
    images,
    repository::{failure, load, top_1},
};

/// A tensor whose ten values lie in `location`.
fn elsewhere(name: &str, location: &str) -> TensorProto {
    let mut tensor = TensorProto { raw_data: Default::default(), ..onnx::float_tensor(name, &[10], &[]) };
    tensor.set_data_location(DataLocation::External);
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    tensor.external_data = vec![entry("location", location), entry("offset", "0"), entry("length", "40")];
    tensor
}

/// Three channel means to ten classes, whose biases lie in `location`; in a node's attribute where they are `hidden`.
fn network(location: &str, hidden: bool) -> ModelProto {
    let mut graph = GraphBuilder::new("net");
    let x = graph.input(value_info("x", DataType::Float, &[3, 8, 8]));
    let means = graph.global_average_pool("means", &x);
    let means = graph.flatten("flat", &means);
    let weight = graph.initializer(onnx::float_tensor("w", &[10, 3], &[0.0; 30]));
    let bias = if hidden {
        graph.node("Constant", "b", &[], vec![AttributeProto::of_tensor("value", elsewhere("", location))])
    } else {
        graph.initializer(elsewhere("b", location))
    };
    let y = graph.linear("fc", &means, &weight, &bias);
    graph.output(&y, value_info("y", DataType::Float, &[10]));
    graph.finish(8, 17, &[])
}

/// A repository of one model, `net`, with `file` as its graph, beside a file of ten floats of which the third is the largest.
fn repository(model: &ModelProto) -> TempDir {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("models/net/1");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("model.onnx"), onnx::into_bytes(model.clone())).unwrap();
    let values: Vec<u8> = (0..10).flat_map(|class| if class == 3 { 9.0_f32 } else { 0.0 }.to_le_bytes()).collect();
    fs::write(folder.join("beside.bin"), &values).unwrap();
    fs::write(root.path().join("models/net/secret.bin"), &values).unwrap();
    root
}

fn refusal(root: &Path) -> String {
    failure(&load(&root.join("models")), "net")
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_beside_the_graph_are_served() {
    let root = repository(&network("beside.bin", false));
    assert_eq!(top_1(&load(&root.path().join("models")), "net", images::photo()).await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_outside_the_folder_are_refused_wherever_they_hide() {
    let absolute = "/etc/hostname";
    for hidden in [false, true] {
        for location in ["../secret.bin", absolute, "link.bin", "*/_ORT_MEM_ADDR_/*", ""] {
            let root = repository(&network(location, hidden));
            let version = root.path().join("models/net/1");
            std::os::unix::fs::symlink(root.path().join("models/net/secret.bin"), version.join("link.bin")).unwrap();
            let refusal = refusal(root.path());
            let outside = refusal.contains("folder") || refusal.contains("no such file");
            assert!(outside && refusal.contains(&format!("{location:?}")), "{location}, hidden: {hidden}: {refusal}");
            assert!(!refusal.contains("ONNX Runtime"), "{refusal}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_are_missing_cut_short_or_were_not_fetched_are_named() {
    let root = repository(&network("model.onnx.data", false));
    let missing = refusal(root.path());
    assert!(missing.contains("\"model.onnx.data\"") && missing.contains("put it beside the model's"), "{missing}");
    fs::write(root.path().join("models/net/1/model.onnx.data"), [0; 39]).unwrap();
    assert!(refusal(root.path()).contains("39 bytes, too few"));
    let pointer = "version https://git-lfs.github.com/spec/v1\n";
    fs::write(root.path().join("models/net/1/model.onnx.data"), &pointer[..40]).unwrap();
    fs::write(root.path().join("models/net/1/model.onnx"), onnx::into_bytes(larger(network("model.onnx.data", false))))
        .unwrap();
    assert!(refusal(root.path()).contains("git lfs pull"), "{}", refusal(root.path()));
}

/// The same with a length that the pointer does not have.
fn larger(mut model: ModelProto) -> ModelProto {
    let tensor = model.graph.iter_mut().flat_map(|graph| &mut graph.initializer).find(|tensor| tensor.name == "b");
    tensor.unwrap().external_data[2].value = "4000".to_owned();
    model
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_lfs_pointer_is_called_what_it_is() {
    let root = repository(&network("beside.bin", false));
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 102442450\n";
    fs::write(root.path().join("models/net/1/model.onnx"), pointer).unwrap();
    let refusal = refusal(root.path());
    assert!(refusal.contains("Git LFS pointer") && refusal.contains("102442450 bytes"), "{refusal}");
    assert!(refusal.contains("git lfs pull") && refusal.lines().count() == 1, "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protobuf_of_more_than_two_gigabytes_is_refused_unread() {
    let root = repository(&network("beside.bin", false));
    // A file with a hole: it takes no room on the disk.
    File::create(root.path().join("models/net/1/model.onnx")).unwrap().set_len((1 << 31) + 5).unwrap();
    let refusal = refusal(root.path());
    assert!(refusal.contains("2147483647") && refusal.contains("save_as_external_data"), "{refusal}");
}
