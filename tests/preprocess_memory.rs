//! What preparing an image takes in memory is never more than `preprocess::cost` said beforehand.
//!
//! A test binary of its own, because its allocator counts: every byte that a thread has at once, the old block and the
//! new one where a block grows.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::Write,
    path::Path,
};

use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};
use resnetd::preprocess::{
    DecodeError, DecodeLimits, Decoding, Format, Interpolation, ResizeMode, Spec, cost, preprocess, probe,
};

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    // A thread that ends has no counter any more, and nobody who asks for it.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        PEAK.with(|peak| peak.set(peak.get().max(live.get())));
    });
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64);
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Wide and high enough that what is in proportion to the pixels stands out, and no multiple of a block.
const SIDES: (usize, usize) = (811, 607);

/// Sizes whose one side is out of all proportion.
const SLIVERS: [(usize, usize); 2] = [(90_001, 3), (3, 90_001)];

/// Colours that compress neither too well nor too badly.
fn rgb((width, height): (usize, usize)) -> Vec<u8> {
    let pixel = |index: usize| {
        let (x, y) = (index % width, index / width);
        [(x / 7 + y / 5) as u8, (x * y / 91) as u8, (index * 7 / 3 % 251) as u8]
    };
    (0..width * height).flat_map(pixel).collect()
}

fn jpeg(format: PixelFormat, sampling: Subsampling, change: impl Fn(Encoder<'_>) -> Encoder<'_>) -> Vec<u8> {
    let (width, height) = SIDES;
    let pixels: Vec<u8> =
        rgb((width, height * 2)).into_iter().take(width * height * format.bytes_per_pixel()).collect();
    let encoder = Encoder::new(&pixels, width, height, format).subsampling(sampling);
    change(encoder).encode().expect("a JPEG")
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

/// A PNG of `bytes` bytes a pixel; its checksums are right.
fn png((width, height): (usize, usize), (depth, color): (u8, u8), bytes: usize, interlaced: bool) -> Vec<u8> {
    const PASSES: [[usize; 4]; 7] =
        [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
    let passes = if interlaced { &PASSES[..] } else { &[[0, 0, 1, 1]] };
    let pixels = rgb((width, height * 3));
    let mut raw = Vec::new();
    for &[left, top, across, down] in passes {
        for y in (top..height).step_by(down).filter(|_| left < width) {
            raw.push(0);
            for x in (left..width).step_by(across) {
                raw.extend(&pixels[(y * width + x) * bytes..][..bytes]);
            }
        }
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [width as u32, height as u32].map(u32::to_be_bytes).concat();
    header.extend([depth, color, 0, 0, u8::from(interlaced)]);
    for (kind, content) in [(b"IHDR", header), (b"IDAT", zlib(&raw)), (b"IEND", Vec::new())] {
        let mut checksum = flate2::Crc::new();
        checksum.update(kind);
        checksum.update(&content);
        file.extend((content.len() as u32).to_be_bytes());
        file.extend(kind);
        file.extend(&content);
        file.extend(checksum.sum().to_be_bytes());
    }
    file
}

fn gif((width, height): (usize, usize), interlaced: bool) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    let size = [width as u16, height as u16].map(u16::to_le_bytes).concat();
    file.extend(&size);
    file.extend([0xf7, 0, 0]);
    file.extend((0..=255u8).flat_map(|index| [index, index / 2, 255 - index]));
    file.extend(b",\0\0\0\0");
    file.extend(&size);
    file.extend([if interlaced { 0x40 } else { 0 }, 8]);
    let indices: Vec<u8> = rgb((width, height)).into_iter().step_by(3).collect();
    let packed = weezl::encode::Encoder::new(weezl::BitOrder::Lsb, 8).encode(&indices).expect("memory");
    for block in packed.chunks(255) {
        file.push(block.len() as u8);
        file.extend(block);
    }
    file.extend([0, b';']);
    file
}

/// A BMP of 256 colours, as it is or in run lengths.
fn bmp((width, height): (usize, usize), run_lengths: bool) -> Vec<u8> {
    let mut file = b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0".to_vec();
    file.extend([width as i32, height as i32].map(i32::to_le_bytes).concat());
    file.extend([1, 0, 8, 0, u8::from(run_lengths), 0, 0, 0]);
    file.extend([0; 20]);
    file.extend((0..=255u8).flat_map(|index| [index, 0, index / 2, 0]));
    let start = (file.len() as u32).to_le_bytes();
    file[10..14].copy_from_slice(&start);
    let indices: Vec<u8> = rgb((width, height)).into_iter().step_by(3).collect();
    for row in indices.chunks(width) {
        if run_lengths {
            file.extend(
                row.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255)).flat_map(|run| [run.len() as u8, run[0]]),
            );
            file.extend([0, 0]);
        } else {
            file.extend(row);
            file.resize(file.len().next_multiple_of(2), 0);
            file.extend(vec![0; (4 - row.len() % 4) % 4 - row.len() % 2]);
        }
    }
    file
}

/// A TIFF of RGB: `chunk` is the size of a strip or tile, `pack` makes its content.
fn tiff(size: (usize, usize), chunk: (usize, usize), compression: u32, pack: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let ((width, height), pixels) = (size, rgb(size));
    let mut file = b"II\x2a\0\0\0\0\0".to_vec();
    let (mut offsets, mut sizes) = (Vec::new(), Vec::new());
    for top in (0..height).step_by(chunk.1) {
        for left in (0..width).step_by(chunk.0) {
            let mut content = Vec::new();
            for y in top..(top + chunk.1).min(height) {
                let row = &pixels[(y * width + left) * 3..(y + 1) * width * 3];
                content.extend(&row[..row.len().min(chunk.0 * 3)]);
                content.resize((y - top + 1) * chunk.0 * 3, 0);
            }
            if chunk.0 != width {
                content.resize(chunk.0 * chunk.1 * 3, 0);
            }
            let packed = pack(&content);
            offsets.push(file.len() as u32);
            sizes.push(packed.len() as u32);
            file.extend(packed);
        }
    }
    let is_tiled = chunk.0 != width;
    let mut fields = vec![
        (256, vec![width as u32]),
        (257, vec![height as u32]),
        (258, vec![8]),
        (259, vec![compression]),
        (262, vec![2]),
        (if is_tiled { 324 } else { 273 }, offsets),
        (277, vec![3]),
        (if is_tiled { 325 } else { 279 }, sizes),
    ];
    if is_tiled {
        fields.extend([(322, vec![chunk.0 as u32]), (323, vec![chunk.1 as u32])]);
    } else {
        fields.push((278, vec![chunk.1 as u32]));
    }
    let (mut entries, mut values) = (Vec::new(), Vec::new());
    for (tag, numbers) in &fields {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        entries.extend((*tag as u16).to_le_bytes());
        entries.extend([4, 0]);
        entries.extend((numbers.len() as u32).to_le_bytes());
        if bytes.len() <= 4 {
            entries.extend(bytes);
        } else {
            entries.extend(((file.len() + values.len()) as u32).to_le_bytes());
            values.extend(bytes);
        }
    }
    file.extend(values);
    let directory = (file.len() as u32).to_le_bytes();
    file[4..8].copy_from_slice(&directory);
    file.extend((fields.len() as u16).to_le_bytes());
    file.extend(entries);
    file.extend([0; 4]);
    file
}

/// The same file, whose samples mean something else.
fn with_meaning(mut tiff: Vec<u8>, photometric: u8) -> Vec<u8> {
    let rgb = [6, 1, 4, 0, 1, 0, 0, 0, 2, 0, 0, 0];
    let at = tiff.windows(rgb.len()).rposition(|entry| entry == rgb).expect("the entry");
    tiff[at + 8] = photometric;
    tiff
}

/// Large pictures in every manner of storing that asks for another amount of memory.
fn large_images() -> Vec<(&'static str, Vec<u8>)> {
    use {PixelFormat as P, Subsampling as S};
    let (width, height) = SIDES;
    let lzw = |data: &[u8]| {
        weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(data).expect("memory")
    };
    let progressive = |_: &[u8]| {
        let pixels = rgb(SIDES);
        let encoder = Encoder::new(&pixels, width, height, P::Rgb).subsampling(S::S444).progressive(true);
        encoder.colorspace(libjpeg_turbo_rs::ColorSpace::Rgb).encode().expect("a JPEG")
    };
    let mut webp = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut webp);
    encoder.encode(&rgb(SIDES), width as u32, height as u32, image_webp::ColorType::Rgb8).expect("a WebP");
    let mut images = vec![
        ("baseline JPEG 4:2:0", jpeg(P::Rgb, S::S420, |encoder| encoder)),
        ("baseline JPEG 4:4:4", jpeg(P::Rgb, S::S444, |encoder| encoder)),
        ("baseline JPEG gray", jpeg(P::Grayscale, S::S444, |encoder| encoder)),
        ("baseline JPEG CMYK", jpeg(P::Cmyk, S::S444, |encoder| encoder)),
        ("progressive JPEG 4:2:0", jpeg(P::Rgb, S::S420, |encoder| encoder.progressive(true))),
        ("progressive JPEG 4:4:4", jpeg(P::Rgb, S::S444, |encoder| encoder.progressive(true))),
        ("arithmetic JPEG", jpeg(P::Rgb, S::S444, |encoder| encoder.arithmetic(true))),
        ("arithmetic progressive JPEG", jpeg(P::Rgb, S::S444, |encoder| encoder.arithmetic(true).progressive(true))),
        ("lossless JPEG", jpeg(P::Rgb, S::S444, |encoder| encoder.lossless(true))),
        ("JPEG with metadata", jpeg(P::Rgb, S::S420, |encoder| encoder.icc_profile(&[7; 3_000_000]))),
        ("PNG RGB", png(SIDES, (8, 2), 3, false)),
        ("PNG RGBA of 16 bits", png(SIDES, (16, 6), 8, false)),
        ("interlaced PNG gray", png(SIDES, (8, 0), 1, true)),
        ("interlaced PNG RGB", png(SIDES, (8, 2), 3, true)),
        ("interlaced PNG RGBA of 16 bits", png(SIDES, (16, 6), 8, true)),
        ("GIF", gif(SIDES, false)),
        ("interlaced GIF", gif(SIDES, true)),
        ("BMP", bmp(SIDES, false)),
        ("BMP in run lengths", bmp(SIDES, true)),
        ("lossless WebP", webp),
        ("TIFF", tiff(SIDES, (width, 16), 1, <[u8]>::to_vec)),
        ("TIFF in one strip of LZW", tiff(SIDES, (width, height), 5, lzw)),
        ("TIFF in one strip of Deflate", tiff(SIDES, (width, height), 8, zlib)),
        (
            "TIFF in one strip of Zstandard",
            tiff(SIDES, (width, height), 50000, |data| zstd::bulk::compress(data, 1).expect("a frame")),
        ),
        ("TIFF in tiles", tiff(SIDES, (256, 256), 8, zlib)),
        ("TIFF in one tile", tiff(SIDES, (2048, 1024), 8, zlib)),
        ("TIFF of YCbCr in a strip", with_meaning(tiff(SIDES, (width, height), 5, lzw), 6)),
        ("TIFF of YCbCr in tiles", with_meaning(tiff(SIDES, (256, 256), 8, zlib), 6)),
        ("TIFF of CIE Lab", with_meaning(tiff(SIDES, (width, 16), 1, <[u8]>::to_vec), 8)),
        ("TIFF of a progressive JPEG", tiff(SIDES, (width, height), 7, progressive)),
    ];
    let head = |magic: &str| format!("{magic}\n{width} {height}\n255\n").into_bytes();
    let words: String = rgb(SIDES).iter().map(|value| format!("{value} ")).collect();
    images.push(("PPM", [head("P6"), rgb(SIDES)].concat()));
    images.push(("PPM in words", [head("P3"), words.into_bytes()].concat()));
    for size in SLIVERS {
        images.push(("sliver PNG", png(size, (16, 6), 8, false)));
        images.push(("sliver interlaced PNG", png(size, (8, 2), 3, true)));
        images.push(("sliver BMP", bmp(size, false)));
        images.push(("sliver TIFF", tiff(size, (size.0, 1), 1, <[u8]>::to_vec)));
    }
    images
}

/// Every image of the fixtures.
fn small_images() -> Vec<(String, Vec<u8>)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folders = ["images", "preprocess/images"].map(|folder| fixtures.join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder of images"));
    let paths = files.map(|file| file.expect("a file").path());
    paths.map(|path| (path.display().to_string(), std::fs::read(path).expect("an image"))).collect()
}

fn specs() -> Vec<Spec> {
    vec![
        Spec::default(),
        Spec { interpolation: Interpolation::Bicubic, resize_size: Some(400), crop_size: None, ..Spec::default() },
        Spec { interpolation: Interpolation::Nearest, ..Spec::default() },
        Spec { decode: Decoding::Fast, resize_size: Some(50), ..Spec::default() },
        Spec { resize_size: None, crop_size: Some(600), ..Spec::default() },
        Spec { resize_size: Some(64), crop_size: Some(64), resize_mode: ResizeMode::Stretch, ..Spec::default() },
    ]
}

/// What preparing the image takes at once, and what was said that it would.
fn measure(bytes: &[u8], spec: &Spec) -> (u64, u64, Result<(), DecodeError>) {
    let announced = probe(bytes).map_or(0, |header| cost(&header, spec, &DecodeLimits::default()));
    // A thread of its own: what one keeps from the image before would make the next one seem cheap.
    let result = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let result = preprocess(bytes, spec, &DecodeLimits::default()).map(drop);
            (PEAK.get(), result)
        });
        work.join().expect("no panic")
    });
    (u64::try_from(result.0).unwrap_or(0), announced, result.1)
}

#[test]
fn large_images_take_no_more_than_was_announced() {
    let mut failures = Vec::new();
    for (name, bytes) in large_images() {
        let pixels = probe(&bytes).expect("a header").pixels();
        for spec in specs() {
            let (took, announced, result) = measure(&bytes, &spec);
            if took > announced {
                failures.push(format!("{name} with {spec:?}: {took} bytes, {announced} were announced"));
            }
            if let Err(error) = result {
                // A sliver may become too large; anything else must be read, or nothing was measured.
                assert!(matches!(error, DecodeError::TooLarge { .. }), "{name}: {error}");
                continue;
            }
            // A bound that is far off holds other images up for nothing.
            let slack = (8 << 20) + bytes.len() as u64 * 5 + pixels * 3;
            assert!(announced < took + slack, "{name} with {spec:?}: {took} bytes, but {announced} were announced");
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn small_images_take_no_more_than_was_announced() {
    for (name, bytes) in small_images() {
        for spec in specs() {
            let (took, announced, _) = measure(&bytes, &spec);
            assert!(took <= announced, "{name} with {spec:?}: {took} bytes, {announced} were announced");
        }
    }
}

#[test]
fn a_plain_image_is_never_whole_in_memory() {
    let plain =
        ["baseline JPEG 4:2:0", "baseline JPEG CMYK", "PNG RGBA of 16 bits", "GIF", "BMP", "TIFF in one strip of LZW"];
    for (name, bytes) in large_images().into_iter().filter(|(name, _)| plain.contains(name)) {
        let (took, announced, result) = measure(&bytes, &Spec::default());
        result.expect("pixels");
        let pixels = probe(&bytes).expect("a header").pixels();
        assert!(took < pixels * 3 / 2 && announced < 2 << 20, "{name}: {took} and {announced} bytes, {pixels} pixels");
    }
}

#[test]
fn an_empty_canvas_takes_neither_memory_nor_time() {
    // One pixel on a screen of 10,000 x 10,000.
    let mut gif = b"GIF89a\x10\x27\x10\x27\x80\0\0\x10\x20\x30\x40\x50\x60,\0\0\0\0\x01\0\x01\0\0\x02".to_vec();
    gif.extend([2, 0x4c, 0x01, 0, b';']);
    let header = probe(&gif).expect("a header");
    assert_eq!((header.format, header.pixels()), (Format::Gif, 100_000_000));
    assert!(header.work() <= 10_000, "{}", header.work());
    let (took, announced, result) = measure(&gif, &Spec::default());
    result.expect("pixels");
    assert!(took <= announced && announced < 8 << 20, "{took} and {announced} bytes");
}
