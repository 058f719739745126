//! A report as one JSON document, with iperf3's names where they mean the same.

use std::collections::BTreeMap;

use samepath_model::link::Direction;
use samepath_model::record::{End, MessageRecord, Setting};
use samepath_model::workload::Workload;
use samepath_transport::Plan;
use serde_json::{Value, json};

use crate::play::Played;
use crate::score::Figure;
use crate::summary::{Figures, cpu_percent, intervals, rate};

/// The document.
pub(crate) fn document(plan: &Plan, played: &Played, score: &[Figure]) -> Value {
    let (report, figures) = (&played.report, Figures::of(plan, played));
    let (sender, receiver) = match plan.workload.direction() {
        Direction::Up => (&report.client, &report.server),
        Direction::Down => (&report.server, &report.client),
    };
    let sum = |bytes: u64, seconds: f64| json!({ "start": 0, "end": seconds, "seconds": seconds, "bytes": bytes, "bits_per_second": rate(bytes, seconds) });
    let mut sum_sent = sum(figures.sent, figures.sent_seconds);
    let mut sum_received = sum(figures.received, figures.seconds);
    if let Some(n) = sender.retransmissions {
        sum_sent["retransmits"] = n.into();
    }
    let mut end = json!({
        "cpu_utilization_percent": {
            "host_total": cpu_percent(played, End::Client),
            "remote_total": cpu_percent(played, End::Server),
        },
    });
    if let (Some(sent), Some(received)) = (sender.datagrams_sent, receiver.datagrams_received) {
        let distinct = received.saturating_sub(played.duplicates);
        let lost = sent.saturating_sub(distinct);
        let mut both = sum(figures.received, figures.seconds);
        both["jitter_ms"] = played.jitter_ns.map(|ns| ns as f64 / 1e6).into();
        both["packets"] = sent.into();
        both["lost_packets"] = lost.into();
        both["lost_percent"] = (sent > 0).then(|| lost as f64 * 100.0 / sent as f64).into();
        end["sum"] = both;
        sum_sent["packets"] = sent.into();
        sum_received["packets"] = distinct.into();
    }
    end["sum_sent"] = sum_sent;
    end["sum_received"] = sum_received;
    if let Workload::Bulk(_) = plan.workload {
        // By duration, a stream's own size is as much as arrived: what was sent is known of all together alone.
        let sent = |m: &MessageRecord| match &plan.workload {
            Workload::Bulk(bulk) if bulk.duration.is_some() => (report.messages.len() == 1).then_some(figures.sent),
            _ => Some(m.size),
        };
        let streams = report.messages.iter().map(|m| {
            let mut sender = json!({ "socket": m.stream });
            if let Some(bytes) = sent(m) {
                sender["bytes"] = bytes.into();
            }
            json!({
                "sender": sender,
                "receiver": { "socket": m.stream, "bytes": m.received, "bits_per_second": rate(m.received, figures.seconds) },
            })
        });
        end["streams"] = streams.collect();
    }
    let intervals: Vec<Value> = intervals(played)
        .into_iter()
        .map(|(start, end, bytes)| {
            let seconds = end - start;
            let bits_per_second = rate(bytes, seconds);
            json!({ "sum": { "start": start, "end": end, "seconds": seconds, "bytes": bytes, "bits_per_second": bits_per_second } })
        })
        .collect();
    let ms = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
    json!({
        "start": {
            "version": concat!("samepath ", env!("CARGO_PKG_VERSION")),
            "connected": [{ "remote_host": played.server.ip().to_string(), "remote_port": played.server.port() }],
            "test_start": {
                "protocol": plan.arm.transport.name().to_uppercase(),
                "num_streams": plan.workload.streams(),
                "reverse": i32::from(plan.workload.direction() == Direction::Down),
                "bytes": plan.workload.total_bytes().map_or(0, |b| b.bytes()),
                "duration": plan.workload.nominal_duration().map_or(0.0, |d| d.as_secs_f64()),
            },
        },
        "intervals": intervals,
        "end": end,
        "samepath": {
            "arm": plan.arm,
            "workload": plan.workload,
            "seed": plan.seed,
            "complete": report.complete,
            "verified": true,
            "messages": report.messages.len(),
            "delivered": figures.delivered,
            "delay_ms": figures.delay_ms,
            "operations": figures.operations,
            "score": score.iter().map(|(name, _, value)| (*name, *value)).collect::<BTreeMap<_, _>>(),
            "name_lookup": report.name_lookup,
            "compression": report.server.compression,
            "decompression": report.client.decompression,
            "handshake_ms": ms(report.handshake_ns),
            "first_byte_ms": ms(report.first_byte_ns),
            "clock_error_ms": report.clock_error_ns as f64 / 1e6,
            "duplicates": receiver.datagrams_received.map(|_| played.duplicates),
            "schedule_start": sender.start,
            "settings": { "client": settings(&report.client.settings), "server": settings(&report.server.settings) },
        },
    })
}

fn settings(all: &[Setting]) -> Value {
    all.iter()
        .map(|s| (s.name.clone(), json!({ "asked": s.asked, "effective": s.effective })))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
