//! What OpenTelemetry's own variables say, as settings of `[tracing]`: an operator of Kubernetes sets them for every container alike.
//!
//! `OTEL_EXPORTER_OTLP_HEADERS`, `…_COMPRESSION` and `OTEL_RESOURCE_ATTRIBUTES` are read by the library that sends; they may be secret,
//! and never become settings, which are shown.

use std::ffi::OsString;

use toml::{Table, Value};

use super::layers::SettingLayer;

/// Each variable that is for traces alone stands before the one for all signals.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];

/// The settings, a layer a variable. An empty variable is none, as the standard has it.
pub(super) fn layers(environment: &[(OsString, OsString)]) -> Vec<SettingLayer> {
    let of = |name: &'static str| Some((name, value(environment, name)?));
    let first = |names: [&'static str; 2]| names.into_iter().find_map(of);
    let mut layers = Vec::new();
    let protocol = first(PROTOCOLS).map(|(name, value)| (name, protocol_name(&value)));
    if let Some((name, endpoint)) = first(ENDPOINTS) {
        // The standard's default is protobuf over HTTP; 4317 is gRPC's port wherever it is written.
        let is_grpc = endpoint.trim_end_matches('/').ends_with(":4317");
        let guessed = if is_grpc { "grpc" } else { "http" };
        let protocol = protocol.as_ref().map_or(guessed, |(_, protocol)| protocol);
        // The endpoint of all signals is a folder of theirs.
        let is_folder = name == ENDPOINTS[1] && protocol == "http";
        let endpoint = if is_folder { format!("{}/v1/traces", endpoint.trim_end_matches('/')) } else { endpoint };
        layers.push(layer(name, "endpoint", endpoint));
        layers.push(layer(name, "protocol", protocol.to_owned()));
    }
    if let Some((name, protocol)) = protocol {
        layers.push(layer(name, "protocol", protocol));
    }
    if let Some((name, timeout)) = first(TIMEOUTS) {
        let milliseconds = timeout.parse::<i64>().map_or_else(|_| Value::String(timeout), Value::Integer);
        layers.push(layer(name, "timeout_ms", milliseconds));
    }
    if let Some((name, service)) = of("OTEL_SERVICE_NAME").or_else(|| named_among_attributes(environment)) {
        layers.push(layer(name, "service_name", service));
    }
    if let Some((name, sampler)) = of("OTEL_TRACES_SAMPLER") {
        let sampler = sampler.to_ascii_lowercase();
        let own = sampler.strip_prefix("parentbased_").unwrap_or(&sampler);
        layers.push(layer(name, "parent_based", own.len() < sampler.len()));
        match own {
            "always_on" => layers.push(layer(name, "sample_ratio", 1.0)),
            "always_off" => layers.push(layer(name, "sample_ratio", 0.0)),
            "traceidratio" => match of("OTEL_TRACES_SAMPLER_ARG") {
                Some((argument, ratio)) => {
                    let ratio = ratio.parse::<f64>().map_or_else(|_| Value::String(ratio), Value::Float);
                    layers.push(layer(argument, "sample_ratio", ratio));
                }
                None => layers.push(layer(name, "sample_ratio", 1.0)),
            },
            // Of a type that the key has not: the refusal names the variable.
            _ => layers.push(layer(name, "sample_ratio", sampler.clone())),
        }
    }
    for (name, off) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        if value(environment, name).is_some_and(|value| value.eq_ignore_ascii_case(off)) {
            layers.push(layer(name, "endpoint", String::new()));
        }
    }
    layers
}

/// `service.name` among the attributes, which `OTEL_SERVICE_NAME` stands before.
fn named_among_attributes(environment: &[(OsString, OsString)]) -> Option<(&'static str, String)> {
    const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let attributes = value(environment, ATTRIBUTES)?;
    let pairs = attributes.split(',').filter_map(|pair| pair.split_once('='));
    let mut names = pairs.filter(|(key, _)| key.trim() == "service.name").map(|(_, name)| name.trim().to_owned());
    Some((ATTRIBUTES, names.next().filter(|name| !name.is_empty())?))
}

/// Our word for a protocol of the standard; what we do not speak stays as it is, and is refused.
fn protocol_name(protocol: &str) -> String {
    match protocol {
        "http/protobuf" => "http".to_owned(),
        other => other.to_owned(),
    }
}

fn layer(name: &str, key: &str, value: impl Into<Value>) -> SettingLayer {
    let section = Table::from_iter([(key.to_owned(), value.into())]);
    let table = Table::from_iter([("tracing".to_owned(), Value::Table(section))]);
    SettingLayer { origin: format!("environment variable {name}"), table }
}

fn value(environment: &[(OsString, OsString)], name: &str) -> Option<String> {
    let (_, value) = environment.iter().find(|(known, _)| known == name)?;
    Some(value.to_string_lossy().trim().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Config, Flags},
        *,
    };

    fn load(variables: &[(&str, &str)]) -> Result<Config, String> {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let flags = Flags { serving: true, ..Flags::default() };
        Config::default().load(None, variables, &flags).map_err(|error| error.to_string())
    }

    #[test]
    fn the_operators_variables_are_settings_and_ours_stand_above_them() {
        let theirs = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.observability:4318"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_SERVICE_NAME", "cats"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_PROPAGATORS", "tracecontext,baggage"),
        ];
        let tracing = load(&theirs).unwrap().tracing;
        assert_eq!(tracing.target(), "http://collector.observability:4318/v1/traces");
        assert_eq!((tracing.sample_ratio, tracing.parent_based, tracing.timeout_ms), (0.25, true, 1_500));
        assert_eq!(tracing.service_name, "cats");

        let ours = [("RESNETD__TRACING__SAMPLE_RATIO", "1.0"), ("RESNETD__TRACING__SERVICE_NAME", "dogs")];
        let both = load(&[&theirs[..], &ours].concat()).unwrap().tracing;
        assert_eq!((both.sample_ratio, &*both.service_name), (1.0, "dogs"));
    }

    #[test]
    fn grpc_is_known_by_its_port_unless_a_protocol_is_named() {
        let target = |variables: &[(&str, &str)]| load(variables).unwrap().tracing.target();
        assert_eq!(target(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://one:4317")]), "http://one:4317");
        let named =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://one:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
        assert_eq!(target(&named), "http://one:4317/v1/traces");
        let of_traces = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://one:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://two:4318/elsewhere"),
        ];
        assert_eq!(target(&of_traces), "http://two:4318/elsewhere", "as it is");
    }

    #[test]
    fn what_switches_the_standard_off_switches_us_off() {
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            let tracing = load(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://one:4317"), off]).unwrap().tracing;
            assert_eq!(tracing.endpoint, "");
        }
        assert_eq!(load(&[]).unwrap().tracing.endpoint, "", "nothing is recorded unless it is asked for");
    }

    #[test]
    fn a_value_that_is_none_is_refused_with_its_variable() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "one:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ] {
            let refused = load(&[(name, value)]).unwrap_err();
            assert!(refused.starts_with(&format!("environment variable {name}: ")), "{refused}");
        }
    }
}
