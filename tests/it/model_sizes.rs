//! Graphs that state sizes nobody can serve, or whose output is not what it says: each is its own failure, told with the
//! value and the remedy, and found before memory is taken for it.

use std::{fs, path::Path};

use resnetd::onnx::{self, DataType, GraphBuilder, ModelProto, fix_batch, float_tensor, int_tensor, value_info};
use tempfile::TempDir;

use crate::support::{
    images,
    repository::{failure, load, top_1},
};

/// Images of this size become the means of their channels: the smallest classifier there is.
fn means(height: usize, width: usize, then: impl FnOnce(&mut GraphBuilder, String) -> String) -> ModelProto {
    let mut graph = GraphBuilder::new("means");
    let x = graph.input(value_info("x", DataType::Float, &[3, height, width]));
    let x = graph.global_average_pool("pool", &x);
    let x = graph.flatten("flatten", &x);
    let y = then(&mut graph, x);
    graph.output(&y, value_info("y", DataType::Float, &[3]));
    graph.finish(8, 17, &[])
}

fn plain(height: usize, width: usize) -> ModelProto {
    means(height, width, |_, x| x)
}

fn add_model(repository: &Path, name: &str, model: &ModelProto, settings: &str) {
    let folder = repository.join(name);
    fs::create_dir_all(folder.join("1")).unwrap();
    onnx::write(model, &folder.join("1/model.onnx")).unwrap();
    fs::write(folder.join("model.toml"), settings).unwrap();
}

const SMALL: &str = "[input]\nresize_size = 8\ncrop_size = 8\n";

#[tokio::test(flavor = "multi_thread")]
async fn sizes_beyond_the_limits_or_memory_are_refused_and_the_others_are_served() {
    let repository = TempDir::new().unwrap();
    let root = repository.path();
    for (name, height, width) in [
        ("squares", 1 << 24, 1 << 24),
        ("beyond-32-bits", 1 << 31, 1 << 31),
        ("one-side", 1, 1 << 40),
        ("ten-thousand", 10_000, 10_000),
    ] {
        add_model(root, name, &plain(height, width), "");
    }
    for (name, batch) in [("fixed", 1 << 31), ("fixed-beyond", usize::MAX >> 1)] {
        let mut model = plain(8, 8);
        fix_batch(&mut model, "x", batch);
        add_model(root, name, &model, SMALL);
    }
    let greedy = "[batching]\nmax_batch_size = 1024\n[runtime]\ninstances = 256\n";
    add_model(root, "greedy", &plain(4096, 4096), greedy);
    add_model(root, "file", &plain(8, 8), SMALL);
    // Nothing is written of it: a hole.
    let file = fs::OpenOptions::new().write(true).open(root.join("file/1/model.onnx")).unwrap();
    file.set_len(3 << 30).unwrap();
    // What is too large inside is the engine's to refuse.
    let inside = means(8, 8, |graph, x| {
        let shape = graph.initializer(int_tensor("shape", &[1 << 40]));
        let zeros = graph.node("ConstantOfShape", "zeros", &[&shape], Vec::new());
        let sum = graph.node("ReduceSum", "sum", &[&zeros], Vec::new());
        graph.add("added", &x, &sum)
    });
    add_model(root, "inside", &inside, SMALL);
    add_model(root, "good", &plain(8, 8), SMALL);

    let service = load(root);

    assert!(!failure(&service, "inside").is_empty());
    for (name, size) in [
        ("squares", "16777216x16777216"),
        ("beyond-32-bits", "2147483648x2147483648"),
        ("one-side", "1x1099511627776"),
        ("ten-thousand", "10000x10000"),
    ] {
        let reason = failure(&service, name);
        assert!(reason.contains(size) && reason.contains("16384") && reason.contains("smaller images"), "{reason}");
    }
    for (name, value) in [("fixed", "2147483648 images"), ("fixed-beyond", "9223372036854775807 images")] {
        let reason = failure(&service, name);
        assert!(reason.contains(value) && reason.contains("free batch"), "{reason}");
    }
    let reason = failure(&service, "greedy");
    for part in ["256 sessions", "1024 images", "4096x4096", "max_batch_size", "instances"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    let reason = failure(&service, "file");
    assert!(reason.contains("3221225472 bytes") && reason.contains("2147483647"), "{reason}");
    top_1(&service, "good", images::cifar("cat")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_are_no_finite_row_of_classes_for_each_image_are_refused() {
    let repository = TempDir::new().unwrap();
    let root = repository.path();
    for (name, value) in [("above", f32::INFINITY), ("below", f32::NEG_INFINITY), ("nothing", f32::NAN)] {
        let model = means(8, 8, |graph, x| {
            let masked = graph.initializer(float_tensor("mask", &[3], &[0.0, value, 0.0]));
            graph.add("masked", &x, &masked)
        });
        add_model(root, name, &model, SMALL);
        add_model(root, &format!("{name}-raw"), &model, &format!("{SMALL}[output]\nactivation = \"none\"\n"));
    }
    let no_classes = means(8, 8, |graph, x| {
        let none = graph.initializer(int_tensor("none", &[]));
        graph.node("Gather", "gather", &[&x, &none], vec![onnx::AttributeProto::of_int("axis", 1)])
    });
    add_model(root, "no-classes", &no_classes, SMALL);
    let mut fixed = reshaped();
    fix_batch(&mut fixed, "x", 4);
    add_model(root, "fixed", &fixed, SMALL);

    let service = load(root);

    for (name, value) in [("above", "class 1 is inf"), ("below", "class 1 is -inf"), ("nothing", "class 1 is NaN")] {
        for name in [name.to_owned(), format!("{name}-raw")] {
            let reason = failure(&service, &name);
            assert!(reason.contains(value) && reason.contains("-inf") && reason.contains("weights"), "{reason}");
        }
    }
    let reason = failure(&service, "no-classes");
    assert!(reason.contains("no classes"), "{reason}");
    let reason = failure(&service, "fixed");
    assert!(reason.contains("4 images") && reason.contains("[1, 12]"), "{reason}");
}

/// All images of a batch in one row.
fn reshaped() -> ModelProto {
    means(8, 8, |graph, x| {
        let shape = graph.initializer(int_tensor("shape", &[1, -1]));
        graph.node("Reshape", "one-row", &[&x, &shape], Vec::new())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_with_a_batch_of_one_inside_is_served_one_image_at_a_time() {
    let repository = TempDir::new().unwrap();
    let root = repository.path();
    add_model(root, "reshaped", &reshaped(), SMALL);
    let baked = onnx::read(Path::new("tests/fixtures/models/reshape_baked_1.onnx")).unwrap();
    let as_made = "[input]\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n[batching]\nmax_batch_size = 8\n";
    add_model(root, "baked", &baked, as_made);

    let service = load(root);

    for (name, classes) in [("reshaped", 3), ("baked", 10)] {
        let info = service.find(name, None).unwrap().info.unwrap();
        assert_eq!((info.max_batch_size, info.labels.len()), (1, classes), "{name}");
        // More at once than a batch of one holds.
        let answers = (0..8).map(|_| top_1(&service, name, images::cifar("cat")));
        let labels = futures_util::future::join_all(answers).await;
        assert!(labels.iter().all(|label| name != "baked" || label == "7"), "{labels:?}");
    }
}
