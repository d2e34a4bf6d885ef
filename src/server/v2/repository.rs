//! What a load by Triton's protocol may bring.

use crate::service::Shown;

/// Whether a load can be done as it is asked for: models come from the repository, with the settings that lie there.
///
/// * `parameters`: their names
///
/// # Errors
/// What is not taken, and what to do instead.
pub(in crate::server) fn check_load<'p>(mut parameters: impl Iterator<Item = &'p str>) -> Result<(), String> {
    let is_taken = |name: &str| name == "unload_dependents";
    match parameters.find(|name| !is_taken(name)) {
        None => Ok(()),
        Some(name) if name == "config" || name.starts_with("file:") => Err(format!(
            "`{}` is not taken: a model is loaded from the repository as it is there; put its files and its model.toml there",
            Shown(name)
        )),
        Some(name) => Err(format!("there is no parameter `{}`: leave it out", Shown(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_brings_no_files_and_no_settings() {
        assert_eq!(check_load([].into_iter()), Ok(()));
        assert_eq!(check_load(["unload_dependents"].into_iter()), Ok(()));
        for name in ["config", "file:1/model.onnx", "priority"] {
            assert!(check_load([name].into_iter()).unwrap_err().contains(name));
        }
    }
}
