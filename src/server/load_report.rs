//! Load reports in answers, for balancers that weigh servers by them: ORCA's, which Envoy, gRPC's `weighted_round_robin`, Triton and vLLM
//! speak.
//!
//! Over HTTP in the header `endpoint-load-metrics`, in the form that the request names; over gRPC in the metadata
//! `endpoint-load-metrics-bin` behind the last message.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use prost::Message as _;

use crate::service::ServerLoad;

/// By which a request asks for a report.
const FORMAT: HeaderName = HeaderName::from_static("endpoint-load-metrics-format");

const REPORT: HeaderName = HeaderName::from_static("endpoint-load-metrics");
const REPORT_BIN: HeaderName = HeaderName::from_static("endpoint-load-metrics-bin");

/// Which answers have a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadReports {
    /// Those to requests that ask for one.
    #[default]
    Asked,
    /// All of them: balancers that are gRPC's own clients do not ask.
    Always,
}

/// How a report is written over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportForm {
    Text,
    Json,
    Bin,
}

/// `xds.data.orca.v3.OrcaLoadReport`, as far as we have something to say.
#[derive(Clone, PartialEq, prost::Message)]
struct OrcaReport {
    #[prost(double, tag = "6")]
    rps_fractional: f64,
    #[prost(btree_map = "string, double", tag = "8")]
    named_metrics: std::collections::BTreeMap<String, f64>,
    #[prost(double, tag = "9")]
    application_utilization: f64,
}

/// The form that a request's answer has a report in, if it has one. What is no form is as if it did not ask.
pub(super) fn wanted(reports: LoadReports, headers: &HeaderMap) -> Option<ReportForm> {
    let asked = headers.get(FORMAT).and_then(|format| {
        let is = |name: &str| format.as_bytes().eq_ignore_ascii_case(name.as_bytes());
        let forms = [("text", ReportForm::Text), ("json", ReportForm::Json), ("bin", ReportForm::Bin)];
        forms.into_iter().find(|(name, _)| is(name)).map(|(_, form)| form)
    });
    asked.or((reports == LoadReports::Always).then_some(ReportForm::Text))
}

/// Puts a report into the head of an answer of HTTP.
pub(super) fn tell(form: ReportForm, report: &ServerLoad, headers: &mut HeaderMap) {
    let text = match form {
        ReportForm::Text => as_text(report),
        ReportForm::Json => as_json(report),
        ReportForm::Bin => Some(format!("BIN {}", general_purpose::STANDARD.encode(message(report)))),
    };
    if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(REPORT, value);
    }
}

/// Puts a report beside the status of a call.
pub(super) fn tell_call(report: &ServerLoad, metadata: &mut HeaderMap) {
    // gRPC writes binary metadata without padding.
    let encoded = general_purpose::STANDARD_NO_PAD.encode(message(report));
    if let Ok(value) = HeaderValue::try_from(encoded) {
        metadata.insert(REPORT_BIN, value);
    }
}

fn as_text(ServerLoad { utilization, requests_a_second, waiting }: &ServerLoad) -> Option<String> {
    let mut text = String::with_capacity(112);
    write!(
        text,
        "TEXT application_utilization={utilization:.4}, rps_fractional={requests_a_second:.1}, named_metrics.queue_depth={waiting}"
    )
    .ok()?;
    Some(text)
}

fn as_json(ServerLoad { utilization, requests_a_second, waiting }: &ServerLoad) -> Option<String> {
    let mut text = String::with_capacity(112);
    write!(
        text,
        "JSON {{\"application_utilization\": {utilization:.4}, \"rps_fractional\": {requests_a_second:.1}, \
         \"named_metrics\": {{\"queue_depth\": {waiting}}}}}"
    )
    .ok()?;
    Some(text)
}

fn message(report: &ServerLoad) -> Vec<u8> {
    let report = OrcaReport {
        rps_fractional: report.requests_a_second,
        named_metrics: [("queue_depth".to_owned(), report.waiting as f64)].into(),
        application_utilization: report.utilization,
    };
    report.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORTED: ServerLoad = ServerLoad { utilization: 0.75, requests_a_second: 120.5, waiting: 3 };

    fn told(form: ReportForm) -> String {
        let mut headers = HeaderMap::new();
        tell(form, &REPORTED, &mut headers);
        headers[REPORT].to_str().unwrap().to_owned()
    }

    #[test]
    fn each_form_says_the_same() {
        assert_eq!(
            told(ReportForm::Text),
            "TEXT application_utilization=0.7500, rps_fractional=120.5, named_metrics.queue_depth=3"
        );
        let json = told(ReportForm::Json);
        let json: serde_json::Value = serde_json::from_str(json.strip_prefix("JSON ").unwrap()).unwrap();
        let expected = serde_json::json!({
            "application_utilization": 0.75, "rps_fractional": 120.5, "named_metrics": { "queue_depth": 3 }
        });
        assert_eq!(json, expected);
        // Python: xds.data.orca.v3.OrcaLoadReport(rps_fractional=120.5, application_utilization=0.75, named_metrics={"queue_depth": 3})
        let bin = "BIN MQAAAAAAIF5AQhYKC3F1ZXVlX2RlcHRoEQAAAAAAAAhASQAAAAAAAOg/";
        assert_eq!(told(ReportForm::Bin), bin);
        let mut metadata = HeaderMap::new();
        tell_call(&REPORTED, &mut metadata);
        assert_eq!(metadata[REPORT_BIN].to_str().unwrap(), bin.strip_prefix("BIN ").unwrap().trim_end_matches('='));
    }

    #[test]
    fn a_report_is_given_to_whom_asks_or_to_all() {
        let asking = |format: &'static str| HeaderMap::from_iter([(FORMAT, HeaderValue::from_static(format))]);
        assert_eq!(wanted(LoadReports::Asked, &asking("JSON")), Some(ReportForm::Json));
        assert_eq!(wanted(LoadReports::Asked, &asking("bin")), Some(ReportForm::Bin));
        assert_eq!(wanted(LoadReports::Asked, &asking("xml")), None);
        assert_eq!(wanted(LoadReports::Asked, &HeaderMap::new()), None);
        assert_eq!(wanted(LoadReports::Always, &HeaderMap::new()), Some(ReportForm::Text));
        assert_eq!(wanted(LoadReports::Always, &asking("json")), Some(ReportForm::Json));
    }
}
