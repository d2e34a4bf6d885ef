//! The numbers of a door's connections. Knows no request.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::count::Count;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DoorLabel {
    door: &'static str,
}

/// The families of all doors.
#[derive(Clone, Debug, Default)]
pub(super) struct DoorFamilies {
    connections: Family<DoorLabel, Gauge>,
    full: Family<DoorLabel, Count>,
    flooding: Family<DoorLabel, Count>,
    failed_handshakes: Family<DoorLabel, Count>,
}

/// The handles of one door.
#[derive(Clone, Debug)]
pub struct DoorMetrics {
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections that came while the door was full.
    pub full: Counter,
    /// Connections that were closed because they flooded the door with what costs them nothing.
    pub flooding: Counter,
    /// Connections that came to no TLS.
    pub failed_handshakes: Counter,
}

impl DoorFamilies {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Connections that are open", self.connections.clone());
        registry.register(
            "full_door_total",
            "Connections that came while the door had as many as it takes",
            self.full.clone(),
        );
        registry.register(
            "flooding_connections_total",
            "Connections that were closed because they took streams back or sent empty frames without end",
            self.flooding.clone(),
        );
        registry.register(
            "failed_handshakes_total",
            "Connections that were closed because they came to no TLS: none spoken, none in common, no certificate that is let in, too slow",
            self.failed_handshakes.clone(),
        );
    }

    pub(super) fn door(&self, door: &'static str) -> DoorMetrics {
        let label = DoorLabel { door };
        DoorMetrics {
            connections: self.connections.get_or_create_owned(&label),
            full: self.full.get_or_create_owned(&label).0,
            flooding: self.flooding.get_or_create_owned(&label).0,
            failed_handshakes: self.failed_handshakes.get_or_create_owned(&label).0,
        }
    }
}
