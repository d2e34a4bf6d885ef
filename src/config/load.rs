//! Loading the configuration: the file, the environment and the flags as layers, and why there is none.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    Config,
    layers::{Refusal, SettingLayer, judge, of_variable},
    otel, platforms,
};
use crate::{files, settings::parse};

/// It says some dozens of things.
const LARGEST_FILE: u64 = 1 << 20;

/// Environment variables that begin so are settings: `RESNETD__BATCHING__MAX_BATCH_SIZE`.
const ENVIRONMENT_PREFIX: &str = "RESNETD__";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {cause}", files::shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is no TOML.
    #[error("{}: {cause}", files::shown(path))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        cause: String,
    },
    /// An environment variable that is a setting cannot be read as text.
    #[error("environment variable {name}: its value is no UTF-8; a folder with such a name is given with --models")]
    NotUnicode {
        /// Its name.
        name: String,
    },
    /// A key or a value is wrong.
    #[error("{0}")]
    Setting(Refusal),
}

/// What the command line sets.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--models`
    pub models: Vec<PathBuf>,
    /// `--http`
    pub http: Option<SocketAddr>,
    /// `--grpc`
    pub grpc: Option<SocketAddr>,
    /// The command is about a server: what a platform says in the environment, its port and routes, counts.
    pub serving: bool,
}

impl Config {
    /// Lays all layers over these defaults, and judges what is then in force.
    ///
    /// * `file`: the configuration file, where one was named; a pipe will do
    /// * `environment`: all variables of the process
    ///
    /// # Errors
    /// [`ConfigError`] with the layer, the key, the value and what is allowed.
    pub fn load(
        self,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let environment: Vec<_> = environment.into_iter().collect();
        let mut layers = Vec::new();
        if let Some(path) = file {
            let text = read(path).map_err(|cause| ConfigError::Read { path: path.into(), cause })?;
            let table = parse(&text).map_err(|cause| ConfigError::Syntax { path: path.into(), cause })?;
            layers.push(SettingLayer { origin: files::shown(path), table });
        }
        if flags.serving {
            layers.extend(otel::layers(&environment));
        }
        layers.extend(self.variables(&environment)?);
        if flags.serving {
            layers.extend(platforms::layers(&environment));
        }
        for (flag, key, address) in [("--http", "http", flags.http), ("--grpc", "grpc", flags.grpc)] {
            let table = |address: SocketAddr| Table::from_iter([(key.to_owned(), address.to_string().into())]);
            let section = |address| Table::from_iter([("server".to_owned(), Value::Table(table(address)))]);
            layers.extend(address.map(|address| SettingLayer { origin: flag.to_owned(), table: section(address) }));
        }
        let mut config = judge(&self, &layers, Self::validate).map_err(ConfigError::Setting)?;
        if flags.serving {
            let missing = platforms::dialects(&environment).filter(|dialect| !config.server.dialects.contains(dialect));
            let missing: Vec<_> = missing.collect();
            config.server.dialects.extend(missing);
        }
        // A path may be no text, so it is no value of a table.
        match &flags.models[..] {
            [] => {}
            [one] => (config.models.dir, config.models.dirs) = (one.clone(), Vec::new()),
            several => config.models.dirs = several.to_vec(),
        }
        Ok(config)
    }

    /// One layer a variable, in the order of their names: the environment has none.
    fn variables(&self, environment: &[(OsString, OsString)]) -> Result<Vec<SettingLayer>, ConfigError> {
        let defaults = Value::try_from(self).unwrap_or_else(|_| Value::Table(Table::new()));
        let mut variables: Vec<_> = environment
            .iter()
            .filter(|(name, _)| name.as_encoded_bytes().starts_with(ENVIRONMENT_PREFIX.as_bytes()))
            .cloned()
            .collect();
        variables.sort_unstable();
        let layer = |(name, value): (OsString, OsString)| {
            let name = name.to_string_lossy().into_owned();
            let Ok(value) = value.into_string() else { return Err(ConfigError::NotUnicode { name }) };
            let table = of_variable(&name[ENVIRONMENT_PREFIX.len()..], &value, &defaults);
            Ok(SettingLayer { origin: format!("environment variable {name}"), table })
        };
        variables.into_iter().map(layer).collect()
    }
}

/// The text of the file. It was named by whoever starts the program, who may well mean a pipe.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {LARGEST_FILE} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn load(variables: &[(&str, &str)], flags: &Flags) -> Result<Config, ConfigError> {
        Config::default().load(None, variables.iter().map(|(name, value)| (name.into(), value.into())), flags)
    }

    fn with_environment(name: &str, value: &str) -> Result<Config, ConfigError> {
        load(&[(name, value)], &Flags::default())
    }

    #[test]
    fn a_later_layer_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resnetd.toml");
        fs::write(&file, "[batching]\nmax_batch_size = 16\nqueue_capacity = 9\n[server]\nhttp = \"0.0.0.0:1\"")
            .unwrap();
        let environment = [("RESNETD__BATCHING__MAX_BATCH_SIZE".into(), "32".into())];
        let flags = Flags { http: Some(SocketAddr::from(([127, 0, 0, 1], 2))), ..Flags::default() };

        let config = Config::default().load(Some(&file), environment, &flags).unwrap();

        assert_eq!((config.batching.max_batch_size, config.batching.queue_capacity), (32, 9));
        assert_eq!(config.server.http.to_string(), "127.0.0.1:2");
    }

    #[test]
    fn only_what_is_in_force_is_judged_and_in_no_order() {
        // Each of the two alone would not hold beside the default of the other.
        let (delay, grace) =
            (("RESNETD__SERVER__DRAIN_DELAY_MS", "60000"), ("RESNETD__SERVER__SHUTDOWN_GRACE_MS", "90000"));
        for pair in [[delay, grace], [grace, delay]] {
            assert_eq!(load(&pair, &Flags::default()).unwrap().server.drain_delay_ms, 60_000);
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resnetd.toml");
        fs::write(&file, "[server]\nhttp = \"nowhere\"\n[batching]\nqueue_capacity = 0").unwrap();
        let environment = [("RESNETD__BATCHING__QUEUE_CAPACITY".into(), "8".into())];
        let flags = Flags { http: Some(SocketAddr::from(([127, 0, 0, 1], 2))), ..Flags::default() };
        assert_eq!(Config::default().load(Some(&file), environment, &flags).unwrap().batching.queue_capacity, 8);
    }

    #[test]
    fn a_refusal_names_the_layers_of_what_it_speaks_of() {
        let message = |variables: &[(&str, &str)]| load(variables, &Flags::default()).unwrap_err().to_string();
        assert_eq!(
            message(&[("RESNETD__SERVER__DRAIN_DELAY_MS", "30000")]),
            "environment variable RESNETD__SERVER__DRAIN_DELAY_MS: `server.shutdown_grace_ms` is 25000, allowed is \
             `server.drain_delay_ms` or more, which is 30000"
        );
        let both = message(&[("RESNETD__SERVER__DRAIN_DELAY_MS", "30"), ("RESNETD__SERVER__SHUTDOWN_GRACE_MS", "20")]);
        assert!(both.starts_with("environment variable RESNETD__SERVER__SHUTDOWN_GRACE_MS and environment variable RESNETD__SERVER__DRAIN_DELAY_MS: "), "{both}");

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resnetd.toml");
        let in_file = |text: &str| {
            fs::write(&file, text).unwrap();
            let environment = [("RESNETD__LOG__LEVEL".into(), "debug".into())];
            Config::default().load(Some(&file), environment, &Flags::default()).unwrap_err().to_string()
        };
        for text in
            ["[server]\nmax_connections = 0", "[server]\nmax_connection = 1", "[server]\nmax_connections = \"1\""]
        {
            let message = in_file(text);
            assert!(message.starts_with(&format!("{}: `server", file.display())), "{message}");
        }
        let syntax = in_file("[server]\n\nhttp = = 1");
        assert!(syntax.contains("resnetd.toml: line 3, column 8: ") && !syntax.contains('\n'), "{syntax}");
    }

    #[test]
    fn a_platforms_port_counts_for_servers_above_file_and_environment_and_below_flags() {
        let serving = Flags { serving: true, ..Flags::default() };
        let http = |variables: &[(&str, &str)], flags: &Flags| load(variables, flags).unwrap().server.http.to_string();
        let own = ("RESNETD__SERVER__HTTP", "127.0.0.1:7");
        assert_eq!(http(&[("PORT", "8080"), own], &serving), "0.0.0.0:8080");
        assert_eq!(http(&[("PORT", "8080"), ("AIP_HTTP_PORT", "8081")], &serving), "0.0.0.0:8081");
        assert_eq!(http(&[("SAGEMAKER_BIND_TO_PORT", "9"), ("AIP_HTTP_PORT", "8")], &serving), "0.0.0.0:9");
        assert_eq!(http(&[("PORT", ""), own], &serving), "127.0.0.1:7");
        let flags = Flags { http: Some(SocketAddr::from(([127, 0, 0, 1], 2))), ..serving.clone() };
        assert_eq!(http(&[("PORT", "no port"), own], &flags), "127.0.0.1:2");
        // Other commands have nothing to do with it.
        assert_eq!(http(&[("PORT", "no port"), own], &Flags::default()), "127.0.0.1:7");
        let message = load(&[("PORT", "80a")], &serving).unwrap_err().to_string();
        assert!(message.contains("environment variable PORT") && message.contains("is no port"), "{message}");
    }

    #[test]
    fn a_platform_that_shows_itself_has_its_dialect_on() {
        use crate::config::PlatformDialect::{Sagemaker, Torchserve, Vertex};
        let server =
            |variables: &[(&str, &str)]| load(variables, &Flags { serving: true, ..Flags::default() }).unwrap().server;
        assert_eq!(server(&[("PORT", "8080")]).dialects, []);
        let vertex = server(&[("AIP_PREDICT_ROUTE", "/infer"), ("AIP_HEALTH_ROUTE", "/alive")]);
        assert_eq!((vertex.dialects, &*vertex.vertex_predict_route), (vec![Vertex], "/infer"));
        assert_eq!(vertex.vertex_health_route, "/alive");
        let both = server(&[
            ("RESNETD__SERVER__DIALECTS", "[\"torchserve\", \"sagemaker\"]"),
            ("SAGEMAKER_BIND_TO_PORT", "8080"),
        ]);
        assert_eq!(both.dialects, [Torchserve, Sagemaker]);
        let unknown = with_environment("RESNETD__SERVER__DIALECTS", "[\"kserve\"]").unwrap_err().to_string();
        assert!(unknown.contains("kserve") && unknown.contains("torchserve"), "{unknown}");
        let route = with_environment("RESNETD__SERVER__VERTEX_PREDICT_ROUTE", "predict?").unwrap_err().to_string();
        assert!(route.contains("vertex_predict_route") && route.contains("is no path"), "{route}");
    }

    #[test]
    fn text_and_numbers_come_from_the_environment() {
        assert_eq!(with_environment("RESNETD__LOG__LEVEL", "debug").unwrap().log.level, "debug");
        assert_eq!(with_environment("RESNETD__SERVER__HTTP", "[::]:80").unwrap().server.http.port(), 80);
        assert!(with_environment("RESNETD__METRICS__PREDICTIONS", "true").unwrap().metrics.predictions);
        // A folder may be called as it likes.
        for dir in ["/m", "2026", "true", "1.5", "a = b", "[x]"] {
            assert_eq!(with_environment("RESNETD__MODELS__DIR", dir).unwrap().models.dir, PathBuf::from(dir));
        }
        assert_eq!(with_environment("RESNETD__MODELS__DIR", "\"a b\"").unwrap().models.dir, PathBuf::from("a b"));
    }

    #[test]
    fn a_variable_that_is_no_text_is_refused_and_not_passed_over() {
        use std::os::unix::ffi::OsStringExt;
        let environment = [("RESNETD__MODELS__DIR".into(), OsString::from_vec(b"/m\xff".to_vec()))];
        let message = Config::default().load(None, environment, &Flags::default()).unwrap_err().to_string();
        assert!(message.contains("RESNETD__MODELS__DIR") && message.contains("--models"), "{message}");
    }

    #[test]
    fn a_host_may_be_a_name() {
        let config = with_environment("RESNETD__SERVER__HTTP", "localhost:8080").unwrap();
        assert_eq!(config.server.http.to_string(), "127.0.0.1:8080");
        let message = with_environment("RESNETD__SERVER__GRPC", ":8001").unwrap_err().to_string();
        assert!(
            message.contains("RESNETD__SERVER__GRPC: `server.grpc`") && message.contains("0.0.0.0:8001"),
            "{message}"
        );
    }

    #[test]
    fn a_mistake_is_named_with_key_value_and_range() {
        let message = |name, value| with_environment(name, value).unwrap_err().to_string();
        let unknown = message("RESNETD__BATCHING__MAX_BATCHSIZE", "8");
        assert!(
            unknown.contains("RESNETD__BATCHING__MAX_BATCHSIZE") && unknown.contains("max_batch_size"),
            "{unknown}"
        );
        let range = message("RESNETD__BATCHING__MAX_BATCH_SIZE", "2000");
        assert!(range.contains("batching.max_batch_size` is 2000, allowed is 0 to 1024"), "{range}");
        let kind = message("RESNETD__SERVER__DRAIN_DELAY_MS", "soon");
        assert!(kind.contains("server.drain_delay_ms") && kind.contains("soon"), "{kind}");
        let choice = message("RESNETD__RUNTIME__PROVIDER", "gpu");
        assert!(choice.contains("gpu") && choice.contains("openvino"), "{choice}");
        let level = message("RESNETD__LOG__LEVEL", "warning");
        assert!(
            level.contains("RESNETD__LOG__LEVEL: `log.level`: \"warning\" is no level: write off, error"),
            "{level}"
        );
    }
}
