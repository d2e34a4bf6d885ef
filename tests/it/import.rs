//! Weight files as PyTorch, NumPy and safetensors write them, told in torchvision's names.
//!
//! The files of `tests/fixtures/import` come from those libraries (`make.py` there); what each must give follows from
//! the rule that it states, not from our own reading of them.

// The test's own functions, which the exemption for tests does not reach.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use resnetd::resnet::Variant;
use resnetd::resnet::import::{self, Imported, KeyLayout, Part, Reason};

const SHAPES: [(&str, &[usize]); 9] = [
    ("bn1.bias", &[2]),
    ("bn1.running_mean", &[2]),
    ("bn1.running_var", &[2]),
    ("bn1.weight", &[2]),
    ("conv1.weight", &[2, 3, 2, 2]),
    ("fc.bias", &[3]),
    ("fc.weight", &[3, 4]),
    ("layer1.0.conv1.weight", &[2, 2, 1, 1]),
    ("layer1.0.downsample.0.weight", &[4, 2, 1, 1]),
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name)
}

fn read(name: &str) -> Imported {
    import::read(&fixture(name)).unwrap()
}

fn refusal(name: &str) -> Reason {
    import::read(&fixture(name)).unwrap_err().reason
}

/// Every tensor has the shape and values that `make.py` states, and there is no other.
fn assert_is_the_fixture(imported: &Imported) {
    let names: Vec<&str> = imported.state_dict.tensors.keys().map(String::as_str).collect();
    assert_eq!(names, SHAPES.map(|(name, _)| name));
    for (name, shape) in SHAPES {
        let weight = &imported.state_dict.tensors[name];
        let base = name.bytes().map(u32::from).sum::<u32>() % 64;
        let values: Vec<f32> = (0..weight.data.len() as u32).map(|i| (base + i) as f32 / 8.0).collect();
        assert_eq!(weight.shape, shape, "{name}");
        assert_eq!(weight.data.len(), shape.iter().product::<usize>(), "{name}");
        assert_eq!(weight.data, values, "{name}");
    }
}

#[test]
fn state_dict_saved_by_torch_is_read_in_protocol_2_and_4() {
    for name in ["plain.pth", "protocol4.pth"] {
        let imported = read(name);
        assert_is_the_fixture(&imported);
        assert_eq!(imported.layout, KeyLayout::Torchvision);
    }
}

#[test]
fn strided_shared_and_half_precision_tensors_of_torch_are_read_as_they_are_seen_in_python() {
    assert_is_the_fixture(&read("views.pth"));
}

#[test]
fn state_dict_is_found_in_a_full_checkpoint_and_nothing_in_it_is_executed() {
    assert_is_the_fixture(&read("checkpoint.pth"));
    for folder in [Path::new("."), &fixture("")] {
        assert!(!folder.join("executed-by-the-importer").exists());
    }
}

#[test]
fn wrapping_prefixes_are_taken_off_even_with_the_head_outside_the_backbone() {
    assert_is_the_fixture(&read("lightning.pth"));
}

#[test]
fn known_key_of_a_checkpoint_is_preferred_and_unknown_ones_must_be_single() {
    assert_is_the_fixture(&read("two_known.pth"));
    let Reason::Ambiguous { count: 2, places } = refusal("two_unknown.pth") else { panic!("not ambiguous") };
    assert_eq!(places, r#""student", "teacher""#);
}

#[test]
fn safetensors_are_read_in_four_precisions_with_what_they_say_of_themselves() {
    for name in ["float32", "float16", "bfloat16", "float64"] {
        let imported = read(&format!("{name}.safetensors"));
        assert_is_the_fixture(&imported);
        assert_eq!(imported.notes.metadata["license"], "bsd-3-clause");
    }
}

#[test]
fn hugging_face_names_become_torchvision_names() {
    let imported = read("hugging_face.safetensors");
    assert_is_the_fixture(&imported);
    assert_eq!(imported.layout, KeyLayout::HuggingFace);
    assert_eq!(imported.notes.variant, Variant::PyTorch);
}

#[test]
fn chainer_arrays_are_read_compressed_and_in_fortran_order_from_a_snapshot() {
    for name in ["chainer.npz", "snapshot.npz"] {
        let imported = read(name);
        assert_is_the_fixture(&imported);
        assert_eq!((imported.layout, imported.notes.variant), (KeyLayout::Chainer, Variant::Chainer));
    }
}

#[test]
fn what_only_python_could_bring_back_is_refused_with_the_remedy() {
    for (name, said) in [
        ("module.pth", "torch.nn.modules.container.Sequential"),
        ("module_in_checkpoint.pth", "torch.nn.modules.container.Sequential"),
        ("torchscript.pt", "TorchScript"),
        ("quantised.pth", "torch._utils._rebuild_qtensor"),
    ] {
        let message = import::read(&fixture(name)).unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
        assert!(message.contains("state_dict"), "{message}");
    }
}

#[test]
fn the_format_before_pytorch_1_6_is_read_with_every_kind_of_view() {
    for name in ["legacy.pth", "legacy_views.pth"] {
        assert_is_the_fixture(&read(name));
    }
}

#[test]
fn of_two_networks_the_one_that_was_taken_is_told_and_a_key_chooses() {
    let imported = read("ema.pth");
    assert_is_the_fixture(&imported);
    assert_eq!(imported.part, Some(Part { key: "model".into(), beside: vec!["model_ema".into()] }));
    let ema = import::read_part(&fixture("ema.pth"), Some("model_ema")).unwrap();
    assert_is_the_fixture(&ema);
    assert_eq!(ema.part, Some(Part { key: "model_ema".into(), beside: vec!["model".into()] }));
    assert_eq!(ema.passed_over, ["n_averaged"]);
    for key in ["student", "teacher."] {
        assert_is_the_fixture(&import::read_part(&fixture("two_prefixes.pth"), Some(key)).unwrap());
        assert_is_the_fixture(
            &import::read_part(&fixture("two_unknown.pth"), Some(key.trim_end_matches('.'))).unwrap(),
        );
    }
    let message = import::read_part(&fixture("two_prefixes.pth"), Some("pupil")).unwrap_err().to_string();
    assert!(message.contains("`pupil`") && message.contains("`student.`, `teacher.`"), "{message}");
    let message = import::read_part(&fixture("ema.pth"), Some("modl_ema")).unwrap_err().to_string();
    assert!(message.contains("`modl_ema`") && message.contains("model_ema"), "{message}");
}

#[test]
fn what_training_left_beside_the_network_is_passed_over_and_named() {
    for (name, passed_over) in [
        ("criterion.pth", &["criterion.weight", "net_ema.decay"][..]),
        ("criterion_alone.pth", &["criterion.weight", "loss.step"]),
    ] {
        let imported = read(name);
        assert_is_the_fixture(&imported);
        assert_eq!(imported.passed_over, passed_over);
    }
}

#[test]
fn a_new_head_is_found_under_its_name_and_one_of_several_layers_is_refused() {
    for name in ["sequential_head.pth", "mmpretrain.pth"] {
        let imported = read(name);
        assert_is_the_fixture(&imported);
        assert!(imported.passed_over.is_empty());
    }
    assert!(matches!(refusal("deep_head.pth"), Reason::Variant { name, .. } if name == "fc.4.weight"));
}

#[test]
fn caffe2_blobs_are_read_from_the_pickles_of_python_2_and_3() {
    for name in ["caffe2_protocol2.pkl", "caffe2_protocol4.pkl", "caffe2_protocol5.pkl", "caffe2_python2.pkl"] {
        let imported = read(name);
        assert_is_the_fixture(&imported);
        assert_eq!((imported.layout, imported.notes.variant), (KeyLayout::Caffe2, Variant::Caffe2));
    }
    let trained = read("caffe2_momentum.pkl");
    assert_is_the_fixture(&trained);
    assert!(trained.passed_over.len() == 9 && trained.passed_over.iter().all(|name| name.ends_with("_momentum")));
    let fixed = read("caffe2_fixed.pkl").state_dict;
    assert_eq!(fixed.tensors["bn1.running_mean"].data, [0.0, 0.0]);
    for variance in &fixed.tensors["bn1.running_var"].data {
        assert!((f64::from(*variance) + 1e-5 - 1.0).abs() < 1e-7, "a scale and a shift stay what they are");
    }
}

#[test]
fn weights_of_keras_are_read_in_each_of_its_formats() {
    for name in ["keras_weights.h5", "keras_model.h5", "keras.weights.h5", "model.keras"] {
        let imported = read(name);
        assert_is_the_fixture(&imported);
        assert_eq!((imported.layout, imported.notes.variant), (KeyLayout::Keras, Variant::Keras), "{name}");
        let seed: &[&str] =
            if name.contains("model.keras") || name.contains(".weights") { &["seed_generator/0"] } else { &[] };
        assert_eq!(imported.passed_over, seed, "{name}");
    }
}

#[test]
fn hdf5_files_that_are_not_read_are_refused_with_the_way_to_save_them_again() {
    for (name, said) in [
        ("keras_packed.h5", "without libver and compression"),
        ("keras_latest.h5", "without libver and compression"),
        ("packed.keras", "model.save("),
        ("keras_unnamed.weights.h5", "Keras 3.4"),
        ("keras_two_heads.h5", "`predictions/kernel` belongs to a network whose classifier has several layers"),
        ("keras_version_2.h5", "pre-activation"),
    ] {
        let refused = refusal(name).to_string();
        assert!(refused.contains(said), "{name}: {refused}");
    }
}

#[test]
fn checkpoint_without_a_state_dict_is_refused_with_its_keys() {
    let Reason::NoStateDict { found } = refusal("no_state_dict.pth") else { panic!("another reason") };
    assert_eq!(found, r#"the keys "epoch", "loss""#);
}

#[test]
fn weights_that_are_no_floats_are_refused_by_name() {
    assert!(matches!(refusal("integers.pth"), Reason::Dtype { name, .. } if name == "fc.weight"));
}
