//! Where a provider's library is, and what is missing when it cannot be used.
//!
//! OpenVINO and TensorRT are plugins: shared libraries that ONNX Runtime loads when it is told to. CUDA is a library of
//! the GPU build of ONNX Runtime itself. The search order is part of the contract: `RESNETD_PLUGIN_DIR`, beside the
//! binary, then where `make` puts it. Files only: nothing is loaded here.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{Provider, engine::PrecisionError, library, processor::Processor, shared_object};

/// The environment variable that names the folder of the plugins and ends the search.
pub const PLUGIN_VARIABLE: &str = "RESNETD_PLUGIN_DIR";

/// Why a provider cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProviderError {
    /// Its library is not there.
    #[error("provider `{provider}` needs {file}, which was not found (looked in {}): {}", join(looked_in), remedy(*provider))]
    Missing {
        /// Which.
        provider: Provider,
        /// The library's name.
        file: &'static str,
        /// The folders that were searched.
        looked_in: Vec<PathBuf>,
    },
    /// Its library does not load: half a file, a wrong version, a library that it needs itself.
    #[error("provider `{provider}`: {path} cannot be used: {cause}. To mend it: {}", remedy(*provider))]
    Unusable {
        /// Which.
        provider: Provider,
        /// The file that was tried.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The runtime that is loaded was built without it.
    #[error("provider `{provider}`: the ONNX Runtime at {runtime} was built without it: {}", remedy(*provider))]
    NotBuiltIn {
        /// Which.
        provider: Provider,
        /// The runtime's library.
        runtime: PathBuf,
    },
    /// It loads and finds nothing to run on.
    #[error("provider `{provider}` finds no device here: {cause}")]
    NoDevice {
        /// Which.
        provider: Provider,
        /// What was looked for.
        cause: String,
    },
    /// It has no such arithmetic.
    #[error(transparent)]
    Precision(#[from] PrecisionError),
}

impl ProviderError {
    /// Whether the provider is simply not installed or has no device here. `auto` then goes without it and says
    /// nothing; only whoever asked for this provider is told.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::NoDevice { .. } | Self::NotBuiltIn { .. })
    }
}

/// How a provider is got.
fn remedy(provider: Provider) -> &'static str {
    match provider {
        Provider::Cpu => "reinstall ONNX Runtime",
        Provider::Openvino => {
            "`make runtime-openvino` fetches it whole; or unpack the Python wheel onnxruntime-ep-openvino 1.8.1 and set \
             RESNETD_PLUGIN_DIR to its folder"
        }
        Provider::Cuda => {
            "set ORT_DYLIB_PATH to the libonnxruntime.so of the Python wheel onnxruntime-gpu 1.31, with its \
             libonnxruntime_providers_*.so beside it, install NVIDIA's driver, CUDA 13 and cuDNN 9, and set \
             LD_LIBRARY_PATH to the folders of their libraries"
        }
        Provider::Tensorrt => {
            "unpack the Python wheel onnxruntime-ep-nv-tensorrt-rtx-cu12, set RESNETD_PLUGIN_DIR and LD_LIBRARY_PATH to \
             its folder, link libtensorrt_rtx.so.1, libtensorrt_onnxparser_rtx.so.1 and libcudart.so.12 to its versioned \
             files there, and install NVIDIA's driver"
        }
    }
}

fn join(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The library of a plugin provider and the name that ONNX Runtime knows it by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plugin {
    pub(super) provider: Provider,
    file: &'static str,
    /// The name of its devices in ONNX Runtime.
    pub(super) ep: &'static str,
    /// Its folder under those that are searched.
    folder: &'static str,
}

pub(super) const OPENVINO: Plugin = Plugin {
    provider: Provider::Openvino,
    file: "libonnxruntime_providers_openvino_plugin.so",
    ep: "OpenVINOExecutionProvider",
    folder: "openvino",
};

pub(super) const TENSORRT: Plugin = Plugin {
    provider: Provider::Tensorrt,
    file: "libonnxruntime_providers_nv_tensorrt_rtx.so",
    ep: "NvTensorRTRTXExecutionProvider",
    folder: "tensorrt",
};

impl Plugin {
    /// Finds the library and checks that every library beside it is whole: the plugin loads them itself, some only long
    /// after its own start.
    ///
    /// # Errors
    /// [`ProviderError::Missing`] and [`ProviderError::Unusable`].
    pub(super) fn find(&self) -> Result<PathBuf, ProviderError> {
        let named = env::var_os(PLUGIN_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.find_in(&named.map_or_else(library::folders, |folder| vec![folder]))
    }

    fn find_in(&self, folders: &[PathBuf]) -> Result<PathBuf, ProviderError> {
        let provider = self.provider;
        let looked_in: Vec<_> = folders.iter().flat_map(|folder| [folder.clone(), folder.join(self.folder)]).collect();
        let Some(path) = looked_in.iter().map(|folder| folder.join(self.file)).find(|path| path.is_file()) else {
            return Err(ProviderError::Missing { provider, file: self.file, looked_in });
        };
        // A relative path would be looked for in the loader's own folders.
        let path = path.canonicalize().unwrap_or(path);
        for library in libraries_beside(&path) {
            if let Err(cause) = shared_object::check(&library) {
                return Err(ProviderError::Unusable { provider, path: library, cause });
            }
        }
        Ok(path)
    }
}

/// The library of the CUDA provider.
const CUDA: &str = "libonnxruntime_providers_cuda.so";

/// Finds the CUDA provider of the runtime at `runtime`; it has to lie beside it.
///
/// # Errors
/// [`ProviderError::Missing`] and [`ProviderError::Unusable`].
pub(super) fn find_cuda(runtime: &Path) -> Result<PathBuf, ProviderError> {
    let provider = Provider::Cuda;
    let folder = runtime.parent().unwrap_or(Path::new("."));
    for file in ["libonnxruntime_providers_shared.so", CUDA] {
        let path = folder.join(file);
        if !path.is_file() {
            return Err(ProviderError::Missing { provider, file, looked_in: vec![folder.to_owned()] });
        }
        shared_object::check(&path).map_err(|cause| ProviderError::Unusable { provider, path, cause })?;
    }
    Ok(folder.join(CUDA))
}

/// Where NVIDIA's driver tells its version and the names of the GPUs.
pub(super) const DRIVER_FOLDER: &str = "/proc/driver/nvidia";

/// A text that changes with the GPUs and their driver: the driver's version and the GPUs' names; empty without any.
pub(super) fn gpus(folder: &Path) -> String {
    let version = fs::read_to_string(folder.join("version")).unwrap_or_default();
    let gpus = fs::read_dir(folder.join("gpus")).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut models: Vec<_> = gpus
        .filter_map(|gpu| fs::read_to_string(gpu.join("information")).ok())
        .filter_map(|text| Some(text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim().to_owned()))
        .collect();
    models.sort_unstable();
    let driver = version.lines().next().unwrap_or_default().trim().to_owned();
    models.into_iter().chain(Some(driver).filter(|driver| !driver.is_empty())).collect::<Vec<_>>().join(", ")
}

/// The device files of NVIDIA GPUs: on Linux, in WSL, and on Jetson boards.
const GPU_NODES: [&str; 3] = ["/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-gpu"];

/// Asked before the libraries are looked for: without a GPU, the message should say so rather than name a missing
/// library.
///
/// # Errors
/// [`ProviderError::NoDevice`].
pub(super) fn gpu_visible(provider: Provider) -> Result<(), ProviderError> {
    if GPU_NODES.iter().any(|node| Path::new(node).exists()) {
        return Ok(());
    }
    let cause = format!(
        "there is no NVIDIA GPU (none of {}): install NVIDIA's driver, start a container with `--gpus all`, or set \
         provider = \"auto\"",
        GPU_NODES.join(", ")
    );
    Err(ProviderError::NoDevice { provider, cause })
}

/// Why a plugin that loads has nothing to run on, and what to set instead.
pub(super) fn offers_nothing(provider: Provider, path: &Path, processor: &Processor) -> String {
    let path = path.display();
    match (provider.is_gpu(), processor.is_intel) {
        (true, _) => format!(
            "{path} offers no GPU: TensorRT for RTX runs on compute capability 7.5, 8.6, 8.9 and 12 (GeForce RTX 20 to 50 \
             and their kin; not on an A100, H100 or B200), with a recent driver; set provider = \"cuda\", or \"auto\""
        ),
        // The hardware would do: it is the plugin that does not offer it.
        (false, Some(false)) => format!(
            "{path} offers itself on Intel's processors only, and this one is {}; set provider = \"cpu\", or \"auto\"",
            processor.name
        ),
        (false, _) => format!("{path} offers no processor; set provider = \"cpu\", or \"auto\""),
    }
}

/// A text that changes with the installed plugin: the names and sizes of its libraries.
pub(super) fn fingerprint(path: &Path) -> String {
    let mut files: Vec<_> = libraries_beside(path)
        .into_iter()
        .filter_map(|file| Some((file.file_name()?.to_str()?.to_owned(), fs::metadata(&file).ok()?.len())))
        .collect();
    files.sort_unstable();
    files.iter().map(|(name, bytes)| format!("{name}:{bytes}")).collect::<Vec<_>>().join(" ")
}

/// `path` itself first, then the other libraries of its folder.
fn libraries_beside(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().map(fs::read_dir).and_then(Result::ok);
    let others = folder.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).filter(|other| {
        let name = other.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        other != path && name.starts_with("lib") && name.contains(".so")
    });
    std::iter::once(path.to_owned()).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_plugin_says_what_is_missing_where_it_was_looked_for_and_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = OPENVINO.find_in(&[folder.path().to_owned()]).unwrap_err();
        assert!(matches!(error, ProviderError::Missing { .. }), "{error}");
        let message = error.to_string();
        let place = folder.path().join("openvino").display().to_string();
        for part in
            ["libonnxruntime_providers_openvino_plugin.so", &place, "make runtime-openvino", "onnxruntime-ep-openvino"]
        {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn half_a_plugin_is_refused_and_so_is_a_whole_one_beside_half_a_library() {
        let program = fs::read(env::current_exe().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let plugin = folder.path().join(OPENVINO.file);
        let refusal = || OPENVINO.find_in(&[folder.path().to_owned()]).unwrap_err().to_string();

        fs::write(&plugin, &program[..program.len() / 2]).unwrap();
        assert!(refusal().contains("openvino_plugin.so cannot be used: it is cut off"), "{}", refusal());

        fs::write(&plugin, &program).unwrap();
        fs::write(folder.path().join("libopenvino.so.2641"), &program[..program.len() / 2]).unwrap();
        assert!(refusal().contains("libopenvino.so.2641 cannot be used: it is cut off"), "{}", refusal());
        assert!(refusal().contains("make runtime-openvino"), "{}", refusal());
    }

    #[test]
    fn a_plugin_without_a_device_says_what_it_wants_and_what_to_set() {
        let path = Path::new("/p/libonnxruntime_providers_openvino_plugin.so");
        let said = |provider, is_intel| {
            let processor = Processor { name: "AMD EPYC 9B14".to_owned(), is_intel, ..Processor::default() };
            let cause = offers_nothing(provider, path, &processor);
            ProviderError::NoDevice { provider, cause }.to_string()
        };
        let amd = said(Provider::Openvino, Some(false));
        for part in ["Intel's processors only", "this one is AMD EPYC 9B14", "set provider = \"cpu\", or \"auto\""] {
            assert!(amd.contains(part), "{part} is missing in: {amd}");
        }
        assert!(!said(Provider::Openvino, Some(true)).contains("Intel"), "it is not the maker then");
        assert!(said(Provider::Tensorrt, Some(false)).contains("offers no GPU"));
    }

    #[test]
    fn another_gpu_or_another_driver_is_another_machine() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(gpus(folder.path()), "");
        let add = |address: &str, model: &str| {
            let gpu = folder.path().join("gpus").join(address);
            fs::create_dir_all(&gpu).unwrap();
            let text = format!("Model: \t\t {model}\nIRQ:   \t\t 42\nGPU UUID: \t GPU-1\n");
            fs::write(gpu.join("information"), text).unwrap();
        };
        add("0000:01:00.0", "NVIDIA L4");
        fs::write(folder.path().join("version"), "NVRM version: 580.65.06\nGCC version: 12\n").unwrap();
        assert_eq!(gpus(folder.path()), "NVIDIA L4, NVRM version: 580.65.06");
        add("0000:00:00.0", "NVIDIA T4");
        assert_eq!(gpus(folder.path()), "NVIDIA L4, NVIDIA T4, NVRM version: 580.65.06");
    }

    #[test]
    fn cuda_without_its_libraries_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = folder.path().join("libonnxruntime.so.1.31.1");
        let refusal = || find_cuda(&runtime).unwrap_err().to_string();
        for part in ["libonnxruntime_providers_shared.so", "onnxruntime-gpu 1.31", "CUDA 13", "cuDNN 9"] {
            assert!(refusal().contains(part), "{part} is missing in: {}", refusal());
        }
        let program = fs::read(env::current_exe().unwrap()).unwrap();
        fs::write(folder.path().join("libonnxruntime_providers_shared.so"), &program).unwrap();
        fs::write(folder.path().join(CUDA), &program[..program.len() / 2]).unwrap();
        assert!(refusal().contains("providers_cuda.so cannot be used: it is cut off"), "{}", refusal());
        fs::write(folder.path().join(CUDA), &program).unwrap();
        assert_eq!(find_cuda(&runtime).unwrap(), folder.path().join(CUDA));
    }

    #[test]
    fn another_version_of_a_plugin_has_another_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let plugin = folder.path().join("libplugin.so");
        fs::write(&plugin, "1").unwrap();
        fs::write(folder.path().join("libopenvino.so.2641"), "22").unwrap();
        let before = fingerprint(&plugin);
        fs::rename(folder.path().join("libopenvino.so.2641"), folder.path().join("libopenvino.so.2642")).unwrap();
        assert_ne!(before, fingerprint(&plugin));
    }
}
