//! The pipe as a whole, in virtual time: properties first, then exact figures.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use samepath_model::link::{Direction, Link, LinkSpec, QueueCapacity};
use samepath_model::record::{DropCause, PacketRecord};

mod complete;
mod farther;
mod filtered;
mod onset;
mod repeated;

use super::entry::Entry;
use super::{Nanos, Onset, Pipe, SLOT};

const SECOND: Nanos = 1_000_000_000;

fn link(conditions: &str) -> Link {
    toml::from_str::<LinkSpec>(conditions).unwrap().resolve().unwrap()
}

/// A UDP packet over IPv4 of `size` bytes, its number at its end.
fn packet(number: u32, size: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; size.max(32)];
    bytes[0] = 0x45;
    bytes[9] = 17;
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// What became of a stream of packets: every finished entry, and what was delivered, in order.
#[derive(Debug, Default, PartialEq)]
struct Run {
    entries: Vec<Entry>,
    /// Packet number, release time.
    out: Vec<(u64, Nanos)>,
}

impl Run {
    /// The fate of each original: the cause, or `None` where it left.
    fn fates(&self) -> Vec<Option<DropCause>> {
        let originals = self.entries.iter().filter(|e| !e.is_duplicate());
        let by_number: HashMap<u64, Option<DropCause>> = originals.map(|e| (e.number(), e.cause())).collect();
        (0..by_number.len() as u64).map(|n| by_number[&n]).collect()
    }

    fn lost(&self) -> Vec<u64> {
        let fates = self.fates();
        (0..fates.len() as u64).filter(|n| fates[*n as usize] == Some(DropCause::Loss)).collect()
    }
}

/// Releases what is due before `until`, each packet at its due time.
fn release_until(pipe: &mut Pipe<Vec<u8>>, run: &mut Run, until: Nanos) {
    while let Some(due) = pipe.next_release().filter(|due| *due <= until) {
        let released = pipe.release(due).unwrap();
        assert_eq!(released.due, due);
        run.out.push((released.entry.number(), due));
        run.entries.push(pipe.left(released.entry, due));
    }
}

/// Plays packets, each a time and a size, through a pipe, to the end.
fn play(pipe: &mut Pipe<Vec<u8>>, packets: impl IntoIterator<Item = (Nanos, usize)>) -> Run {
    let mut run = Run::default();
    for (n, (at, size)) in packets.into_iter().enumerate() {
        release_until(pipe, &mut run, at);
        pipe.offer(packet(n as u32, size), at, |entry| run.entries.push(entry));
    }
    release_until(pipe, &mut run, Nanos::MAX);
    run
}

fn pipe(conditions: &str, direction: Direction, seed: u64) -> Pipe<Vec<u8>> {
    Pipe::new(&link(conditions), direction, seed)
}

/// Any link conditions that can be.
fn any_conditions() -> impl Strategy<Value = String> {
    let on = |text: &'static str| prop_oneof![Just(""), Just(text)];
    let loss = prop_oneof![Just(""), Just("loss = '10%'\n"), Just("loss = 'burst 10% 3'\n"), Just("loss = '100%'\n")];
    let queue = prop_oneof![Just("queue = '5p'\n"), Just("queue = '9kB'\n"), Just("queue = '2ms'\n"), Just("")];
    (
        (0u64..30, on("jitter"), on("rate"), queue, loss),
        (on("duplicate = '20%'\n"), on("corrupt = '20%'\n"), on("reorder"), on("outage = ['10ms..20ms']\n")),
        on("loss-key = 'index'\n"),
    )
        .prop_map(|((delay, jitter, rate, queue, loss), (duplicate, corrupt, reorder, outage), key)| {
            let mut text = format!("delay = '{delay}ms'\n{loss}{duplicate}{corrupt}{outage}{key}");
            if !jitter.is_empty() {
                text += &format!("jitter = '{}us'\n", delay * 500);
            }
            if !rate.is_empty() {
                text += &format!("rate = '20Mbit'\n{queue}");
            }
            if !reorder.is_empty() && delay > 0 {
                text += "reorder = '20%'\n";
            }
            text
        })
}

/// Packets, each a gap in nanoseconds after the one before, and a size.
fn any_packets() -> impl Strategy<Value = Vec<(Nanos, usize)>> {
    vec((prop_oneof![Just(0), 0u64..2_000_000], 32usize..1500), 1..200).prop_map(|packets| {
        let mut now = 1_000_000_007;
        packets
            .into_iter()
            .map(|(gap, size)| {
                now += gap;
                (now, size)
            })
            .collect()
    })
}

proptest! {
    /// Everything offered and every copy made ends in exactly one finished entry, and the counters
    /// agree with the entries, by cause.
    #[test]
    fn conservation(conditions in any_conditions(), packets in any_packets(), seed: u64, stop in 0usize..200) {
        let mut pipe = pipe(&conditions, Direction::Down, seed);
        pipe.set_epoch(packets[0].0);
        let mut run = Run::default();
        for (n, (at, size)) in packets.iter().enumerate() {
            release_until(&mut pipe, &mut run, *at);
            let kept = pipe.offer(packet(n as u32, *size), *at, |entry| run.entries.push(entry)).is_none();
            let original = run.entries.iter().rev().find(|e| e.number() == n as u64 && !e.is_duplicate());
            prop_assert!(kept || original.is_some() || run.entries.iter().any(|e| e.number() == n as u64));
            let report = pipe.report();
            let dropped: u64 = report.dropped.values().sum();
            prop_assert_eq!(report.packets + report.duplicated, report.delivered_packets + dropped + pipe.in_flight());
            if n == stop {
                break;
            }
        }
        // One more is released and refused by the host; the rest is inside as the link goes down.
        if let Some(released) = pipe.next_release().and_then(|due| pipe.release(due)) {
            let entry = pipe.refused(released.entry);
            prop_assert_eq!(entry.cause(), Some(DropCause::Host));
            run.entries.push(entry);
        }
        let inside: Vec<Entry> = pipe.drain().map(|(_, entry)| entry).collect();
        prop_assert!(inside.iter().all(|entry| entry.cause() == Some(DropCause::LinkDown)));
        run.entries.extend(inside);

        let report = pipe.report();
        prop_assert_eq!(pipe.in_flight(), 0);
        prop_assert_eq!(run.entries.len() as u64, report.packets + report.duplicated);
        let mut seen = std::collections::HashSet::new();
        for entry in &run.entries {
            prop_assert!(seen.insert((entry.number(), entry.is_duplicate())), "two entries for one packet");
            prop_assert!(entry.left().is_some() != entry.cause().is_some(), "left or dropped, and not both");
        }
        for cause in DropCause::ALL {
            let counted = run.entries.iter().filter(|e| e.cause() == Some(cause)).count() as u64;
            prop_assert_eq!(report.dropped.get(cause.name()).copied().unwrap_or(0), counted);
        }
        let left = run.entries.iter().filter(|e| e.left().is_some());
        prop_assert_eq!(left.clone().count() as u64, report.delivered_packets);
        prop_assert_eq!(left.map(|e| u64::from(e.size())).sum::<u64>(), report.delivered_bytes);
        let duplicates = run.entries.iter().filter(|e| e.is_duplicate()).count() as u64;
        prop_assert_eq!(duplicates, report.duplicated);
        prop_assert_eq!(run.entries.iter().filter(|e| e.is_corrupted()).count() as u64, report.corrupted);
    }

    /// Nothing leaves before its arrival and the least delay, and `queued` is within its stay.
    #[test]
    fn nothing_is_early(conditions in any_conditions(), packets in any_packets(), seed: u64) {
        let conditions_of = link(&conditions);
        let down = conditions_of.direction(Direction::Down);
        let least = if down.reorder.is_never() { (down.delay.saturating_sub(down.jitter.spread)).as_nanos() } else { 0 };
        let most = (down.delay + down.jitter.spread).as_nanos();
        let run = play(&mut Pipe::new(&conditions_of, Direction::Down, seed), packets);
        for entry in run.entries {
            let record: PacketRecord = entry.record(0);
            if let Some(left) = record.left {
                let stay = (left - record.arrived) as u64;
                prop_assert!(stay >= record.queued + least);
                prop_assert!(stay <= record.queued + most);
            }
        }
    }

    #[test]
    fn order_is_kept_without_jitter_and_reordering(
        packets in any_packets(), seed: u64, duplicate in prop_oneof![Just("0%"), Just("20%")],
    ) {
        let conditions = format!("rtt = '20ms'\nrate = '30Mbit'\nqueue = '20p'\nloss = '5%'\nduplicate = '{duplicate}'");
        let run = play(&mut pipe(&conditions, Direction::Up, seed), packets);
        prop_assert!(run.out.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
    }

    /// In every window of time, no more leaves than the rate carries in it, and one packet.
    #[test]
    fn no_faster_than_the_rate(packets in any_packets(), seed: u64, rate in 1u64..1000) {
        let run = play(&mut pipe(&format!("rtt = '2ms'\nrate = '{rate}Mbit'"), Direction::Up, seed), packets);
        let sizes: HashMap<u64, u64> = run.entries.iter().map(|e| (e.number(), u64::from(e.size()))).collect();
        for from in (0..run.out.len()).step_by(7) {
            let mut bits = 0;
            for (number, at) in &run.out[from + 1..] {
                bits += sizes[number] * 8;
                let window = at - run.out[from].1;
                // Bits × 1000 ≤ Mbit/s × ns, with a nanosecond for rounding up a due time.
                prop_assert!(bits * 1000 <= rate * (window + 1), "{bits} bits in {window} ns at {rate} Mbit/s");
            }
        }
    }

    #[test]
    fn the_backlog_stays_within_its_limit(packets in any_packets(), limit in 1500u64..20_000) {
        let text = format!("rate = '1Mbit'\nqueue = '{limit}B'");
        let mut pipe = pipe(&text, Direction::Up, 1);
        play(&mut pipe, packets);
        prop_assert!(pipe.report().max_backlog_bytes <= limit);
    }

    /// Loss depends on seed, direction and key alone: whatever else is switched on, the same
    /// packets are lost.
    #[test]
    fn the_same_packets_are_lost_whatever_else_is_on(
        packets in any_packets(), seed: u64, others in any_conditions(), index: bool,
        loss in prop_oneof![Just("10%"), Just("burst 10% 2")],
    ) {
        let key = if index { "index" } else { "time" };
        let rule = format!("loss = '{loss}'\nloss-key = '{key}'\n");
        let others: String =
            others.lines().filter(|line| !line.starts_with("loss")).map(|line| format!("{line}\n")).collect();
        let run = |conditions: String| {
            let mut pipe = pipe(&conditions, Direction::Up, seed);
            pipe.set_epoch(packets[packets.len() / 4].0);
            play(&mut pipe, packets.clone())
        };
        let (bare, with) = (run(rule.clone()), run(format!("{others}{rule}[up]\ndrop = ['packet 3', 'data 9']\n")));
        // What a script or an outage took cannot be lost as well; all others have their old fate.
        let fates = with.fates();
        let taken = |n: &u64| matches!(fates[*n as usize], Some(DropCause::Script | DropCause::Outage));
        let expected: Vec<u64> = bare.lost().into_iter().filter(|n| !taken(n)).collect();
        prop_assert_eq!(with.lost(), expected);
    }

    #[test]
    fn the_same_seed_gives_the_same_run(conditions in any_conditions(), packets in any_packets(), seed: u64) {
        let run = || play(&mut pipe(&conditions, Direction::Up, seed), packets.clone());
        prop_assert_eq!(run(), run());
    }

    /// Time keys: the same draws at the same time since the epoch, whatever happened before it.
    #[test]
    fn time_keyed_fates_count_from_the_epoch(
        packets in any_packets(), seed: u64, shift in 0u64..10 * SECOND, before in vec(0u64..1_000_000, 0..50),
        loss in prop_oneof![Just("20%"), Just("burst 20% 2")],
    ) {
        let conditions = format!("rtt = '10ms'\njitter = '1ms'\nloss = '{loss}'\nduplicate = '20%'\noutage = '30ms..40ms'");
        let conditions = conditions.replace("outage = '30ms..40ms'", "outage = ['30ms..40ms']");
        let epoch = packets[0].0;
        let mut quiet = pipe(&conditions, Direction::Down, seed);
        quiet.set_epoch(epoch);
        let expected = play(&mut quiet, packets.clone());

        let mut busy = pipe(&conditions, Direction::Down, seed);
        let mut times: Vec<Nanos> = before.into_iter().map(|ago| epoch + shift - 1 - ago).collect();
        times.sort_unstable();
        let warm_up = times.len();
        for at in times {
            busy.offer(packet(0, 100), at, |_| {});
        }
        busy.drain().for_each(drop);
        // Announced ahead, as the client does.
        busy.set_epoch(epoch + shift);
        let shifted = play(&mut busy, packets.into_iter().map(|(at, size)| (at + shift, size)));

        let relative = |run: Run, warm_up: usize, shift: Nanos| -> Vec<(u64, Nanos)> {
            run.out.into_iter().map(|(number, at)| (number - warm_up as u64, at - shift)).collect()
        };
        prop_assert_eq!(relative(shifted, warm_up, shift), relative(expected, 0, 0));
    }

    /// Index keys: the n-th packet has its fate, whenever it comes.
    #[test]
    fn index_keyed_fates_belong_to_the_number(a in any_packets(), b in any_packets(), seed: u64) {
        for loss in ["20%", "burst 20% 2"] {
            let text = format!("loss = '{loss}'\nloss-key = 'index'");
            let one = play(&mut pipe(&text, Direction::Down, seed), a.clone()).fates();
            let other = play(&mut pipe(&text, Direction::Down, seed), b.clone()).fates();
            let both = one.len().min(other.len());
            prop_assert_eq!(&one[..both], &other[..both]);
        }
    }
}

/// A packet a millisecond.
fn steady(count: u64) -> impl Iterator<Item = (Nanos, usize)> + Clone {
    (0..count).map(|n| (SECOND + n * 1_000_000, 200))
}

#[test]
fn a_transparent_pipe_adds_nothing() {
    let mut pipe = Pipe::new(&Link::transparent(), Direction::Up, 1);
    let run = play(&mut pipe, steady(1000));
    assert!(run.entries.iter().all(|entry| entry.left() == Some(entry.arrived())));
    assert_eq!(run.out.len(), 1000);
    assert_eq!(pipe.report().delivered_bytes, 200_000);
    assert_eq!(pipe.report().largest_packet, 200);
}

#[test]
fn delay_is_exact_and_each_directions_own() {
    let conditions = "[up]\ndelay = '3ms'\n[down]\ndelay = '70ms'";
    for (direction, delay) in [(Direction::Up, 3_000_000), (Direction::Down, 70_000_000)] {
        let run = play(&mut pipe(conditions, direction, 1), steady(100));
        assert!(run.entries.iter().all(|entry| entry.left() == Some(entry.arrived() + delay)));
    }
}

#[test]
fn directions_and_seeds_are_independent() {
    let n = 100_000;
    let lost = |direction, seed| play(&mut pipe("loss = '5%'", direction, seed), steady(n)).lost();
    let (up, down, other) = (lost(Direction::Up, 1), lost(Direction::Down, 1), lost(Direction::Up, 2));
    for (name, pattern) in [("direction", &down), ("seed", &other)] {
        let common = pattern.iter().filter(|number| up.binary_search(number).is_ok()).count() as f64;
        // Independent: 5 % of 5 % of 100,000 are lost in both: 250, deviation 16; five of them.
        assert!((common - 250.0).abs() < 80.0, "{name}: {common} lost in both");
    }
}

#[test]
fn one_percent_through_the_pipe() {
    for (key, seed) in [("time", 1), ("index", 1), ("time", 2), ("index", 2)] {
        let lost = play(&mut pipe(&format!("loss = '1%'\nloss-key = '{key}'"), Direction::Down, seed), steady(100_000));
        // The 99 % interval of Binomial(100,000, 0.01).
        assert!((919..=1081).contains(&lost.lost().len()), "{key} {seed}: {}", lost.lost().len());
    }
}

#[test]
fn packets_of_one_burst_have_fates_of_their_own() {
    // 20,000 bursts of ten packets at one instant, each in a slot of its own.
    let bursts = (0..20_000u64).flat_map(|n| std::iter::repeat_n((SECOND + n * SLOT, 100), 10));
    let fates = play(&mut pipe("loss = '10%'", Direction::Up, 5), bursts).fates();
    let mut histogram = [0u32; 11];
    for burst in fates.chunks(10) {
        histogram[burst.iter().flatten().count()] += 1;
    }
    // Binomial(10, 0.1): 34.9 % of bursts lose none, 38.7 % one, 19.4 % two.
    for (losses, share) in [(0, 0.3487), (1, 0.3874), (2, 0.1937)] {
        let measured = f64::from(histogram[losses]) / 20_000.0;
        assert!((measured - share).abs() < 0.017, "{losses} lost: {measured}");
    }
}

#[test]
fn the_rate_is_exact_over_a_long_backlog() {
    let rate = 99_999_989u64;
    let n = 200_000u64;
    let text = format!("rtt = '20ms'\nrate = '{rate}bit'\nqueue = '400MB'");
    let run = play(&mut pipe(&text, Direction::Down, 1), (0..n).map(|_| (SECOND, 1500)));
    let (first, last) = (run.out[0].1, run.out[n as usize - 1].1);
    let measured = ((n - 1) * 1500 * 8) as f64 / ((last - first) as f64 / 1e9);
    assert!((measured / rate as f64 - 1.0).abs() < 1e-9, "{measured} bit/s");
}

#[test]
fn a_full_buffer_delays_by_size_over_rate() {
    let conditions = link("rtt = '20ms'\nrate = '10Mbit'\nqueue = '50ms'");
    assert_eq!(
        conditions.queue_capacity(Direction::Up),
        Some(QueueCapacity::Bytes(samepath_model::ByteCount::new(62_500)))
    );
    // Twice the rate for two seconds.
    let mut pipe = Pipe::new(&conditions, Direction::Up, 1);
    let run = play(&mut pipe, (0..3333).map(|n| (SECOND + n * 600_000, 1500)));
    let largest = run.entries.iter().filter(|e| e.left().is_some()).map(|e| e.record(0).queued).max().unwrap();
    // Forty-one packets of 1500 bytes fit 62,500 bytes; the first of them is partly transmitted as
    // the last comes, by less than one packet's time.
    assert!((48_000_000..=50_000_000).contains(&largest), "{largest} ns");
    assert_eq!(pipe.report().max_backlog_bytes, 61_500);
    let dropped = pipe.report().dropped["overflow"];
    assert!((1600..1670).contains(&dropped), "{dropped} of 3333 overflowed");
}

#[test]
fn jitter_fills_its_range_evenly_and_reorders() {
    let run = play(&mut pipe("delay = '20ms'\njitter = '5ms'", Direction::Up, 3), steady(20_000));
    let delays: Vec<f64> = run.entries.iter().map(|e| (e.left().unwrap() - e.arrived()) as f64 / 1e6).collect();
    assert!(delays.iter().all(|d| (15.0..25.0).contains(d)));
    for millisecond in 15..25 {
        let count = delays.iter().filter(|d| **d as u32 == millisecond).count();
        // 2000 expected, deviation 42; five of them.
        assert!((1788..=2212).contains(&count), "{millisecond} ms: {count}");
    }
    assert!(run.out.windows(2).any(|pair| pair[0].0 > pair[1].0));
}

#[test]
fn reordered_packets_skip_delay_but_not_queue() {
    let run = play(&mut pipe("delay = '20ms'\nreorder = '10%'\nrate = '100Mbit'", Direction::Up, 3), steady(10_000));
    let transmission = 200 * 8 * 10;
    let stays: Vec<Nanos> = run.entries.iter().map(|e| e.left().unwrap() - e.arrived()).collect();
    let skipped = stays.iter().filter(|stay| **stay == transmission).count();
    assert_eq!(stays.iter().filter(|stay| **stay == 20_000_000 + transmission).count() + skipped, 10_000);
    assert!((850..1150).contains(&skipped), "{skipped}");
}

#[test]
fn a_copy_follows_its_original_through_the_queue() {
    let mut pipe = pipe("rate = '8Mbit'\nduplicate = '100%'\nqueue = '2p'", Direction::Up, 1);
    let run = play(&mut pipe, [(SECOND, 1000), (SECOND, 1000)]);
    // 1000 bytes at 8 Mbit/s: a millisecond each. The second packet and its copy find no room.
    assert_eq!(run.out, [(0, SECOND + 1_000_000), (0, SECOND + 2_000_000)]);
    assert_eq!(pipe.report().dropped["overflow"], 2);
    assert_eq!(pipe.report().duplicated, 2);
}

#[test]
fn of_a_lost_packet_its_copy_arrives() {
    let run = play(&mut pipe("loss = '100%'\nduplicate = '100%'", Direction::Up, 1), steady(10));
    assert_eq!(run.fates(), [Some(DropCause::Loss); 10]);
    assert_eq!(run.out.len(), 10);
    assert!(run.entries.iter().filter(|e| e.is_duplicate()).all(|e| e.left().is_some()));
}

#[test]
fn corruption_flips_one_bit_beyond_the_ip_header() {
    let mut pipe = pipe("corrupt = '100%'", Direction::Up, 1);
    let mut positions = std::collections::HashSet::new();
    for n in 0..5000u32 {
        let original = packet(n, 40);
        pipe.offer(original.clone(), u64::from(n) * SLOT, |_| panic!("nothing is dropped"));
        let released = pipe.release(Nanos::MAX).unwrap();
        assert!(released.entry.is_corrupted());
        let differing: Vec<usize> =
            (0..40 * 8).filter(|bit| (original[bit / 8] ^ released.packet[bit / 8]) >> (bit % 8) & 1 == 1).collect();
        assert_eq!(differing.len(), 1);
        assert!(differing[0] >= 20 * 8);
        positions.insert(differing[0]);
        let _ = pipe.left(released.entry, u64::from(n) * SLOT);
    }
    assert_eq!(positions.len(), 20 * 8, "every bit is hit now and then");
}

#[test]
fn a_packet_that_is_all_header_is_not_corrupted() {
    let mut pipe = pipe("corrupt = '100%'", Direction::Up, 1);
    for bytes in [Vec::new(), vec![0x45; 20]] {
        pipe.offer(bytes.clone(), 0, |_| panic!("nothing is dropped"));
        let released = pipe.release(0).unwrap();
        // What is no IP packet may be hit anywhere; what is nothing but a header, nowhere.
        assert_eq!(released.packet, bytes);
        assert!(!released.entry.is_corrupted());
        let _ = pipe.left(released.entry, 0);
    }
}

#[test]
fn outages_and_scripts_count_from_the_epoch() {
    let mut pipe = pipe("[up]\noutage = ['5ms..8ms']\ndrop = ['data 3', 'packet 2']", Direction::Up, 1);
    // Two packets before the epoch, which lies ahead.
    let early = play(&mut pipe, [(SECOND, 200), (SECOND + 1, 200)]);
    assert_eq!(early.fates(), [None, Some(DropCause::Script)]);
    pipe.set_epoch(3 * SECOND);
    let mut causes = Vec::new();
    for millisecond in 0..10 {
        let at = 3 * SECOND - 2_000_000 + millisecond * 1_000_000;
        let mut cause = None;
        pipe.offer(packet(0, 200), at, |entry| cause = entry.cause());
        causes.push(cause);
    }
    // Epoch at the third of these; the third data packet from there; the outage 5 ms after it.
    let expected = |n: u64| match n {
        4 => Some(DropCause::Script),
        7..=9 => Some(DropCause::Outage),
        _ => None,
    };
    assert_eq!(causes, (0..10).map(expected).collect::<Vec<_>>());
}

#[test]
fn the_packet_of_a_drop_is_given_back() {
    let mut pipe = pipe("loss = '100%'", Direction::Up, 1);
    let bytes = packet(7, 100);
    assert_eq!(pipe.offer(bytes.clone(), 0, |_| {}), Some(bytes));
    assert_eq!(pipe.next_release(), None);
    assert!(pipe.release(Nanos::MAX).is_none());
}

#[test]
fn a_copy_has_draws_of_its_own() {
    let mut pipe = pipe("delay = '10ms'\njitter = '5ms'\ncorrupt = '50%'\nduplicate = '100%'", Direction::Up, 1);
    let run = play(&mut pipe, steady(4000));
    let mut pairs: HashMap<u64, Vec<(bool, Nanos)>> = HashMap::new();
    for entry in &run.entries {
        pairs.entry(entry.number()).or_default().push((entry.is_corrupted(), entry.left().unwrap()));
    }
    // Half of the pairs differ in whether they were corrupted: 2000, deviation 32; five of them.
    let differing = pairs.values().filter(|pair| pair[0].0 != pair[1].0).count();
    assert!((1840..=2160).contains(&differing), "{differing}");
    assert!(pairs.values().all(|pair| pair[0].1 != pair[1].1), "the delay is drawn for each");
}

#[test]
fn every_schedule_on_one_link_meets_the_same_draws() {
    for (loss, seed) in ["20%", "burst 20% 3"].into_iter().flat_map(|loss| (0..20).map(move |seed| (loss, seed))) {
        let mut pipe = pipe(&format!("loss = '{loss}'\n[down]\ndrop = ['data 5']"), Direction::Down, seed);
        let mut play_at = |epoch: Nanos, count: u64| {
            pipe.set_epoch(epoch);
            let fates = (0..count).map(|n| {
                let mut cause = None;
                // Two packets a slot, from within the first on.
                pipe.offer(packet(0, 200), epoch + SLOT / 4 + n * SLOT / 2, |entry| cause = entry.cause());
                cause
            });
            fates.collect::<Vec<_>>()
        };
        let first = play_at(SECOND, 500);
        assert_eq!(first[4], Some(DropCause::Script));
        assert_eq!(play_at(2 * SECOND, 1), first[..1], "{loss}");
        // The schedule before this one ended within its first slot.
        assert_eq!(play_at(3 * SECOND, 500), first, "{loss}");
    }
}

#[test]
fn a_dropped_packet_tells_its_would_be_wait() {
    // 1000 bytes at 8 Mbit/s: a millisecond each.
    let text = "rtt = '20ms'\nrate = '8Mbit'\nqueue = '3p'\n[up]\ndrop = ['packet 2', 'packet 5']";
    let run = play(&mut pipe(text, Direction::Up, 1), (0..6).map(|_| (SECOND, 1000)));
    let mut entries = run.entries;
    entries.sort_by_key(Entry::number);
    let told: Vec<(Option<DropCause>, u64)> = entries.iter().map(|e| (e.cause(), e.queued() / 1_000_000)).collect();
    let (script, overflow) = (Some(DropCause::Script), Some(DropCause::Overflow));
    assert_eq!(told, [(None, 1), (script, 2), (None, 2), (None, 3), (script, 4), (overflow, 4)]);
    let lossy = play(&mut pipe("rate = '8Mbit'\nloss = '100%'", Direction::Up, 1), [(SECOND, 1000)]);
    assert_eq!(lossy.entries[0].queued(), 1_000_000);
    // Without a bottleneck there is no wait.
    let unlimited = play(&mut pipe("loss = '100%'", Direction::Up, 1), [(SECOND, 1000)]);
    assert_eq!(unlimited.entries[0].queued(), 0);
}

#[test]
fn a_new_rate_holds_for_waiting_packets() {
    let mut pipe = pipe("delay = '10ms'\nrate = '8Mbit'\nqueue = '9p'", Direction::Up, 1);
    let mut run = Run::default();
    for n in 0..3 {
        pipe.offer(packet(n, 1000), SECOND, |_| panic!("there is room"));
    }
    // Half of the first has been transmitted. At twice the rate the rest takes a quarter of a
    // millisecond, the others half of one each.
    pipe.set_conditions(&link("delay = '30ms'\nrate = '16Mbit'\nqueue = '9p'"), SECOND + 500_000);
    pipe.offer(packet(3, 1000), SECOND + 500_000, |_| panic!("there is room"));
    release_until(&mut pipe, &mut run, Nanos::MAX);
    let at = |micros: u64| SECOND + micros * 1000;
    // What was inside keeps its delay of 10 ms.
    assert_eq!(run.out, [(0, at(10_750)), (1, at(11_250)), (2, at(11_750)), (3, at(32_250))]);
    let queued: Vec<u64> = run.entries.iter().map(|e| e.queued() / 1000).collect();
    assert_eq!(queued, [750, 1250, 1750, 1750]);
}

#[test]
fn a_shorter_delay_overtakes_nothing() {
    let mut pipe = pipe("delay = '50ms'", Direction::Up, 1);
    let mut run = Run::default();
    pipe.offer(packet(0, 100), SECOND, |_| {});
    pipe.set_conditions(&link("delay = '5ms'"), SECOND);
    for n in [10, 60] {
        release_until(&mut pipe, &mut run, SECOND + n * 1_000_000);
        pipe.offer(packet(n as u32, 100), SECOND + n * 1_000_000, |_| {});
    }
    release_until(&mut pipe, &mut run, Nanos::MAX);
    let times: Vec<(u64, u64)> = run.out.iter().map(|(n, at)| (*n, (at - SECOND) / 1_000_000)).collect();
    assert_eq!(times, [(0, 50), (1, 50), (2, 65)]);
}

#[test]
fn nothing_overtakes_any_more_once_jitter_is_over() {
    let mut pipe = pipe("delay = '300ms'\njitter = '20ms'", Direction::Up, 1);
    let mut run = Run::default();
    for n in 0..20 {
        pipe.offer(packet(n, 100), SECOND, |_| {});
    }
    pipe.set_conditions(&link("delay = '300ms'"), SECOND + 1);
    pipe.offer(packet(20, 100), SECOND + 1, |_| {});
    pipe.set_conditions(&link("delay = '10ms'"), SECOND + 2);
    for n in 21..30 {
        pipe.offer(packet(n, 100), SECOND + u64::from(n), |_| {});
    }
    release_until(&mut pipe, &mut run, Nanos::MAX);
    let order: Vec<u64> = run.out.iter().map(|(n, _)| *n).collect();
    assert_ne!(order[..20], (0..20).collect::<Vec<_>>(), "jitter has moved some");
    assert_eq!(order[20..], (20..30).collect::<Vec<_>>());
}

proptest! {
    /// Whatever the conditions become while packets are inside, none is lost or made twice by the
    /// change, and no random loss moves.
    #[test]
    fn a_change_loses_nothing_and_moves_no_draw(
        packets in any_packets(), seed: u64, conditions in vec(any_conditions(), 1..6),
        loss in prop_oneof![Just("10%"), Just("burst 10% 2")],
    ) {
        let strip = |text: &str| -> String {
            let kept = text.lines().filter(|line| !line.starts_with("loss") && !line.starts_with("outage"));
            kept.map(|line| format!("{line}\n")).collect::<String>() + &format!("loss = '{loss}'\n")
        };
        let conditions: Vec<Link> = conditions.iter().map(|text| link(&strip(text))).collect();
        let expected = play(&mut Pipe::new(&conditions[0], Direction::Down, seed), packets.clone()).lost();
        let mut pipe = Pipe::new(&conditions[0], Direction::Down, seed);
        let mut run = Run::default();
        for (n, (at, size)) in packets.iter().enumerate() {
            release_until(&mut pipe, &mut run, *at);
            if n % 7 == 3 {
                pipe.set_conditions(&conditions[n / 7 % conditions.len()], *at);
            }
            pipe.offer(packet(n as u32, *size), *at, |entry| run.entries.push(entry));
            let report = pipe.report();
            let dropped: u64 = report.dropped.values().sum();
            prop_assert_eq!(report.packets + report.duplicated, report.delivered_packets + dropped + pipe.in_flight());
        }
        release_until(&mut pipe, &mut run, Nanos::MAX);
        prop_assert_eq!(pipe.in_flight(), 0);
        prop_assert_eq!(run.lost(), expected);
    }
}
