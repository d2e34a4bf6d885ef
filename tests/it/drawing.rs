//! Networks drawn: what the parts weigh is what is published, every fixture becomes well-formed SVG, and whatever a graph or a
//! model is called stays text.

use std::{path::Path, str::FromStr, sync::Arc};

use resnetd::{
    drawing::{Drawing, comparison, comparison_page, page},
    inspect::{Inspection, PartWeight, differences, inspect, inspect_file},
    onnx::{AttributeProto, DataType, GraphBuilder, ModelProto, value_info},
    resnet::{
        GraphOptions,
        architecture::{self, Architecture, IdentityPadding},
        network,
        state_dict::{StateDict, Weight},
    },
};

use crate::support::{program::resnetd, server::TestServer};

/// Graphs of other exporters, those that are no ResNet among them.
fn fixtures() -> Vec<(String, Inspection)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "onnx"));
    files.sort();
    assert!(files.len() > 15);
    files
        .into_iter()
        .map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), inspect_file(&file).unwrap()))
        .collect()
}

fn built(architecture: &Architecture) -> ModelProto {
    let zeros = |(name, shape): (String, Vec<usize>)| {
        let data = vec![0.0; shape.iter().product()];
        (name, Weight { shape, data })
    };
    let tensors = architecture.tensors().into_iter().map(zeros).collect();
    let options = GraphOptions { keep_bn: true, ..GraphOptions::default() };
    network(architecture, StateDict { tensors }, &options).unwrap()
}

fn inspected(architecture: &Architecture) -> Inspection {
    inspect(&built(architecture)).unwrap()
}

fn named(name: &str) -> Architecture {
    Architecture::from_str(name).unwrap()
}

fn svg(inspection: &Inspection) -> String {
    Drawing { title: "a file", inspection, preparation: &[], labels: &[] }.svg()
}

/// The parts in order: stem, stages, head.
fn weights(inspection: &Inspection) -> Vec<(u64, u64)> {
    let anatomy = inspection.anatomy.as_ref().unwrap();
    let stages = anatomy.stages.iter().map(|stage| stage.weight);
    let all = [anatomy.stem_weight].into_iter().chain(stages).chain([anatomy.head.weight]);
    all.map(|PartWeight { parameters, macs }| (parameters, macs.unwrap())).collect()
}

/// Fails unless every element is closed where it should be, and no text holds what XML does not allow.
fn well_formed(text: &str) {
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "control characters");
    let mut open = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a bare > in {:?}", &rest[..start]);
        let end = rest[start..].find('>').expect("a tag ends") + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in order");
        } else if !tag.ends_with('/') {
            let name = tag.split_whitespace().next().expect("a name");
            if name == "style" {
                rest = &rest[rest.find("</style>").expect("an end") + 8..];
            } else {
                open.push(name);
            }
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn the_parts_of_resnet_18_and_50_weigh_what_torchvisions_do() {
    // Parameters: `sum(p.numel() for p in getattr(model, part).parameters())` of torchvision 0.29 by part; multiplications as
    // table 1 of the paper counts them, with the stride where torchvision has it. Their sums are the published ones.
    assert_eq!(
        weights(&inspected(&named("resnet18"))),
        [
            (9_536, 118_013_952),
            (147_968, 462_422_016),
            (525_568, 411_041_792),
            (2_099_712, 411_041_792),
            (8_393_728, 411_041_792),
            (513_000, 512_000),
        ]
    );
    let resnet50 = [
        (9_536, 118_013_952),
        (215_808, 667_942_912),
        (1_219_584, 1_027_604_480),
        (7_098_368, 1_464_336_384),
        (14_964_736, 809_238_528),
        (2_049_000, 2_048_000),
    ];
    assert_eq!(weights(&inspected(&named("resnet50"))), resnet50);
}

#[test]
fn the_papers_resnet_50_has_its_3_8_billion() {
    let early = Architecture { stride_in: architecture::StrideIn::Conv1x1, ..named("resnet50") };
    let inspection = inspected(&early);
    // 3.8 in table 1 of the paper.
    assert_eq!((inspection.parameters, inspection.macs), (25_557_032, Some(3_857_973_248)));
    assert!(svg(&inspection).contains("stride in the first 1x1"));
    assert!(!svg(&inspected(&named("resnet50"))).contains("stride in the first 1x1"));
}

#[test]
fn all_parts_together_are_the_network_whoever_exported_it() {
    let mut recognised = 0;
    for (file, inspection) in fixtures() {
        let Some(anatomy) = &inspection.anatomy else { continue };
        recognised += 1;
        let stages = anatomy.stages.iter().map(|stage| stage.weight);
        let parts: Vec<_> = [anatomy.stem_weight, anatomy.head.weight].into_iter().chain(stages).collect();
        assert_eq!(parts.iter().map(|part| part.parameters).sum::<u64>(), inspection.parameters, "{file}");
        let macs = parts.iter().try_fold(0, |sum: u64, part| Some(sum + part.macs?));
        assert_eq!(macs, inspection.macs, "{file}");
        assert!(parts.iter().all(|part| part.parameters > 0), "{file}: {parts:?}");
        let modules = anatomy.stages.iter().map(|stage| stage.modules.iter().map(|it| it.count).sum::<usize>());
        let counted: Vec<_> = inspection.resnet.as_ref().unwrap().stages.iter().map(|stage| stage.modules).collect();
        assert_eq!(modules.collect::<Vec<_>>(), counted, "{file}");
    }
    assert!(recognised >= 12, "{recognised}");
}

#[test]
fn every_fixture_is_drawn_well_formed_and_not_without_bounds() {
    for (file, inspection) in fixtures() {
        let svg = svg(&inspection);
        well_formed(&svg);
        assert!(svg.len() < 120_000, "{file}: {}", svg.len());
        assert!(
            svg.contains("prefers-color-scheme:dark") && svg.contains("<title>") && svg.contains("<desc>"),
            "{file}"
        );
        if let Some(reason) = &inspection.no_resnet {
            assert!(svg.contains("No ResNet"), "{file}: {reason}");
        }
    }
}

#[test]
fn what_is_unusual_is_seen() {
    let of = |file: &str| {
        let (_, inspection) = fixtures().into_iter().find(|(name, _)| name == file).unwrap();
        svg(&inspection)
    };
    assert!(of("timm_seresnet50.onnx").contains(">squeeze-and-excitation<"));
    assert!(of("timm_resnet50d.onnx").contains(">mean first<"));
    let option_a = Architecture {
        shortcut: architecture::Shortcut::Identity(IdentityPadding::Trailing),
        ..named("resnet20-cifar")
    };
    let drawn = svg(&inspected(&option_a));
    assert!(drawn.contains(">zeros behind<") && drawn.contains(">every 2nd<"), "{drawn}");
    assert!(!drawn.contains(">no max-pool<"), "a CIFAR stem has none, and that is not unusual");
}

#[test]
fn uneven_padding_is_seen_as_numbers_and_as_tensorflow_says_it() {
    // At an even size TensorFlow pads a 3x3 of stride 2 below and on the right only; exporters write that as numbers or leave it as
    // `SAME_UPPER`, which pads what has stride 1 evenly.
    let drawn = |is_named: bool| {
        let mut model = built(&named("resnet18"));
        for node in &mut model.graph.as_mut().unwrap().node {
            if node.op_type == "Conv" && node.ints("kernel_shape") == Some(&[3, 3]) {
                let is_strided = node.ints("strides") == Some(&[2, 2]);
                if is_named {
                    node.attribute.retain(|attribute| attribute.name != "pads");
                    node.attribute.push(AttributeProto::of_string("auto_pad", "SAME_UPPER"));
                } else if is_strided {
                    node.attribute.retain(|attribute| attribute.name != "pads");
                    node.attribute.push(AttributeProto::of_ints("pads", &[0, 0, 1, 1]));
                }
            }
        }
        let inspection = inspect(&model).unwrap();
        assert!(
            inspection.unusual.iter().any(|it| it.starts_with("3 convolutions are padded unevenly")),
            "{inspection:?}"
        );
        let drawn = svg(&inspection);
        well_formed(&drawn);
        drawn
    };
    let (numbers, same) = (drawn(false), drawn(true));
    assert!(numbers.contains(">padded unevenly<"), "{numbers}");
    assert_eq!(numbers, same);
    assert!(!svg(&inspected(&named("resnet18"))).contains("padded unevenly"));
}

#[test]
fn a_network_of_thousands_of_layers_is_drawn_on_one_sheet() {
    let mut many = inspected(&named("resnet[300,2,2,2]-basic-cifar"));
    let drawn = svg(&many);
    well_formed(&drawn);
    assert!(drawn.contains("+292") && drawn.len() < 60_000, "{}", drawn.len());
    // As hostile as it can be made: every list long, every text long.
    let stages = (0..400).map(|_| many.resnet.as_ref().unwrap().stages[0].clone()).collect();
    many.resnet.as_mut().unwrap().stages = stages;
    let opened = many.anatomy.as_ref().unwrap().stages[0].clone();
    many.anatomy.as_mut().unwrap().stages = vec![opened; 400];
    many.unusual = vec!["long ".repeat(5_000); 500];
    let drawn = svg(&many);
    well_formed(&drawn);
    // The description says everything, for those who cannot see.
    let (before, after) = (drawn.find("<desc>").unwrap(), drawn.find("</desc>").unwrap());
    assert!(drawn.len() - (after - before) < 60_000, "{}", drawn.len());
    assert!(after - before < 20_000, "{}", after - before);
}

/// A graph whose names are markup.
fn hostile() -> ModelProto {
    let mut graph = GraphBuilder::new("<graph>");
    let x = graph.input(value_info("</svg><script>alert(1)</script>", DataType::Float, &[3, 8, 8]));
    let y = graph.node("<script>", "\"><script>", &[&x], Vec::new());
    let y = graph.relu("</text>&amp;\u{1b}[31m", &y);
    graph.output(&y, value_info("</text><b>\u{1b}[31m", DataType::Float, &[3, 8, 8]));
    graph.finish(8, 17, &[("<b>".to_owned(), "]]><script>".to_owned())])
}

#[test]
fn names_and_labels_are_text_whatever_is_in_them() {
    let inspection = inspect(&hostile()).unwrap();
    let bad = "</title></text><script>alert('1')</script>\u{1b}[2J\u{202e}";
    let labels: Vec<Arc<str>> = vec![Arc::from(bad), Arc::from("<b>")];
    let preparation = vec![bad.to_owned()];
    let drawing = Drawing { title: bad, inspection: &inspection, preparation: &preparation, labels: &labels };
    let mut pages = vec![drawing.svg(), comparison(&drawing, &drawing)];
    let mut html = Vec::new();
    page(&drawing, &mut html).unwrap();
    comparison_page(&drawing, &drawing, &mut html).unwrap();
    well_formed(&pages[0]);
    well_formed(&pages[1]);
    pages.push(String::from_utf8(html).unwrap());
    for text in pages {
        assert!(!text.contains("<script") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        assert!(!text.contains("<b>"), "{text}");
    }
}

#[test]
fn two_graphs_are_told_apart_part_by_part() {
    let late = inspected(&named("resnet50"));
    let early = inspected(&Architecture { stride_in: architecture::StrideIn::Conv1x1, ..named("resnet50") });
    let found = differences(&late, &early);
    let what: Vec<&str> = found.iter().map(|difference| &*difference.what).collect();
    assert_eq!(what, ["stage 2", "stage 3", "stage 4", "stride", "MACs", "metadata"], "{found:?}");
    let stride = &found[3];
    assert!(stride.a.contains("3x3") && stride.b.contains("first 1x1"), "{stride:?}");
    assert!(differences(&late, &late).is_empty());
    let smaller = inspected(&named("resnet18"));
    let drawn = comparison(
        &Drawing { title: "one", inspection: &late, preparation: &[], labels: &[] },
        &Drawing { title: "other", inspection: &smaller, preparation: &[], labels: &[] },
    );
    well_formed(&drawn);
    assert!(drawn.contains("class=\"differs\"") && drawn.contains("What differs"));
}

#[test]
fn the_command_draws_compares_and_says_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx").join(name);
        path.to_str().unwrap().to_owned()
    };
    let (resnet50, other) = (fixture("torchscript_resnet50.onnx"), fixture("keras_resnet50.onnx"));
    let run = |arguments: &[&str]| {
        let output = resnetd(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let drawn = run(&["inspect", &resnet50, "--format", "svg"]);
    well_formed(drawn.trim_end());
    let html = run(&["inspect", &resnet50, "--format", "html"]);
    assert!(html.starts_with("<!doctype html>") && html.contains("<svg") && html.contains("25,530,472"));
    let told = run(&["inspect", &resnet50, &other]);
    assert!(told.contains("stride") && told.contains("B  in the first 1x1 convolution"), "{told}");
    let same = run(&["inspect", &resnet50, &resnet50]);
    assert!(same.contains("no difference"), "{same}");
    let json: serde_json::Value =
        serde_json::from_str(&run(&["inspect", &resnet50, &other, "--format", "json"])).unwrap();
    assert_eq!(json["a"]["anatomy"]["stages"][0]["weight"]["macs"], 667_942_912);
    assert!(json["differences"].as_array().unwrap().len() > 3);
    run(&["inspect", &resnet50, &other, "--format", "svg", "--output", "both.svg"]);
    well_formed(std::fs::read_to_string(folder.path().join("both.svg")).unwrap().trim_end());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_draws_what_it_serves_by_every_name_that_it_has() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let model = "/v1/models/resnet20-cifar10";
    for path in [model.to_owned(), format!("{model}/versions/1"), format!("{model}/labels/stable")] {
        let answer = http.get(&format!("{path}/architecture.svg")).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("image/svg+xml"));
        assert!(answer.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
        let drawn = String::from_utf8(answer.body.clone()).unwrap();
        well_formed(&drawn);
        assert!(drawn.contains(">resnet20-cifar10, version 1<") && drawn.contains("RGB, divided by 255"), "{drawn}");
        assert!(drawn.contains("classes: airplane, automobile"), "{drawn}");
    }
    http.get("/v1/models/nobody/architecture.svg").await.refusal(404, "NOT_FOUND");
}
