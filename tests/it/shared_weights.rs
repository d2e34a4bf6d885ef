//! One copy of the weights for all sessions of a network on the processor.

use std::{collections::BTreeMap, fs, path::Path};

use resnetd::{
    resnet::{Choices, GraphOptions, Preprocessing, Recipe, Variant, build, untrained},
    runtime::{Executor, GraphSource, InnerValue, SessionOptions, Stated},
    tensor::{Batch, Logits},
};

use crate::support::{images, repository, runtime};

/// Batches that differ in every number.
fn batch(like: &resnetd::runtime::OrtExecutor, images: usize) -> Batch {
    let mut batch = Batch::new(like.signature().layout, 32, 32, images);
    for image in 0..images {
        for (index, value) in batch.push().iter_mut().enumerate() {
            *value = ((index * 37 + image * 101) % 256) as f32 / 64.0 - 2.0;
        }
    }
    batch
}

/// Logits and features to the last bit.
fn bits(executor: &mut resnetd::runtime::OrtExecutor, images: usize) -> (Vec<u32>, Vec<u32>) {
    let (mut logits, mut features) = (Logits::default(), Logits::default());
    let batch = batch(executor, images);
    executor.run_with_features(&batch, &mut logits, &mut features).unwrap();
    let of = |rows: &Logits| rows.rows().flatten().map(|value| value.to_bits()).collect();
    (of(&logits), of(&features))
}

#[test]
fn sessions_that_share_weights_answer_the_same_to_the_last_bit() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/resnet20-cifar10/1/model.onnx");
    let graph = GraphSource::File(&path);
    let inspection = resnetd::inspect::inspect_file(&path).unwrap();
    let output = &inspection.outputs[0];
    let features = InnerValue { output: output.name.clone(), value: output.features.clone(), is_output: false };
    let stated = Stated { features: vec![features], ..Stated::default() };
    let runtime = runtime();

    let shared = runtime.share_weights(graph, &stated).unwrap();
    let mut sessions = [1, 2]
        .map(|threads| runtime.executor_for(shared.graph(), SessionOptions::reference(threads, 4), &stated).unwrap());
    drop(shared);

    let mut own = runtime.executor_for(graph, SessionOptions::reference(1, 4), &stated).unwrap();
    for images in [1, 4, 3] {
        let wanted = bits(&mut own, images);
        assert!(!wanted.1.is_empty());
        for session in &mut sessions {
            assert!(bits(session, images) == wanted, "{images} images");
            assert_eq!(session.signature(), own.signature());
            assert_eq!(session.is_untrained(), own.is_untrained());
        }
    }
}

/// What of the files for shared weights this process maps: how often each.
fn mapped() -> BTreeMap<String, usize> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut files = BTreeMap::new();
    for line in maps.lines().filter(|line| line.contains("resnetd-weights-")) {
        let mut fields = line.split_whitespace().skip(2);
        let (offset, file) = (fields.next().unwrap(), fields.nth(1).unwrap());
        *files.entry(format!("{file} {offset}")).or_default() += 1;
    }
    files
}

/// An untrained ResNet-18, `net`, on one thread a session.
fn add_resnet18(folder: &Path, settings: &str) {
    let architecture = Choices::default().architecture("resnet18", Variant::PyTorch, None).unwrap();
    let weights = untrained(&architecture, 7);
    let recipe = Recipe {
        preprocessing: Preprocessing::torchvision(&architecture),
        architecture,
        options: GraphOptions::default(),
        name: "net".to_owned(),
        version: None,
        labels: None,
        force: false,
    };
    build(&recipe, weights, folder).unwrap();
    let path = folder.join("net/model.toml");
    let told = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{told}\n[runtime]\nprovider = \"cpu\"\nintra_threads = 1\n{settings}\n")).unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_model_with_two_sessions_has_its_weights_in_memory_once_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    add_resnet18(folder.path(), "instances = 2");

    let service = repository::load(folder.path());

    let twice: Vec<_> = mapped().into_iter().filter(|(_, times)| *times >= 2).collect();
    assert!(twice.len() > 20, "each weight of the network is mapped by both: {twice:?}");
    assert!(twice.iter().all(|(file, _)| !Path::new(file.split(' ').next().unwrap()).exists()), "{twice:?}");
    assert!(!repository::top_1(&service, "net", images::cifar("cat")).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_were_kept_answer_the_same_and_are_prepared_anew_where_they_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join(".weights");
    let kept = format!("weights_cache = {cache:?}\nweights_cache_max_bytes = 100000000");
    add_resnet18(folder.path(), &format!("instances = 1\n{kept}"));
    let file = |name: &str| {
        let entries: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0].join(name)
    };
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(file("weights")).unwrap());
    let best = async |service: &repository::Serving| {
        let (class, probability) = repository::best(service, "net", images::cifar("cat")).await;
        (class, probability.to_bits())
    };

    let first = best(&repository::load(folder.path())).await;
    let written = inode();
    assert_eq!(best(&repository::load(folder.path())).await, first, "from what was kept");
    assert_eq!(inode(), written);

    // Weights of a whole number of values, so that a session could be made of them.
    let weights = fs::OpenOptions::new().write(true).open(file("weights")).unwrap();
    let zeros = vec![0; fs::metadata(file("weights")).unwrap().len() as usize];
    std::io::Write::write_all(&mut &weights, &zeros).unwrap();
    assert_eq!(best(&repository::load(folder.path())).await, first, "prepared anew");
    assert_ne!(inode(), written);
}
