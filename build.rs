//! Compiles every file under `proto/` with `protox`, so that no `protoc` has to be installed.
//!
//! Writes to `OUT_DIR`: one Rust file a package, its clients in `clients/`, and `descriptors.bin`, the descriptor set that gRPC reflection serves;
//! and the files that the server gives out to browsers, packed: Swagger UI's in `docs/`, the page's in `page/`.

use std::{
    env,
    error::Error,
    fs,
    io::{Cursor, Read as _, Write as _},
    path::{Path, PathBuf},
};

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut files = proto_files("proto".into())?;
    files.sort();
    let descriptors = protox::compile(&files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // `Bytes` instead of `Vec<u8>`: an image or a weight tensor is a slice of the message, not a copy.
        .bytes(".")
        .build_client(false)
        // What clients send is read within bounds.
        .codec_path("crate::server::grpc::codec::RequestCodec")
        // Numbers as fields are kept as the bytes that they are in the message.
        .extern_path(".inference.InferTensorContents", "crate::server::grpc::contents::InferTensorContents")
        .extern_path(".tensorflow.TensorProto", "crate::server::grpc::tensor_proto::TensorProto")
        .extern_path(".tensorflow.FloatList", "crate::server::grpc::tensor_proto::FloatList")
        .extern_path(".tensorflow.Int64List", "crate::server::grpc::tensor_proto::Int64List")
        .compile_fds(descriptors.clone())?;
    // What a server answers has no such bounds.
    let clients = out.join("clients");
    fs::create_dir_all(&clients)?;
    tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".resnetd.v1", "crate::server::grpc::proto")
        .extern_path(".inference", "crate::server::grpc::proto::inference")
        .extern_path(".tensorflow", "crate::server::grpc::proto::tensorflow")
        .out_dir(clients)
        .compile_fds(descriptors)?;
    let (docs, page) = (out.join("docs"), out.join("page"));
    fs::create_dir_all(&docs)?;
    fs::create_dir_all(&page)?;
    swagger_ui(&docs)?;
    println!("cargo:rerun-if-changed=src/server/http/docs/start.js");
    pack("src/server/http/docs/start.js".as_ref(), &docs)?;
    for folder in ["src/server/http/page/assets", "src/server/http/page/assets/vendor"] {
        println!("cargo:rerun-if-changed={folder}");
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_file() {
                pack(&path, &page)?;
            }
        }
    }
    Ok(())
}

/// Writes a file as gzip, the same bytes for the same file: no name, no time.
fn pack(path: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let name = path.file_name().ok_or("a file without a name")?.display();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&fs::read(path)?)?;
    Ok(fs::write(out.join(format!("{name}.gz")), packer.finish()?)?)
}

/// Takes Swagger UI's script and style sheet out of the archive that its crate has. They are packed there as gzip packs, so that only
/// head and tail have to be put around them.
fn swagger_ui(out: &Path) -> Result<(), Box<dyn Error>> {
    /// Deflate, no name, no time, any system.
    const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut archive = zip::ZipArchive::new(Cursor::new(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED))?;
    for name in ["swagger-ui-bundle.js", "swagger-ui.css"] {
        let path = format!("/dist/{name}");
        // In the one folder at the top, which has the version in its name.
        let is_it = |file: &str| file.matches('/').count() == 2 && file.ends_with(&path);
        let found = archive.file_names().position(|file| file.is_ok_and(|file| is_it(&file)));
        let index = found.ok_or(format!("Swagger UI without {name}"))?;
        let mut file = archive.by_index_raw(index)?;
        if file.compression() != zip::CompressionMethod::DEFLATE {
            return Err(format!("{name} is packed as {:?}, not by deflate", file.compression()).into());
        }
        let mut packed = HEAD.to_vec();
        file.read_to_end(&mut packed)?;
        packed.extend(file.crc32().to_le_bytes());
        packed.extend(u32::try_from(file.size())?.to_le_bytes());
        fs::write(out.join(format!("{name}.gz")), packed)?;
    }
    Ok(())
}

fn proto_files(folder: PathBuf) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(proto_files(path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(found)
}
