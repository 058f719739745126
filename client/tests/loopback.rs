//! Both ends in one process over loopback: every arm, workload and direction; many clients at
//! once; impostors, garbage and the end.

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use samepath_client::{Target, play};
use samepath_model::arm::{Arm, Connections, OrderingDomain, Transport};
use samepath_model::fanned::Fanned;
use samepath_model::link::Direction;
use samepath_model::record::{Coded, Metric};
use samepath_model::tuning::Order;
use samepath_model::units::{BitRate, ByteCount, Duration};
use samepath_model::workload::{
    Arrivals, Bulk, CallOrder, Compression, FanOut, LogNormal, Messages, Mix, Page, Rpc, Size, Workload, page,
};
use samepath_server::{Limits, Server, ServerConfig, Shutdown};
use samepath_transport::identity::{Identity, Pin};
use samepath_transport::{Plan, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use support::{TOKEN, bytes, plan, serve, serve_for, serve_with};

fn messages(direction: Direction, streams: u16, size: u64, count: u32) -> Workload {
    Workload::Messages(Messages {
        direction,
        streams,
        size: ByteCount::new(size),
        spacing: Duration::from_millis(4),
        count: Some(count),
        warmup: Some(ByteCount::new(100_001)),
        ..Messages::default()
    })
}

/// The arms that have their connections before anything is sent.
fn with_connections_before() -> impl Iterator<Item = Arm> {
    Arm::all().filter(|arm| arm.connections != Connections::PerMessage)
}

#[tokio::test]
async fn every_arm_carries_every_workload_both_ways() {
    let server = serve();
    for arm in with_connections_before() {
        for direction in Direction::BOTH {
            for workload in [
                bytes(direction, 1, 1),
                bytes(direction, 3, 1_000_003),
                messages(direction, 4, 1000, 20),
                messages(direction, 3, 50_001, 5),
            ] {
                let plan = plan(arm, workload);
                let report = server.play(&plan).await.report;
                let what = format!("{arm} {}", plan.workload);
                assert!(report.complete, "{what}");
                let total = plan.workload.total_bytes().unwrap().bytes();
                assert_eq!(report.messages.len(), plan.message_count(), "{what}");
                assert_eq!(report.messages.iter().map(|m| m.received).sum::<u64>(), total, "{what}");
                for m in &report.messages {
                    let (sent, delivered) = (m.sent.unwrap(), m.delivered.unwrap());
                    assert!(m.released <= sent && m.released < delivered, "{what}: {m:?}");
                    assert_eq!(m.received, m.size, "{what}");
                }
                let (sender, receiver) = match direction {
                    Direction::Up => (&report.client, &report.server),
                    Direction::Down => (&report.server, &report.client),
                };
                assert_eq!((sender.bytes_sent, receiver.bytes_received), (total, total), "{what}");
                assert_eq!(sender.retransmissions.is_some(), arm.is_congestion_controlled, "{what}");
                assert_eq!(report.handshake_ns.is_some(), arm.handshake_round_trips.is_some(), "{what}");
                assert_eq!(report.first_byte_ns.is_some(), plan.is_cold(), "{what}");
                assert!(!sender.settings.is_empty() && !receiver.settings.is_empty(), "{what}");
                assert!(receiver.start.is_none(), "{what}");
                assert_eq!(sender.start.is_some(), arm.is_congestion_controlled && !plan.is_cold(), "{what}");
                if let Some(start) = sender.start {
                    assert_eq!((start.connections, start.warmup), (plan.connections(), 100_001), "{what}: {start:?}");
                    // (A busy machine makes TCP send again what was not lost.)
                    assert_eq!(start.in_flight, 0, "{what}: {start:?}");
                    // Every acknowledgement of the warm-up has opened the window. (Segments of TCP on a loopback are
                    // so large that its window is never full.)
                    let opened = start.window * 100 >= start.expected_window * 95;
                    assert!(opened || arm.transport != Transport::Quic, "{what}: {start:?}");
                    assert!(start.srtt_us > 0, "{what}: {start:?}");
                }
                let binned = report.series.iter().filter(|p| p.metric == Metric::DeliveredBytes).map(|p| p.value);
                assert_eq!(binned.sum::<f64>() as u64, total, "{what}");
                assert_eq!(report.clock_error_ns, 0, "{what}: one host has one clock");
            }
        }
    }
}

fn rpc(rpc: Rpc) -> Workload {
    let drawn = |median, p99| Size::LogNormal(LogNormal { median: ByteCount::new(median), p99: ByteCount::new(p99) });
    let (request, response) = (drawn(300, 4_000), drawn(1500, 30_000));
    let (service, warmup) = (Duration::from_millis(1), Some(ByteCount::new(50_000)));
    Workload::Rpc(Rpc { request, response, service, warmup, ..rpc })
}

#[tokio::test]
async fn requests_are_answered_on_every_arm() {
    let server = serve();
    let closed = Rpc { outstanding: Some(4), count: Some(40), calls: 2, ..Rpc::default() };
    let open = Rpc {
        per_second: Some(400.0),
        arrivals: Arrivals::Poisson,
        streams: Some(5),
        count: Some(80),
        ..Rpc::default()
    };
    for arm in Arm::all() {
        for workload in [rpc(closed.clone()), rpc(open.clone())] {
            let plan = plan(arm, workload);
            let report = server.play(&plan).await.report;
            let what = format!("{arm} {}", plan.workload);
            assert!(report.complete, "{what}");
            let sent = |direction| report.messages.iter().filter(move |m| m.direction == direction);
            assert_eq!((sent(Direction::Up).count(), sent(Direction::Down).count()), (80, 80), "{what}");
            for answer in sent(Direction::Down) {
                let by = answer.released_by.unwrap_or_else(|| panic!("{what}: {answer:?}"));
                let request = sent(Direction::Up).find(|m| m.id() == by).unwrap();
                assert_eq!((by.stream, by.seq), (answer.stream, answer.seq), "{what}");
                // The service counts from the delivery of the request.
                assert_eq!(answer.released, request.delivered.unwrap() + 1_000_000, "{what}");
                assert!(answer.sent.unwrap() >= answer.released, "{what}");
                assert!(request.deadline.is_some_and(|deadline| deadline > request.released), "{what}");
            }
            for end in [&report.client, &report.server] {
                assert!(end.bytes_sent > 0 && end.bytes_received > 0, "{what}");
                let has_start = arm.is_congestion_controlled && arm.connections != Connections::PerMessage;
                assert_eq!(end.start.is_some(), has_start, "{what}");
            }
            assert_eq!(report.client.bytes_sent, report.server.bytes_received, "{what}");
        }
    }
}

#[tokio::test]
async fn responses_are_compressed_on_every_reliable_arm() {
    let server = serve();
    for arm in Arm::all().filter(|arm| arm.ordering != OrderingDomain::Nothing) {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let closed =
                Rpc { outstanding: Some(4), count: Some(24), compression: Some(compression), ..Rpc::default() };
            let plan = plan(arm, rpc(closed));
            let report = server.play(&plan).await.report;
            let what = format!("{arm} {}", plan.workload);
            assert!(report.complete, "{what}");
            let answers = report.messages.iter().filter(|m| m.direction == Direction::Down);
            let wire = answers.clone().map(|m| m.size).sum::<u64>();
            assert_eq!(answers.clone().map(|m| m.received).sum::<u64>(), wire, "{what}");
            assert_eq!((report.server.bytes_sent, report.client.bytes_received), (wire, wire), "{what}");
            let (done, undone) = (report.server.compression, report.client.decompression);
            if compression.codec().is_none() {
                assert_eq!((done, undone), (None, None), "{what}");
                assert!(answers.clone().all(|m| m.coded.is_none()), "{what}");
                continue;
            }
            let (done, undone) = (done.unwrap(), undone.unwrap());
            assert_eq!((done.messages, undone.messages), (24, 24), "{what}");
            assert_eq!((done.coded_bytes, undone.coded_bytes), (wire, wire), "{what}");
            assert_eq!(done.content_bytes, undone.content_bytes, "{what}");
            // Responses of 1.5 kB, and a few of 30.
            assert!(done.content_bytes > 2 * wire, "{what}: {} of {}", wire, done.content_bytes);
            let all = |of: fn(&Coded) -> u64| answers.clone().map(|m| of(&m.coded.unwrap())).sum::<u64>();
            assert_eq!(all(|coded| coded.content), done.content_bytes, "{what}");
            assert_eq!(all(|coded| coded.compression_cpu_ns), done.cpu_ns, "{what}");
            assert_eq!(all(|coded| coded.decompression_cpu_ns.unwrap()), undone.cpu_ns, "{what}");
            assert!(done.cpu_ns > 0 && undone.cpu_ns > 0, "{what}");
            for answer in answers {
                // Its delay holds the work.
                let coded = answer.coded.unwrap();
                let at_the_server = (answer.sent.unwrap() - answer.released) as u64;
                let at_the_client = (answer.delivered.unwrap() - answer.sent.unwrap()) as u64;
                assert!(at_the_server >= coded.compression_cpu_ns, "{what}: {answer:?}");
                assert!(at_the_client >= coded.decompression_cpu_ns.unwrap(), "{what}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_is_busy_refuses_with_a_byte() {
    let server = serve();
    let busy = Rpc { outstanding: Some(20), count: Some(60), workers: Some(1), backlog: Some(2), ..Rpc::default() };
    for arm in Arm::all() {
        let plan = plan(arm, rpc(busy.clone()));
        let report = server.play(&plan).await.report;
        let refused: Vec<_> = report.messages.iter().filter(|m| m.seq >= busy.requests_of_stream()).collect();
        assert!(!refused.is_empty() && refused.len() < 60, "{arm}: {}", refused.len());
        assert!(refused.iter().all(|m| m.direction == Direction::Down && m.size == 1), "{arm}");
        assert!(report.complete, "{arm}");
        assert_eq!(report.messages.len(), 120, "{arm}: each is answered or refused");
    }
}

#[tokio::test]
async fn services_are_called_on_every_arm() {
    let server = serve_for(Limits::default(), 5);
    let parallel = FanOut {
        services: 5,
        outstanding: Some(3),
        count: Some(20),
        service: Duration::from_millis(1),
        warmup: Some(ByteCount::new(50_000)),
        ..FanOut::default()
    };
    let sequence = FanOut { order: CallOrder::Sequence, cold: true, warmup: None, ..parallel.clone() };
    for arm in Arm::all() {
        for fan_out in [&parallel, &sequence] {
            let plan = plan(arm, Workload::FanOut(fan_out.clone()).for_arm(arm));
            let report = server.play(&plan).await.report;
            let what = format!("{arm} {}", plan.workload);
            assert!(report.complete, "{what}");
            let fanned = Fanned::of(fan_out, &report.messages);
            assert_eq!((fanned.released, fanned.whole.len(), fanned.calls.len()), (20, 20, 100), "{what}");
            assert_eq!(report.handshake_ns.is_some(), plan.connections() > 0 && arm.handshake_round_trips.is_some());
            for call in report.messages.iter().filter(|m| m.direction == Direction::Up && m.stream > 0) {
                let by = call.released_by.map(|by| (by.stream, by.seq));
                let before = (call.stream - 1, call.seq);
                assert_eq!(by == Some(before), fan_out.order == CallOrder::Sequence, "{what}: {call:?}");
            }
        }
    }
}

#[tokio::test]
async fn too_few_servers_are_named_with_the_remedy() {
    let server = serve_for(Limits::default(), 2);
    let fan_out = FanOut { services: 3, outstanding: Some(1), count: Some(1), ..FanOut::default() };
    let plan = plan(Arm::default_of(Transport::Tcp), Workload::FanOut(fan_out));
    let refused = play(&server.target(), &plan, |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains("stands for 2") && refused.contains("--servers 3"), "{refused}");
}

#[tokio::test]
async fn what_is_given_up_in_the_middle_is_reset() {
    let server = serve();
    let late = Rpc {
        outstanding: Some(1),
        count: Some(4),
        request: Size::Fixed(ByteCount::new(50_000_000)),
        timeout: Duration::from_millis(5),
        ..Rpc::default()
    };
    for arm in ["quic/per-message", "quic", "tcp"].map(|name| name.parse::<Arm>().unwrap()) {
        let mut plan = plan(arm, Workload::Rpc(late.clone()));
        plan.time_limit = Duration::from_secs(60);
        let report = server.play(&plan).await.report;
        let of = |way| report.messages.iter().filter(move |m| m.direction == way);
        assert_eq!(of(Direction::Up).count(), 4, "{arm}");
        if arm.ordering == OrderingDomain::Message {
            // Each has a stream of its own, which is reset: far fewer bytes cross than were asked for.
            assert!(
                of(Direction::Up).all(|m| m.cancelled.is_some() && m.delivered.is_none()),
                "{arm}: {:?}",
                report.messages
            );
            assert!(of(Direction::Up).map(|m| m.received).sum::<u64>() < 100_000_000, "{arm}");
            assert_eq!(of(Direction::Down).count(), 0, "{arm}");
        } else {
            let begun = of(Direction::Up).filter(|m| m.cancelled.is_none());
            assert!(begun.clone().count() > 0, "{arm}: the first was begun when its time was over");
            assert!(begun.into_iter().all(|m| m.received == m.size), "{arm}: what was begun goes on");
        }
    }
}

#[tokio::test]
async fn a_transfer_and_messages_share_a_connection() {
    let server = serve();
    for arm in with_connections_before() {
        let of = vec![bytes(Direction::Down, 2, 3_000_000), messages(Direction::Down, 3, 1000, 40)];
        let plan = plan(arm, Workload::Mix(Mix { of, ..Mix::default() }));
        let report = server.play(&plan).await.report;
        assert!(report.complete, "{arm}");
        let of = |streams: std::ops::Range<u16>| report.messages.iter().filter(move |m| streams.contains(&m.stream));
        assert_eq!((of(0..2).count(), of(2..5).count()), (2, 120), "{arm}");
        assert_eq!(of(0..2).map(|m| m.received).sum::<u64>(), 3_000_000, "{arm}");
        // The transfer starts with the messages, on connections that are up.
        assert!(of(0..2).all(|m| m.released == 0) && report.first_byte_ns.is_none(), "{arm}");
        assert_eq!(report.server.start.is_some(), arm.is_congestion_controlled, "{arm}");
    }
}

#[tokio::test]
async fn streams_in_sequence_end_one_after_the_other() {
    let server = serve();
    for arm in ["tcp", "tls", "quic", "quic/shared", "udp"].map(|name| name.parse::<Arm>().unwrap()) {
        for direction in Direction::BOTH {
            let mut plan = plan(arm, bytes(direction, 4, 8_000_000));
            plan.tuning.order = Order::Sequential;
            let report = server.play(&plan).await.report;
            let sender = if direction == Direction::Up { &report.client } else { &report.server };
            let setting = sender.settings.iter().find(|setting| setting.name == "stream-order").unwrap();
            assert_eq!(setting.effective, "sequential", "{arm} {direction}");
            assert!(report.messages.is_sorted_by_key(|m| m.sent.unwrap()), "{arm} {direction}: {:?}", report.messages);
            assert!(
                report.messages.is_sorted_by_key(|m| m.delivered.unwrap()),
                "{arm} {direction}: {:?}",
                report.messages
            );
        }
    }
}

/// Passes on what goes through one TCP connection, and gives the lengths of the records of
/// application data (RFC 8446, section 5.1) that went from `from` to `to`.
async fn records_between(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
) -> Vec<u16> {
    let (mut lengths, mut header) = (Vec::new(), [0; 5]);
    while from.read_exact(&mut header).await.is_ok() {
        let length = u16::from_be_bytes([header[3], header[4]]);
        let mut body = vec![0; length.into()];
        if from.read_exact(&mut body).await.is_err() || to.write_all(&header).await.is_err() {
            break;
        }
        if to.write_all(&body).await.is_err() {
            break;
        }
        if header[0] == 23 {
            lengths.push(length);
        }
    }
    let _ = to.shutdown().await;
    lengths
}

#[tokio::test]
async fn tls_records_are_no_larger_than_asked() {
    let server = serve();
    // Another address of the same host, so that the server's ports are free there.
    let between: IpAddr = [127, 0, 0, 2].into();
    for direction in Direction::BOTH {
        for size in [None, Some(1000)] {
            let listener = tokio::net::TcpListener::bind((between, server.ready.tls_port)).await.unwrap();
            let to = (server.address.ip(), server.ready.tls_port);
            let relay = tokio::spawn(async move {
                let (client, _) = listener.accept().await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = tokio::net::TcpStream::connect(to).await.unwrap().into_split();
                tokio::join!(records_between(from_client, to_server), records_between(from_server, to_client))
            });
            let mut plan = plan("tls".parse().unwrap(), bytes(direction, 2, 1_000_000));
            plan.tuning.tls_record_size = size.map(ByteCount::new);
            let target = Target { data: Some(vec![(between, 0).into()]), ..server.target() };
            let report = play(&target, &plan, |_| {}).await.unwrap().report;
            assert!(report.complete);
            let (up, down) = relay.await.unwrap();
            let lengths = if direction == Direction::Up { up } else { down };
            // A record ends with its type and a tag of 16 bytes.
            let largest = lengths.into_iter().max().unwrap() - 17;
            assert_eq!(u64::from(largest), size.unwrap_or(1 << 14), "{direction}");
            let sender = if direction == Direction::Up { &report.client } else { &report.server };
            let setting = sender.settings.iter().find(|setting| setting.name == "tls.record-size").unwrap();
            assert_eq!(setting.effective, largest.to_string());
        }
    }
}

#[tokio::test]
async fn a_transfer_for_a_time_ends_with_it() {
    let server = serve();
    for transport in Transport::ALL {
        for direction in Direction::BOTH {
            let workload = Workload::Bulk(Bulk {
                direction,
                streams: 2,
                duration: Some(Duration::from_millis(600)),
                udp_rate: Some(BitRate::new(50_000_000)),
                ..Bulk::default()
            });
            let plan = plan(Arm::default_of(transport), workload);
            let report = server.play(&plan).await.report;
            let received: u64 = report.messages.iter().map(|m| m.received).sum();
            let sent: u64 = report.messages.iter().map(|m| m.size).sum();
            assert!(
                report.complete && received == sent && received > 0,
                "{transport} {direction}: {received} of {sent}, handshake {:?}",
                report.handshake_ns
            );
            // The sender goes on until the time is over; whether it could then note its end before
            // the session was cut off is another matter.
            for m in &report.messages {
                assert!(m.sent.is_none_or(|sent| sent >= 600_000_000), "{transport} {direction}: {m:?}");
                assert!(m.sent.is_some() || plan.arm.is_reliable, "{transport} {direction}: {m:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_paced_datagram_sender_keeps_its_rate_on_average() {
    let server = serve();
    let plan = plan(Arm::default_of(Transport::Udp), bytes(Direction::Down, 1, 500_000));
    let played = server.play(&plan).await;
    let report = &played.report;
    let datagrams = 500_000u64.div_ceil(1472 - 16);
    assert_eq!(report.server.datagrams_sent, Some(datagrams));
    assert_eq!(report.client.datagrams_received, Some(datagrams));
    assert_eq!(played.duplicates, 0);
    // 344 datagrams at 200 Mbit/s take 20 ms: they can be late, never early.
    assert!(report.messages[0].sent.unwrap() >= 20_000_000, "{:?}", report.messages[0]);
}

#[tokio::test]
async fn ipv6_works_too() {
    let listen: SocketAddr = "[::1]:0".parse().unwrap();
    let server = match Server::bind(ServerConfig {
        listen,
        token: TOKEN.into(),
        limits: Limits::default(),
        servers: 1,
        book: None,
    }) {
        Ok(server) => server,
        Err(error) => {
            samepath_testing::skip!("no IPv6 here: {error}");
            return;
        }
    };
    let (_keep, stage) = watch::channel(Shutdown::Running);
    let target = Target {
        control: vec![server.address()],
        data: None,
        token: TOKEN.into(),
        pin: Pin::Exactly(server.fingerprint()),
    };
    let serving = tokio::spawn(server.serve(stage, |_| {}));
    for transport in Transport::ALL {
        let plan = plan(Arm::default_of(transport), bytes(Direction::Down, 1, 300_000));
        let played = play(&target, &plan, |_| {}).await.unwrap();
        assert!(played.report.complete, "{transport}");
    }
    serving.abort();
}

/// A server of both families, on one socket each: whoever is addressed answers, by UDP, too, where the kernel would else
/// choose an address by its routes.
#[tokio::test]
async fn both_families_answer_from_the_address_asked() {
    let listen: SocketAddr = (samepath_transport::tcp::any_address(), 0).into();
    let server =
        Server::bind(ServerConfig { listen, token: TOKEN.into(), limits: Limits::default(), servers: 1, book: None })
            .unwrap();
    let (port, pin) = (server.address().port(), Pin::Exactly(server.fingerprint()));
    let (_keep, stage) = watch::channel(Shutdown::Running);
    let said = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = said.clone();
    let serving = tokio::spawn(server.serve(stage, move |line: &str| log.lock().unwrap().push(line.to_owned())));
    let v6 = listen.is_ipv6().then_some("::1");
    if v6.is_none() {
        samepath_testing::skip_part!("IPv6", "there is none here");
    }
    let contents = page::Contents::Named(page::Named::Small);
    let page = Workload::Page(Page { contents, lookup: page::Lookup::Uncached, ..Page::default() });
    for address in ["127.0.0.1", "127.0.0.2"].into_iter().chain(v6) {
        let control = vec![SocketAddr::new(address.parse().unwrap(), port)];
        let target = Target { control, data: None, token: TOKEN.into(), pin };
        for transport in [Transport::Tcp, Transport::Quic] {
            // A response from any other address would not reach the socket that has asked.
            let played = play(&target, &plan(Arm::default_of(transport), page.clone()), |_| {}).await;
            let report = played.unwrap_or_else(|error| panic!("a page by {transport} from {address}: {error}")).report;
            let lookup = report.name_lookup.unwrap();
            assert!(report.complete && lookup.answered, "{transport} from {address}: {lookup:?}");
            assert_eq!(report.connecting, lookup.took_ns.cast_signed(), "{transport} from {address}");
        }
        for transport in Transport::ALL {
            for direction in Direction::BOTH {
                let plan = plan(Arm::default_of(transport), bytes(direction, 1, 300_000));
                let played = play(&target, &plan, |_| {}).await;
                let report =
                    played.unwrap_or_else(|error| panic!("{transport} {direction} to {address}: {error}")).report;
                assert!(report.complete, "{transport} {direction} to {address}");
                // Of IPv4, a QUIC packet is as large as over a socket of IPv4 alone.
                let settings = report.server.settings.iter().filter(|setting| setting.name == "quic.mtu");
                settings.for_each(|mtu| assert_eq!(mtu.asked.as_deref(), Some(&*mtu.effective), "{address}"));
            }
        }
    }
    // The log names its clients as they are, not in IPv6's clothes.
    let said = said.lock().unwrap().join("\n");
    assert!(said.contains("127.0.0.1:") && !said.contains("ffff"), "{said}");
    serving.abort();
}

#[tokio::test]
async fn the_address_with_a_server_is_found() {
    let server = serve();
    let port = server.address.port();
    // Nobody listens at the first, another service does at the second.
    let other = tokio::net::TcpListener::bind("127.0.0.3:0").await.unwrap();
    let at_other = other.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = other.accept().await {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    let nobody = SocketAddr::from(([127, 0, 0, 2], port));
    let plan = plan(Arm::default_of(Transport::Quic), bytes(Direction::Down, 1, 100_000));
    let target = Target { control: vec![nobody, at_other, server.address], ..server.target() };
    let played = play(&target, &plan, |_| {}).await.unwrap();
    assert!(played.report.complete);
    assert_eq!(played.server, server.address, "the data go where the control connection went");

    let target = Target { control: vec![nobody, at_other], ..server.target() };
    let error = play(&target, &plan, |_| {}).await.unwrap_err();
    let TransportError::NoneOf { tried } = &error else { panic!("{error}") };
    assert_eq!(tried.len(), 2);
    let text = error.to_string();
    for of in [nobody.to_string(), at_other.to_string()] {
        assert!(text.contains(&of), "{of} is missing: {text}");
    }
    answering.abort();
}

#[tokio::test]
async fn many_clients_are_served_at_once() {
    let server = Arc::new(serve());
    let mut sessions = tokio::task::JoinSet::new();
    let all = with_connections_before().count();
    for (n, arm) in with_connections_before().chain(with_connections_before()).enumerate() {
        let server = server.clone();
        sessions.spawn(async move {
            let direction = Direction::BOTH[n / all];
            let plan = Plan { seed: n as u64, ..plan(arm, messages(direction, 4, 700, 25)) };
            server.play(&plan).await.report.complete
        });
    }
    let done = sessions.join_all().await;
    assert!(done.len() == 2 * all && done.iter().all(|complete| *complete));
}

#[tokio::test]
async fn only_those_who_know_are_let_in() {
    let server = serve();
    let plan = plan(Arm::default_of(Transport::Quic), bytes(Direction::Down, 1, 1000));
    let wrong_token = Target { token: "another".into(), ..server.target() };
    let error = play(&wrong_token, &plan, |_| {}).await.unwrap_err();
    assert!(matches!(&error, TransportError::Refused(reason) if reason.contains("token")), "{error}");

    let other = Identity::generate().unwrap().fingerprint();
    let wrong_pin = Target { pin: Pin::Exactly(other), ..server.target() };
    let error = play(&wrong_pin, &plan, |_| {}).await.unwrap_err();
    assert!(matches!(&error, TransportError::Fingerprint { .. }), "{error}");
    assert!(error.to_string().contains(&server.ready.fingerprint), "{error}");

    // Without a fingerprint the token proves the certificate.
    let by_token = Target { pin: Pin::ProvenByToken, ..server.target() };
    assert!(play(&by_token, &plan, |_| {}).await.unwrap().report.complete);
}

#[tokio::test]
async fn other_services_are_recognised() {
    let plan = plan(Arm::default_of(Transport::Tcp), bytes(Direction::Down, 1, 1000));
    let target = |control: SocketAddr| Target {
        control: vec![control],
        data: None,
        token: TOKEN.into(),
        pin: Pin::ProvenByToken,
    };
    // Nobody: the port was ours a moment ago and is closed.
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = play(&target(address), &plan, |_| {}).await.unwrap_err();
    assert!(matches!(&error, TransportError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");

    // A web server.
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut [0; 1000]).await;
    });
    let error = play(&target(address), &plan, |_| {}).await.unwrap_err();
    assert!(matches!(&error, TransportError::NotSamepath { .. }), "{error}");
    answering.await.unwrap();

    // Who hangs up at once, as a server does on whoever has to give way.
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let hanging_up = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
    let error = play(&target(address), &plan, |_| {}).await.unwrap_err();
    assert!(matches!(&error, TransportError::HungUp { .. }), "{error}");
    hanging_up.await.unwrap();
}

#[tokio::test]
async fn a_full_server_and_too_large_wishes_are_refused() {
    let limits = Limits { duration: Duration::from_secs(30), memory: ByteCount::new(4 << 20), ..Limits::default() };
    let server = serve_with(limits);
    let arm = Arm::default_of(Transport::Tcp);
    for (plan, word) in [
        (plan(arm, bytes(Direction::Down, 1, 1000)), "time limit"),
        (
            Plan { time_limit: Duration::from_secs(20), ..plan(arm, messages(Direction::Down, 8, 100, 100_000)) },
            "books",
        ),
    ] {
        let error = play(&server.target(), &plan, |_| {}).await.unwrap_err();
        assert!(matches!(&error, TransportError::Refused(reason) if reason.contains(word)), "{error}");
    }

    let server = serve_with(Limits { sessions: 1, ..Limits::default() });
    let long = plan(arm, messages(Direction::Down, 1, 100, 250));
    let (target, (started, mut start)) = (server.target(), watch::channel(false));
    let (first, second) = tokio::join!(
        play(&target, &long, |_| {
            started.send_replace(true);
        }),
        async {
            start.wait_for(|started| *started).await.unwrap();
            play(&server.target(), &long, |_| {}).await
        }
    );
    assert!(first.unwrap().report.complete);
    let error = second.unwrap_err();
    assert!(matches!(&error, TransportError::Refused(reason) if reason.contains("full")), "{error}");
}

#[tokio::test]
async fn shutting_down_refuses_the_new_and_finishes_the_old() {
    let server = serve();
    let plan = plan(Arm::default_of(Transport::Quic), messages(Direction::Up, 2, 500, 100));
    let (target, (started, mut start)) = (server.target(), watch::channel(false));
    let (old, new) = tokio::join!(
        play(&target, &plan, |_| {
            started.send_replace(true);
        }),
        async {
            start.wait_for(|started| *started).await.unwrap();
            server.shutdown.send_replace(Shutdown::Draining);
            play(&server.target(), &plan, |_| {}).await
        }
    );
    assert!(old.unwrap().report.complete);
    let error = new.unwrap_err();
    assert!(matches!(&error, TransportError::Refused(reason) if reason.contains("shutting down")), "{error}");
    tokio::time::timeout(StdDuration::from_secs(5), server.serving).await.expect("it ends by itself").unwrap();
}

#[tokio::test]
async fn a_server_told_to_end_now_says_so() {
    let server = serve();
    let plan = plan(Arm::default_of(Transport::Tcp), messages(Direction::Down, 1, 100, 2000));
    let (target, (started, mut start)) = (server.target(), watch::channel(false));
    let (played, ()) = tokio::join!(
        play(&target, &plan, |_| {
            started.send_replace(true);
        }),
        async {
            start.wait_for(|started| *started).await.unwrap();
            server.shutdown.send_replace(Shutdown::Now);
        }
    );
    assert!(played.is_err());
    tokio::time::timeout(StdDuration::from_secs(5), server.serving).await.expect("it ends at once").unwrap();
}

#[tokio::test]
async fn garbage_on_every_port_does_no_harm() {
    let server = serve();
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    // A counter-based sequence, so that a failure can be repeated.
    let garbage = |n: u64, len: usize| -> Vec<u8> {
        (0..len as u64).map(|i| (n.wrapping_mul(0x9e37_79b9) ^ i.wrapping_mul(0x85eb_ca6b)).to_le_bytes()[2]).collect()
    };
    let tcp_ports = [server.address.port(), server.ready.tcp_port, server.ready.tls_port];
    for n in 0..30u64 {
        let port = tcp_ports[n as usize % 3];
        let mut stream = tokio::net::TcpStream::connect((ip, port)).await.unwrap();
        // The server may hang up in the middle.
        let _ = stream.write_all(&garbage(n, 1 + n as usize * 97)).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    let socket = tokio::net::UdpSocket::bind((ip, 0)).await.unwrap();
    for n in 0..60u64 {
        let port = if n % 2 == 0 { server.ready.quic_port } else { server.ready.udp_port };
        let mut datagram = garbage(n, 1 + (n as usize * 53) % 1400);
        if n % 3 == 0 {
            // As a QUIC long header of an unknown version, large enough to be answered.
            datagram.resize(1300, 0xc3);
            datagram[0] = 0xc0;
        }
        socket.send_to(&datagram, (ip, port)).await.unwrap();
    }
    // The server works on, and whatever it would have answered is out before this is.
    for transport in Transport::ALL {
        let played = server.play(&plan(Arm::default_of(transport), bytes(Direction::Down, 1, 100_000))).await;
        assert!(played.report.complete, "{transport}");
    }
    let mut answer = [0; 2000];
    let answered = socket.try_recv(&mut answer);
    assert!(answered.is_err(), "the server answered an address that has shown nothing: {answered:?}");
}

#[tokio::test]
async fn an_occupied_port_is_named_with_the_remedy() {
    let server = serve();
    let config =
        ServerConfig { listen: server.address, token: TOKEN.into(), limits: Limits::default(), servers: 1, book: None };
    let error = Server::bind(config).unwrap_err().to_string();
    assert!(error.contains(&server.address.to_string()) && error.contains("--listen"), "{error}");
}

#[tokio::test]
async fn taken_and_impossible_ports_are_named() {
    // An address of this host on which nobody else listens.
    let ip = IpAddr::from([127, 0, 0, 9]);
    let bind = |port: u16| {
        let error = Server::bind(ServerConfig {
            listen: (ip, port).into(),
            token: TOKEN.into(),
            limits: Limits::default(),
            servers: 1,
            book: None,
        });
        error.unwrap_err().to_string()
    };
    let listener = tokio::net::TcpListener::bind((ip, 0)).await.unwrap();
    let taken = listener.local_addr().unwrap();
    for up in 0..=2 {
        let error = bind(taken.port() - up);
        assert!(error.contains(&format!("TCP {taken} (")) && error.contains("the next two"), "{error}");
    }
    // Another server's, which its sessions share; a stray socket may have the port for QUIC, which is named as well.
    let server = samepath_transport::udp::Server::bind((ip, 0).into()).unwrap();
    let error = bind(server.local_addr().port() - 1);
    assert!(error.contains("UDP 127.0.0.9:"), "{error}");
    for port in [65534, 65535] {
        let error = bind(port);
        assert!(error.contains(&port.to_string()) && error.contains("65533"), "{error}");
    }
}
