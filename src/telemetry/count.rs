//! A counter in the form that Prometheus reads. Knows no metric.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric, counter::Counter},
};

/// A counter as Prometheus' text format 0.0.4 writes it, where the type's line has the sample's name, `_total` included.
/// OpenMetrics, which the library writes, leaves `_total` out there, and Prometheus would take such a counter for untyped.
#[derive(Clone, Debug, Default)]
pub(super) struct Count(pub(super) Counter);

impl EncodeMetric for Count {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        // A gauge's sample is name, labels and value, without a suffix.
        encoder.encode_gauge(&self.0.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Count {
    const TYPE: MetricType = MetricType::Counter;
}
