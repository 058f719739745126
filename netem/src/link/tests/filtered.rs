//! Filters: what they do not match passes as on a link without conditions, and the rest as on one where nothing else
//! is; black holes, bleached ECN, and jitter that keeps the order.

use super::*;

const MS: Nanos = 1_000_000;

/// A packet of `size` bytes to this port, by UDP or TCP.
fn flow_packet(number: u32, size: usize, protocol: u8, port: u16) -> Vec<u8> {
    let mut bytes = packet(number, size.max(60));
    (bytes[9], bytes[32]) = (protocol, 5 << 4);
    bytes[12..20].copy_from_slice(&[198, 18, 0, 1, 198, 18, 0, 2]);
    bytes[20..22].copy_from_slice(&9999u16.to_be_bytes());
    bytes[22..24].copy_from_slice(&port.to_be_bytes());
    bytes
}

/// Any conditions, of every kind.
fn any_kind() -> impl Strategy<Value = String> {
    let one_of = |texts: &'static [&'static str]| (0..texts.len()).prop_map(move |n| texts[n]);
    (
        one_of(&[
            "rate = '5Mbit'\nqueue = '6p'\n",
            "rate = '5Mbit'\nqueue = '9kB'\naqm = 'codel 1ms 5ms'\n",
            "rate = '20Mbit'\naqm = 'threshold 3p'\n",
            "rate-trace = 'inline t 1 2x3 4'\nqueue = '6p'\n",
            "generator = 'netem'\nrate = '5Mbit'\nlimit = 9\n",
            "",
        ]),
        one_of(&["loss = '30%'\n", "loss = 'burst 20% 3'\nloss-key = 'index'\n", "loss = '100%'\n", ""]),
        one_of(&["jitter = '3ms'\n", "jitter = '3ms'\nkeep-order = true\n", "reorder = '20%'\n", ""]),
        one_of(&["duplicate = '20%'\ncorrupt = '20%'\n", "slot = '1ms 3ms packets 4'\n", ""]),
        one_of(&["outage = ['3ms..9ms every 20ms']\n", "blackhole = '900B'\n", "bleach = true\n", ""]),
        one_of(&[
            "change = ['5ms: delay 1ms, jitter 0ms', '9ms..30ms: loss 30%']\n",
            "change = ['1ms..4ms every 5ms: delay 8ms', '2ms every 3ms: loss 0%', '4ms every 3ms: loss burst 40% 3']\n",
            "",
        ]),
        one_of(&["[down]\ndrop = ['data 3', 'data every 5', 'time 9ms']\n", ""]),
    )
        .prop_map(|(queue, loss, order, copies, others, change, drops)| {
            let loss = if queue.contains("netem") { loss.replace("loss-key = 'index'\n", "") } else { loss.to_owned() };
            format!("delay = '5ms'\n{queue}{loss}{order}{copies}{others}{change}{drops}")
        })
}

/// Plays packets, each a time and bytes; keeps each packet that left as it left, by its number in its own bytes.
fn play_bytes(pipe: &mut Pipe<Vec<u8>>, packets: &[(Nanos, Vec<u8>)]) -> (Vec<Entry>, Vec<(Nanos, Vec<u8>)>) {
    let (mut entries, mut out) = (Vec::new(), Vec::new());
    let mut release = |pipe: &mut Pipe<Vec<u8>>, entries: &mut Vec<Entry>, until: Nanos| {
        while let Some(due) = pipe.next_release().filter(|due| *due <= until) {
            if let Some(released) = pipe.release(due) {
                assert!(released.due <= due);
                out.push((released.due, released.packet));
                entries.push(pipe.left(released.entry, released.due));
            }
        }
    };
    for (at, bytes) in packets {
        release(pipe, &mut entries, *at);
        pipe.offer(bytes.clone(), *at, |entry| entries.push(entry));
    }
    release(pipe, &mut entries, packets.last().map_or(0, |(at, _)| at + 100 * SECOND));
    entries.extend(pipe.drain().map(|(_, entry)| entry));
    (entries, out)
}

proptest! {
    /// Of packets of two kinds, those that the filter does not match leave as they came, at once, whatever the conditions
    /// are; and those that it matches meet what they meet where there are no others.
    #[test]
    fn the_filter_stands_before_every_condition(
        conditions in any_kind(), packets in any_packets(), seed: u64, kinds in vec(0u8..4, 200),
    ) {
        let packets: Vec<(Nanos, Vec<u8>)> = packets
            .iter()
            .enumerate()
            .map(|(n, (at, size))| {
                let (protocol, port) = [(17, 443), (17, 53), (6, 443), (6, 53)][usize::from(kinds[n])];
                (*at, flow_packet(n as u32, *size, protocol, port))
            })
            .collect();
        let is_matched = |bytes: &[u8]| bytes[9] == 17 && bytes[22..24] == 443u16.to_be_bytes();
        let filter = "filter = 'udp port 443'\n";
        let mut filtered = pipe(&format!("{filter}{conditions}"), Direction::Down, seed);
        let mut alone = pipe(&conditions, Direction::Down, seed);
        for pipe in [&mut filtered, &mut alone] {
            pipe.set_epoch(packets[0].0);
        }
        let (entries, out) = play_bytes(&mut filtered, &packets);
        let only: Vec<_> = packets.iter().filter(|(_, bytes)| is_matched(bytes)).cloned().collect();
        let (expected_entries, expected_out) = play_bytes(&mut alone, &only);

        // Untouched, at once, in order.
        let others = |all: &[(Nanos, Vec<u8>)]| -> Vec<(Nanos, Vec<u8>)> {
            all.iter().filter(|(_, bytes)| !is_matched(bytes)).cloned().collect()
        };
        let corrupt_safe = !conditions.contains("corrupt");
        if corrupt_safe {
            prop_assert_eq!(others(&out), others(&packets));
        }
        let bypassed: Vec<&Entry> = entries.iter().filter(|entry| entry.is_bypassed()).collect();
        prop_assert_eq!(bypassed.len(), others(&packets).len());
        prop_assert!(bypassed.iter().all(|entry| entry.left() == Some(entry.arrived()) && entry.queued() == 0));
        // The rest as if there were nothing else.
        let fates = |entries: &[Entry]| {
            let mut fates: Vec<_> = entries
                .iter()
                .filter(|entry| !entry.is_bypassed())
                .map(|e| (e.arrived(), e.size(), e.is_duplicate(), e.left(), e.queued(), e.cause(), e.is_corrupted()))
                .collect();
            fates.sort();
            fates
        };
        prop_assert_eq!(fates(&entries), fates(&expected_entries));
        let mut matched: Vec<_> = out.into_iter().filter(|(_, bytes)| is_matched(bytes)).collect();
        let mut expected = expected_out;
        matched.sort();
        expected.sort();
        if corrupt_safe {
            prop_assert_eq!(matched, expected);
        }
        // And counted apart.
        let (report, of_alone) = (filtered.report(), alone.report());
        prop_assert_eq!(report.bypassed as usize, bypassed.len());
        prop_assert_eq!(report.packets, of_alone.packets + report.bypassed);
        prop_assert_eq!(report.delivered_packets, of_alone.delivered_packets + report.bypassed);
        prop_assert_eq!(&report.dropped, &of_alone.dropped);
        prop_assert_eq!(filtered.in_flight(), 0);
    }

    /// What is inside when the filter or the conditions change is not lost.
    #[test]
    fn a_filter_that_changes_loses_nothing(conditions in any_kind(), packets in any_packets(), seed: u64) {
        let mut pipe = pipe(&format!("filter = 'udp'\n{conditions}"), Direction::Down, seed);
        let filters = ["filter = 'tcp'\n", "", "filter = 'port 53 or less 500'\n"];
        for (n, (at, size)) in packets.iter().enumerate() {
            if n % 5 == 4 {
                pipe.set_conditions(&link(&format!("{}{conditions}", filters[n / 5 % 3])), *at);
            }
            pipe.offer(flow_packet(n as u32, *size, if n % 2 == 0 { 17 } else { 6 }, 53), *at, |_| ());
            while let Some(released) = pipe.release(*at) {
                let _ = pipe.left(released.entry, *at);
            }
            let report = pipe.report();
            let dropped: u64 = report.dropped.values().sum();
            prop_assert_eq!(report.packets + report.duplicated, report.delivered_packets + dropped + pipe.in_flight());
        }
        let rest = pipe.drain().count() as u64;
        let report = pipe.report();
        let dropped: u64 = report.dropped.values().sum();
        prop_assert!(report.dropped.get("link-down").copied().unwrap_or(0) == rest || rest >= report.dropped.get("link-down").copied().unwrap_or(0));
        prop_assert_eq!(report.packets + report.duplicated, report.delivered_packets + dropped);
    }

    /// Jitter that keeps the order: every packet within its bounds, none before one that came earlier.
    #[test]
    fn jitter_may_keep_the_order(
        packets in any_packets(), seed: u64, rate in prop_oneof![Just(""), Just("rate = '20Mbit'\nqueue = '40p'\n")],
        generator in prop_oneof![Just(""), Just("generator = 'netem'\n")],
        spread in prop_oneof![Just("9ms"), Just("9ms 50%")],
    ) {
        let rate = if generator.is_empty() { rate.to_owned() } else { rate.replace("queue = '40p'\n", "") };
        let text = format!("delay = '10ms'\njitter = '{spread}'\nkeep-order = true\n{rate}{generator}");
        let run = play(&mut pipe(&text, Direction::Up, seed), packets);
        prop_assert!(run.out.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        for entry in run.entries.iter().filter(|entry| entry.cause().is_none()) {
            let stay = entry.left().unwrap() - entry.arrived();
            prop_assert!(stay >= entry.queued() + MS, "no earlier than its own delay");
            if rate.is_empty() {
                prop_assert!(stay <= 19 * MS + 1, "no later than the largest delay");
            }
        }
    }
}

#[test]
fn what_passes_by_does_not_move_a_ramp() {
    let text = "filter = 'udp'\ndelay = '1ms'\nchange = ['0s..1s: delay 1001ms']";
    let udp = || (SECOND + 300 * MS + 700_000, flow_packet(1, 99, 17, 1));
    let passes_by = (SECOND + 300 * MS + 200_000, flow_packet(0, 99, 6, 1));
    for packets in [vec![udp()], vec![passes_by, udp()]] {
        let mut pipe = pipe(text, Direction::Up, 1);
        pipe.set_epoch(SECOND);
        let (entries, _) = play_bytes(&mut pipe, &packets);
        let last = entries.iter().find(|entry| !entry.is_bypassed()).unwrap();
        assert_eq!(last.left().unwrap() - last.arrived(), 301 * MS, "as the step of 300 ms has it");
    }
}

#[test]
fn jitter_varies_the_delay_though_the_order_is_kept() {
    let run = play(&mut pipe("delay = '100ms'\njitter = '10ms'\nkeep-order = true", Direction::Up, 1), steady(1000));
    let stays: std::collections::HashSet<u64> =
        run.entries.iter().map(|e| (e.left().unwrap() - e.arrived()) / 1000).collect();
    assert!(stays.len() > 100, "{} different delays", stays.len());
    // And without the word it does not keep it, with a rate either.
    let text = "delay = '100ms'\njitter = '10ms'\nrate = '20Mbit'";
    let run = play(&mut pipe(text, Direction::Up, 1), steady(1000));
    let overtaken = run.out.windows(2).filter(|pair| pair[0].0 > pair[1].0).count();
    assert!(overtaken > 300, "{overtaken}");
}

#[test]
fn all_of_udp_is_blocked_and_tcp_passes() {
    let mut pipe = pipe("filter = 'udp'\nloss = '100%'\nrate = '1kbit'\ndelay = '1s'", Direction::Up, 1);
    let packets: Vec<(Nanos, Vec<u8>)> = (0..100u64)
        .map(|n| (SECOND + n * MS, flow_packet(n as u32, 1200, if n % 2 == 0 { 17 } else { 6 }, 443)))
        .collect();
    let (entries, out) = play_bytes(&mut pipe, &packets);
    assert_eq!(out.len(), 50);
    assert!(out.iter().zip(packets.iter().skip(1).step_by(2)).all(|(left, came)| left == came));
    let lost = entries.iter().filter(|entry| entry.cause() == Some(DropCause::Loss)).count();
    assert_eq!((lost, pipe.report().bypassed), (50, 50));
}

#[test]
fn each_direction_has_a_filter_of_its_own() {
    let text = "delay = '5ms'\nfilter = 'tcp'\n[up]\nfilter = 'udp'";
    for (direction, delayed) in [(Direction::Up, 17), (Direction::Down, 6)] {
        for protocol in [6, 17] {
            let (entries, _) = play_bytes(&mut pipe(text, direction, 1), &[(SECOND, flow_packet(0, 99, protocol, 1))]);
            let stay = entries[0].left().unwrap() - SECOND;
            assert_eq!(stay, if protocol == delayed { 5 * MS } else { 0 }, "{direction} {protocol}");
        }
    }
}

#[test]
fn scripted_drop_numbers_count_filtered_packets() {
    let fates = |drop: &str| {
        let text = format!("[up]\nfilter = 'udp'\ndrop = ['{drop}']");
        let mut pipe = pipe(&text, Direction::Up, 1);
        pipe.set_epoch(0);
        let packets: Vec<(Nanos, Vec<u8>)> = (0..12u64)
            .map(|n| (SECOND + n * MS, flow_packet(n as u32, 500, if n % 3 == 0 { 6 } else { 17 }, 443)))
            .collect();
        let (entries, _) = play_bytes(&mut pipe, &packets);
        entries.iter().filter(|e| e.cause() == Some(DropCause::Script)).map(Entry::number).collect::<Vec<_>>()
    };
    assert_eq!(fates("data 3"), [4], "the third datagram");
    assert_eq!(fates("data every 4"), [5, 11]);
    assert_eq!(fates("packet 5"), [4], "by the name that the capture gives it");
    assert_eq!(fates("packet 4"), [0u64; 0], "which is TCP's");
}

#[test]
fn a_black_hole_drops_and_counts_large_packets() {
    let mut hole = pipe("blackhole = '1400B'\ndelay = '1ms'", Direction::Up, 1);
    let run = play(&mut hole, (0..20u64).map(|n| (SECOND + n * MS, if n % 4 == 3 { 1401 } else { 1400 })));
    let swallowed: Vec<u64> = (0..20).filter(|n| run.fates()[*n as usize] == Some(DropCause::Blackhole)).collect();
    assert_eq!(swallowed, [3, 7, 11, 15, 19]);
    assert_eq!(hole.report().dropped["blackhole"], 5);
    // It opens and closes at its times, and random losses are what they are without it.
    let changes = "change = ['5ms: blackhole 300B', '10ms: blackhole none']";
    let mut shut = pipe(&format!("loss = '20%'\n{changes}"), Direction::Up, 3);
    shut.set_epoch(SECOND);
    let mut open = pipe("loss = '20%'", Direction::Up, 3);
    open.set_epoch(SECOND);
    let load = || (0..20u64).map(|n| (SECOND + n * MS, 500));
    let (shut, open) = (play(&mut shut, load()).fates(), play(&mut open, load()).fates());
    for (n, (with, without)) in shut.into_iter().zip(open).enumerate() {
        assert_eq!(with, if (5..10).contains(&n) { Some(DropCause::Blackhole) } else { without }, "{n}");
    }
}

#[test]
fn what_is_bleached_cannot_be_marked() {
    for (rule, marks) in [("", true), ("bleach = true\n", false)] {
        let text = format!("rate = '8Mbit'\nqueue = '20p'\naqm = 'threshold 3p'\n{rule}");
        let mut pipe = pipe(&text, Direction::Up, 1);
        let capable = |n: u32| {
            let mut bytes = flow_packet(n, 1000, 17, 443);
            bytes[1] = 2;
            (SECOND, bytes)
        };
        let packets: Vec<_> = (0..9).map(capable).collect();
        let (_, out) = play_bytes(&mut pipe, &packets);
        let report = pipe.report();
        assert_eq!((report.marked > 0, report.bleached), (marks, if marks { 0 } else { 9 }));
        assert!(marks || out.iter().all(|(_, bytes)| bytes[1] == 0));
    }
}
