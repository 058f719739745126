//! Settings of quinn: what the plan asks for at either end, and what is in force on a connection.

use std::sync::Arc;

use quinn::congestion::{BbrConfig, CubicConfig, NewRenoConfig};
use quinn::{EndpointConfig, MtuDiscoveryConfig, VarInt};
use samepath_model::record::{End, Setting};
use samepath_model::streams;
use samepath_model::tuning::Controller;

use super::flight::{Flight, Told};
use crate::plan::SEGMENT;
use crate::{Plan, tcp, udp};

/// Whose code speaks QUIC here, and what is changed in it; the versions are those of `Cargo.lock`.
const STACK: &str =
    concat!("quinn 0.11.12, quinn-proto 0.11.19 patched: ", include_str!("../../../../vendor/quinn-proto/PATCHED"));

/// The streams that the other end may have open at once: ample for one that sends ([`streams::limit`]), so that stream
/// credit never looks like blocking. quinn sets up a record for each as the connection is made, so others have none.
fn concurrent_streams(plan: &Plan, end: End) -> u64 {
    let incoming = end.outgoing().opposite();
    if plan.receives(end) { streams::limit(plan.arm, &plan.workload, incoming, plan.rtt) } else { 2 }
}

/// Bytes of datagrams that wait in quinn for the congestion window: enough to fill it, and little where what is late is of
/// no use. What does not fit waits before it, where it can be given up.
const DATAGRAM_SEND_BUFFER: usize = 64 << 10;

/// The settings of one end, from the plan; `flight` is told of its bytes in flight.
pub(super) fn transport_config(plan: &Plan, end: End, ipv6: bool, flight: &Flight) -> quinn::TransportConfig {
    let tuning = &plan.tuning;
    let window = plan.window();
    let as_varint = |n: u64| VarInt::from_u64(n).unwrap_or(VarInt::MAX);
    let mut config = quinn::TransportConfig::default();
    let initial_window = u64::from(tuning.initial_window) * SEGMENT;
    match tuning.controller {
        Controller::Cubic => {
            let mut factory = CubicConfig::default();
            factory.initial_window(initial_window);
            config.congestion_controller_factory(Arc::new(Told { factory: Arc::new(factory), flight: flight.clone() }));
        }
        Controller::Reno => {
            let mut factory = NewRenoConfig::default();
            factory.initial_window(initial_window);
            config.congestion_controller_factory(Arc::new(Told { factory: Arc::new(factory), flight: flight.clone() }));
        }
        Controller::Bbr => {
            let mut factory = BbrConfig::default();
            factory.initial_window(initial_window);
            config.congestion_controller_factory(Arc::new(Told { factory: Arc::new(factory), flight: flight.clone() }));
        }
    }
    let mtu = plan.quic_mtu(ipv6);
    config
        .initial_mtu(mtu)
        .stream_receive_window(as_varint(window))
        // The connection's window holds several streams' worth, unless the window is the subject.
        .receive_window(as_varint(if tuning.receive_window.is_some() { window } else { window.saturating_mul(2) }))
        .send_window(plan.send_window())
        .max_concurrent_uni_streams(as_varint(concurrent_streams(plan, end)))
        .send_fairness(tuning.quic_send_fairness)
        .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER)
        .datagram_receive_buffer_size(Some(udp::BUFFER))
        .enable_segmentation_offload(plan.offload())
        // The session's time limit ends a dead path; an outage within it must not.
        .max_idle_timeout(None);
    if tuning.quic_mtu_discovery {
        let mut discovery = MtuDiscoveryConfig::default();
        // Small enough steps that the last of them is the whole.
        discovery.upper_bound(plan.most_quic_mtu(ipv6)).minimum_change(8);
        config.mtu_discovery_config(Some(discovery));
    } else {
        // The path's MTU is known: without this, bursts of random loss would be taken for a black
        // hole and the packets shrink to 1200 bytes.
        config.mtu_discovery_config(None).min_mtu(mtu);
    }
    config
}

/// The settings of both ends' sockets.
pub(super) fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    // The fixed bit stays set (no greasing, RFC 9287): by it the ledger knows QUIC from other datagrams.
    config.grease_quic_bit(false);
    config
}

/// What was asked of quinn, and what its connection says is in force.
pub(super) fn settings(connection: &quinn::Connection, plan: &Plan, end: End, endpoint: &[Setting]) -> Vec<Setting> {
    let tuning = &plan.tuning;
    let path = connection.stats().path;
    let ipv6 = tcp::canonical(connection.remote_address()).is_ipv6();
    let set = |name: &str, asked: Option<String>, effective: String| Setting::new(name, asked, effective);
    let window = plan.window().to_string();
    let asked = u64::from(tuning.initial_window) * SEGMENT;
    let controller = connection.congestion_state();
    let mut all = vec![
        set("quic.congestion-control", Some(tuning.controller.to_string()), tuning.controller.to_string()),
        set("quic.initial-window", Some(asked.to_string()), controller.initial_window().to_string()),
        set("quic.mtu", Some(plan.quic_mtu(ipv6).to_string()), path.current_mtu.to_string()),
        set("quic.mtu-discovery", Some(tuning.quic_mtu_discovery.to_string()), tuning.quic_mtu_discovery.to_string()),
        set("quic.stream-receive-window", Some(window.clone()), window),
        set("quic.concurrent-streams", None, concurrent_streams(plan, end).to_string()),
        set("quic.send-fairness", Some(tuning.quic_send_fairness.to_string()), tuning.quic_send_fairness.to_string()),
        set("quic.segmentation-offload", Some(plan.offload().to_string()), plan.offload().to_string()),
        set("quic.datagram-send-buffer", None, DATAGRAM_SEND_BUFFER.to_string()),
        set("quic.version", None, "1".into()),
        set("quic.stack", None, STACK.to_owned()),
        // The only one that both ends offer.
        set("tls.cipher-suite", None, "TLS13_AES_128_GCM_SHA256".into()),
    ];
    all.extend_from_slice(endpoint);
    all
}
