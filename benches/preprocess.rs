//! Preprocessing of one photo: decoding alone, everything, and the normalization that a worker adds.
//!
//! `cargo bench --bench preprocess`. Against Pillow: `benches/preprocess_vs_pillow.py`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use resnetd::preprocess::{DecodeLimits, Interpolation, Orientation, Spec, decode, preprocess, probe};
use resnetd::tensor::{ColorOrder, Layout, Normalizer};

const PHOTO: &[u8] = include_bytes!("../tests/fixtures/preprocess/images/photo_500x375.jpg");
const LARGE: &[u8] = include_bytes!("../tests/fixtures/images/jpeg_wide.jpg");
const PNG: &[u8] = include_bytes!("../tests/fixtures/images/png_rgb.png");
const TURNED: &[u8] = include_bytes!("../tests/fixtures/images/jpeg_exif6.jpg");

fn files(c: &mut Criterion) {
    let limits = DecodeLimits::default();
    for (name, bytes) in [("500x375.jpg", PHOTO), ("1920x480.jpg", LARGE), ("451x300.png", PNG), ("turned.jpg", TURNED)]
    {
        let mut group = c.benchmark_group(name);
        let pixels = probe(bytes).expect("a header").pixels();
        group.throughput(Throughput::Elements(pixels));
        group.bench_function("probe", |b| b.iter(|| probe(black_box(bytes))));
        group.bench_function("decode", |b| b.iter(|| decode(black_box(bytes), Orientation::Ignore, &limits)));
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Nearest] {
            let spec = Spec { interpolation, ..Spec::default() };
            let label = format!("preprocess/{interpolation:?}");
            group.bench_function(label, |b| b.iter(|| preprocess(black_box(bytes), &spec, &limits)));
        }
        group.finish();
    }
}

fn normalize(c: &mut Criterion) {
    let pixels = preprocess(PHOTO, &Spec::default(), &DecodeLimits::default()).expect("pixels");
    let mut out = vec![0.0; pixels.data().len()];
    let mut group = c.benchmark_group("normalize/224x224");
    for layout in [Layout::Nchw, Layout::Nhwc] {
        let normalizer =
            Normalizer::new(1.0 / 255.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], ColorOrder::Rgb, layout);
        group.bench_function(format!("{layout:?}"), |b| b.iter(|| normalizer.write(black_box(&pixels), &mut out)));
    }
    group.finish();
}

criterion_group!(benches, files, normalize);
criterion_main!(benches);
