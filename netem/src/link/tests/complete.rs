//! What came to the pipe beside delay, rate and loss: managed queues, traces, slots, changes,
//! correlation, marks, and the kernel's generator.

use super::*;
use crate::link::distribution;
use crate::link::netem_generator::fates;
use samepath_model::link::Distribution;

const MS: Nanos = 1_000_000;

/// Conditions of every further kind.
pub(super) fn any_further() -> impl Strategy<Value = String> {
    let one_of = |texts: &'static [&'static str]| (0..texts.len()).prop_map(move |n| texts[n]);
    (
        one_of(&[
            "",
            "rate = '20Mbit'\nqueue = '9kB'\naqm = 'codel 1ms 5ms'\n",
            "rate = '5Mbit'\nqueue = '20p'\naqm = 'codel 1ms 3ms ecn'\n",
            "rate = '20Mbit'\naqm = 'threshold 3p'\noverhead = '10 48 5'\n",
            "rate-trace = 'inline t 1 2x3 4'\nqueue = '6p'\n",
            "rate-trace = 'inline t 1 2x3 4'\naqm = 'codel 1ms 5ms'\n",
            "generator = 'netem'\nrate = '20Mbit'\noverhead = '14'\nlimit = 9\n",
            "generator = 'netem'\n",
        ]),
        one_of(&["", "jitter = '2ms 30%'\n", "jitter = '2ms'\ndistribution = 'pareto'\n"]),
        one_of(&[
            "",
            "slot = '1ms 3ms packets 4'\n",
            "slot = '2ms bytes 3000'\n",
            "slot = 'distribution uniform 2ms 1ms'\n",
        ]),
        one_of(&["", "reorder = '20% 30% gap 3'\n"]),
        one_of(&["", "limit = 5\n"]),
        one_of(&["", "change = ['10ms: delay 1ms, jitter 0ms', '20ms..60ms: loss 30%, delay 8ms']\n"]),
        one_of(&["", "duplicate = '20% 50%'\ncorrupt = '20% 50%'\necn = true\n"]),
    )
        .prop_map(|(queue, jitter, slot, reorder, limit, change, copies)| {
            let limit = if queue.contains("limit") { "" } else { limit };
            format!("delay = '5ms'\nloss = '10% 40%'\n{queue}{jitter}{slot}{reorder}{limit}{change}{copies}")
        })
}

/// A packet of an ECN-capable transport.
fn capable(number: u32, size: usize) -> Vec<u8> {
    let mut bytes = packet(number, size);
    bytes[1] = 2;
    bytes
}

proptest! {
    /// Offered + copies = delivered + dropped + in flight, at every moment and by cause, and every
    /// one of them ends in one entry.
    #[test]
    fn conservation_whatever_is_on(conditions in any_further(), packets in any_packets(), seed: u64) {
        let mut pipe = pipe(&conditions, Direction::Down, seed);
        pipe.set_epoch(packets[0].0 + 5 * MS);
        let mut run = Run::default();
        for (n, (at, size)) in packets.iter().enumerate() {
            release_at_most(&mut pipe, &mut run, *at);
            let bytes = if n % 2 == 0 { packet(n as u32, *size) } else { capable(n as u32, *size) };
            pipe.offer(bytes, *at, |entry| run.entries.push(entry));
            prop_assert!(pipe.kept() <= 2);
            let report = pipe.report();
            let dropped: u64 = report.dropped.values().sum();
            prop_assert_eq!(report.packets + report.duplicated, report.delivered_packets + dropped + pipe.in_flight());
        }
        // Half of what is inside leaves, the rest goes with the link.
        let last = packets.last().unwrap().0;
        release_at_most(&mut pipe, &mut run, last + 6 * MS);
        run.entries.extend(pipe.drain().map(|(_, entry)| entry));
        let report = pipe.report();
        prop_assert_eq!(pipe.in_flight(), 0);
        prop_assert_eq!(run.entries.len() as u64, report.packets + report.duplicated);
        for cause in DropCause::ALL {
            let counted = run.entries.iter().filter(|e| e.cause() == Some(cause)).count() as u64;
            prop_assert_eq!(report.dropped.get(cause.name()).copied().unwrap_or(0), counted, "{}", cause.name());
        }
        let mut seen = std::collections::HashSet::new();
        prop_assert!(run.entries.iter().all(|entry| seen.insert((entry.number(), entry.is_duplicate()))));
        prop_assert!(run.entries.iter().all(|entry| entry.left().is_some() != entry.cause().is_some()));
        // A copy of a marked packet is marked too.
        prop_assert!(report.marked <= run.entries.iter().filter(|e| e.is_congestion_marked()).count() as u64);
    }

    /// A correlated loss is the same whatever else is on, and whatever the queue does.
    #[test]
    fn correlated_losses_do_not_move(conditions in any_further(), packets in any_packets(), seed: u64) {
        let rule = "loss = '10% 40%'\n";
        let others: String = conditions
            .lines()
            .filter(|line| !["loss", "change", "generator", "ecn"].iter().any(|word| line.starts_with(word)))
            .map(|line| format!("{line}\n"))
            .collect();
        let run = |text: &str| {
            let mut pipe = pipe(text, Direction::Up, seed);
            pipe.set_epoch(packets[0].0);
            play_all(&mut pipe, &packets).lost()
        };
        prop_assert_eq!(run(rule), run(&(others + rule)));
    }

    #[test]
    fn one_seed_gives_one_run_under_all_conditions(
        conditions in any_further(), packets in any_packets(), seed: u64,
    ) {
        let run = || play_all(&mut pipe(&conditions, Direction::Up, seed), &packets);
        prop_assert_eq!(run(), run());
    }

    /// Without jitter and reordering order is kept, whatever the queue, the slots and the changes.
    #[test]
    fn order_is_kept_by_queues_slots_and_changes(conditions in any_further(), packets in any_packets(), seed: u64) {
        let calm: String = conditions
            .lines()
            .filter(|line| !["jitter", "distribution", "reorder", "generator"].iter().any(|word| line.starts_with(word)))
            .map(|line| format!("{line}\n"))
            .collect();
        let mut pipe = pipe(&calm, Direction::Up, seed);
        pipe.set_epoch(packets[0].0);
        let run = play_all(&mut pipe, &packets);
        prop_assert!(run.out.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
    }

    /// The pipe under the kernel's generator does what the generator says.
    #[test]
    fn the_pipe_meets_the_kernels_fates(seed: u64, gap in 1u32..4) {
        let text = format!(
            "generator = 'netem'\ndelay = '5ms'\njitter = '1ms 20%'\nloss = 'gemodel 10% 40% 80% 2%'\n\
             duplicate = '20% 10%'\ncorrupt = '10%'\nreorder = '30% 20% gap {gap}'"
        );
        let conditions = link(&text).up;
        let count = 300;
        let expected = fates(&conditions, seed, count);
        let mut pipe = pipe(&text, Direction::Up, seed);
        let run = play(&mut pipe, (0..count as u64).map(|n| (SECOND + n * 20 * MS, 200)));
        for (n, fate) in expected.iter().enumerate() {
            let of = |copy: bool| run.entries.iter().find(|e| e.number() == n as u64 && e.is_duplicate() == copy);
            let told = |entry: &Entry| (entry.left().map(|left| left - entry.arrived()), entry.is_corrupted());
            let said = |fate: &crate::link::netem_generator::Fate| {
                ((!fate.lost).then(|| fate.delay.unwrap_or(0).max(0).unsigned_abs()), fate.corrupted)
            };
            prop_assert_eq!(told(of(false).unwrap()), said(fate), "packet {}", n);
            prop_assert_eq!(of(true).map(told), fate.copy.as_deref().map(said), "copy of {}", n);
        }
    }
}

/// As `release_until`, where there may be something to do that releases nothing.
pub(super) fn release_at_most(pipe: &mut Pipe<Vec<u8>>, run: &mut Run, until: Nanos) {
    let mut last = 0;
    while let Some(due) = pipe.next_release().filter(|due| *due <= until) {
        assert!(due >= last, "time does not go back: {due} after {last}");
        last = due;
        if let Some(released) = pipe.release(due) {
            assert!(released.due <= due);
            run.out.push((released.entry.number(), released.due));
            run.entries.push(pipe.left(released.entry, released.due));
        }
    }
}

fn play_all(pipe: &mut Pipe<Vec<u8>>, packets: &[(Nanos, usize)]) -> Run {
    let mut run = Run::default();
    for (n, (at, size)) in packets.iter().enumerate() {
        release_at_most(pipe, &mut run, *at);
        pipe.offer(packet(n as u32, *size), *at, |entry| run.entries.push(entry));
    }
    // A link without a packet for a while has nothing left but what a schedule may still change.
    release_at_most(pipe, &mut run, packets.last().map_or(0, |(at, _)| at + 100 * SECOND));
    run.entries.extend(pipe.drain().map(|(_, entry)| entry));
    run
}

#[test]
fn rates_and_buffer_delays_are_kept() {
    for megabits in [10u64, 100, 1000] {
        let rate = megabits * 1_000_000;
        // A tenth more than fits, for ten seconds; a buffer of 50 ms.
        let spacing = 1500 * 8 * 1000 * 10 / (megabits * 11);
        let mut pipe = pipe(&format!("rtt = '20ms'\nrate = '{megabits}Mbit'\nqueue = '50ms'"), Direction::Up, 1);
        let mut run = Run::default();
        let (mut bits, mut longest) = (0u64, 0);
        for n in 0..10 * SECOND / spacing {
            let at = SECOND + n * spacing;
            release_until(&mut pipe, &mut run, at);
            for entry in run.entries.drain(..) {
                bits += u64::from(entry.size()) * 8;
                longest = longest.max(entry.queued());
            }
            run.out.clear();
            pipe.offer(packet(n as u32, 1500), at, |_| {});
        }
        // What left in ten seconds but for the delay and the first packet's transmission.
        let measured = bits as f64 / (10.0 - 0.010);
        assert!((measured / rate as f64 - 1.0).abs() < 0.005, "{megabits} Mbit/s: {measured}");
        let full = 0.050 * 1e9;
        assert!((longest as f64 / full - 1.0).abs() < 0.05, "{megabits} Mbit/s: {longest} ns");
        let largest = pipe.report().max_backlog_bytes as f64 * 8e9 / rate as f64;
        assert!((longest as f64 / largest - 1.0).abs() < 0.02, "{megabits} Mbit/s: {longest} of {largest} ns");
    }
}

/// The largest distance between the empirical distribution of `sample` and that of `table`
/// (Kolmogorov and Smirnov).
fn distance(mut sample: Vec<f64>, mut table: Vec<f64>) -> f64 {
    sample.sort_by(f64::total_cmp);
    table.sort_by(f64::total_cmp);
    let share = |of: &[f64], at: f64| of.partition_point(|value| *value <= at) as f64 / of.len() as f64;
    table.iter().map(|&at| (share(&sample, at) - share(&table, at)).abs()).fold(0.0, f64::max)
}

#[test]
fn jitter_has_its_distribution() {
    let n = 20_000u64;
    for name in ["normal", "pareto", "paretonormal", "inline mine -8192 -4096 0 8192"] {
        for generator in ["counter", "netem"] {
            let text = format!(
                "delay = '400ms'\njitter = '5ms'\ndistribution = '{name}'\ngenerator = '{generator}'\nlimit = 1000000"
            );
            let mut pipe = pipe(&text, Direction::Up, 3);
            let run = play(&mut pipe, steady(n));
            let stays = run.entries.iter().map(|e| (e.left().unwrap() - e.arrived()) as f64).collect();
            let table = distribution::table(&name.parse::<Distribution>().unwrap()).unwrap();
            let expected = table.iter().map(|v| (400e6 + 5e6 * f64::from(*v) / 8192.0).round() + 1.0).collect();
            // At 1.95/√n one in a thousand samples is refused.
            let measured = distance(stays, expected);
            assert!(measured < 1.95 / (n as f64).sqrt(), "{name}, {generator}: {measured}");
        }
    }
}

#[test]
fn codel_keeps_waits_short_and_tells_drops() {
    let text = "rate = '10Mbit'\nqueue = '1000p'\n";
    // A twentieth more than fits, for five seconds, and it does not slow down.
    let load: Vec<(Nanos, usize)> = (0..4375).map(|n| (SECOND + n * 1_142_857, 1500)).collect();
    let tail = |run: &Run| {
        let mut waits: Vec<u64> = run.entries.iter().filter(|e| e.left().is_some()).map(Entry::queued).collect();
        let late = waits.split_off(waits.len() * 4 / 5);
        late.iter().sum::<u64>() / late.len() as u64
    };
    let plain = play_all(&mut pipe(text, Direction::Up, 1), &load);
    let mut managed = pipe(&format!("{text}aqm = 'codel'"), Direction::Up, 1);
    let run = play_all(&mut managed, &load);
    assert!(tail(&plain) > 150 * MS && tail(&run) < 60 * MS, "{} and {}", tail(&plain), tail(&run));
    let report = managed.report();
    assert!(report.dropped["aqm"] > 50 && !report.dropped.contains_key("overflow"), "{report:?}");
    for entry in run.entries.iter().filter(|e| e.cause() == Some(DropCause::Aqm)) {
        assert!(entry.queued() > 5 * MS, "what is dropped has waited longer than the target");
    }
    // Packets of a transport that understands are marked instead.
    let mut marking = pipe(&format!("{text}aqm = 'codel ecn'"), Direction::Up, 1);
    let mut marked = 0;
    for n in 0..5000 {
        let mut run = Run::default();
        release_at_most(&mut marking, &mut run, SECOND + n * MS);
        marked += run.entries.iter().filter(|e| e.is_congestion_marked()).count();
        marking.offer(capable(n as u32, 1500), SECOND + n * MS, |_| panic!("nothing is dropped"));
    }
    assert!(marked > 50, "{marked}");
    assert!(marking.report().marked >= marked as u64);
}

#[test]
fn a_threshold_marks_what_finds_more_before_it() {
    let mut pipe = pipe("rate = '8Mbit'\nqueue = '20p'\naqm = 'threshold 3p'", Direction::Up, 1);
    let mut run = Run::default();
    for n in 0..8 {
        pipe.offer(capable(n, 1000), SECOND, |_| panic!("there is room"));
    }
    pipe.offer(packet(8, 1000), SECOND, |_| panic!("there is room"));
    release_until(&mut pipe, &mut run, Nanos::MAX);
    let marked: Vec<u64> = run.entries.iter().filter(|e| e.is_congestion_marked()).map(Entry::number).collect();
    // The fifth finds four; the last does not understand.
    assert_eq!(marked, [4, 5, 6, 7]);
    assert_eq!(pipe.report().marked, 4);
}

#[test]
fn loss_marks_where_it_may_and_moves_no_draw() {
    let marked = |ecn: bool, bytes: fn(u32, usize) -> Vec<u8>| {
        let mut pipe = pipe(&format!("loss = '10%'\necn = {ecn}"), Direction::Up, 4);
        let mut struck = Vec::new();
        for n in 0..1000 {
            let at = SECOND + u64::from(n) * MS;
            pipe.offer(bytes(n, 100), at, |entry| struck.push(entry.number()));
            while let Some(released) = pipe.release(at) {
                let entry = pipe.left(released.entry, at);
                if entry.is_congestion_marked() {
                    assert_eq!(released.packet[1] & 3, 3);
                    struck.push(entry.number());
                }
            }
        }
        (struck, pipe.report().marked)
    };
    let (lost, none) = marked(true, packet);
    let (struck, some) = marked(true, capable);
    assert_eq!((lost.clone(), none), (struck.clone(), 0));
    assert_eq!(some, struck.len() as u64);
    assert_eq!(marked(false, capable), (lost, 0));
}

#[test]
fn a_limit_counts_all_that_is_inside() {
    let mut pipe = pipe("delay = '10ms'\nlimit = 5", Direction::Up, 1);
    let run = play(&mut pipe, (0..8).map(|n| (SECOND + n, 100)));
    let overflow: Vec<u64> =
        run.entries.iter().filter(|e| e.cause() == Some(DropCause::Overflow)).map(Entry::number).collect();
    assert_eq!(overflow, [5, 6, 7]);
}

#[test]
fn slots_let_groups_through() {
    let mut pipe = pipe("slot = '5ms packets 3'", Direction::Up, 1);
    let run = play(&mut pipe, (0..9).map(|_| (SECOND, 100)));
    let times: Vec<u64> = run.out.iter().map(|(_, at)| (at - SECOND) / MS).collect();
    assert_eq!(times, [0, 0, 0, 5, 5, 5, 10, 10, 10]);
}

#[test]
fn pauses_between_slots_are_distributed_as_said() {
    let pauses = |rule: &str| -> Vec<f64> {
        let mut pipe = pipe(&format!("slot = '{rule} packets 1'"), Direction::Up, 1);
        let run = play(&mut pipe, (0..4001).map(|_| (SECOND, 100)));
        run.out.windows(2).map(|pair| (pair[1].1 - pair[0].1) as f64 / MS as f64).collect()
    };
    let moments = |sample: &[f64]| {
        let mean = sample.iter().sum::<f64>() / sample.len() as f64;
        (mean, (sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / sample.len() as f64).sqrt())
    };
    // Four standard errors of 4000 draws, and what rounding makes.
    let (mean, deviation) = moments(&pauses("distribution normal 50ms 10ms"));
    assert!((mean - 50.0).abs() < 0.64 && (deviation - 10.0).abs() < 0.46, "{mean} {deviation}");
    let uniform = pauses("distribution uniform 50ms 10ms");
    assert!(uniform.iter().all(|pause| (40.0..60.0).contains(pause)));
    let (mean, deviation) = moments(&uniform);
    assert!((mean - 50.0).abs() < 0.37 && (deviation - 5.774).abs() < 0.2, "{mean} {deviation}");
    // The same numbers as the two ends of it give.
    assert_eq!(uniform, pauses("40ms 60ms"));
    // A table of one's own: one jitter less, none, and one more.
    let own = pauses("distribution inline own -8192 0 8192 5ms 4ms");
    for value in [1.0, 5.0, 9.0] {
        let count = own.iter().filter(|pause| (*pause - value).abs() < 1e-6).count();
        assert!(count.abs_diff(1333) < 120, "{value}: {count} of 4000");
    }
    // Below nothing there is no pause.
    assert!(pauses("distribution inline low -8192 1ms 2ms").iter().all(|pause| *pause == 0.0));
}

#[test]
fn a_trace_begins_with_the_schedule() {
    // An opportunity at 1, 3, 3 and 10 ms of every 10.
    let mut pipe = pipe("rate-trace = 'inline t 1 2x2 7'\nqueue = '100p'", Direction::Up, 1);
    pipe.set_epoch(SECOND);
    let run = play(&mut pipe, (0..8).map(|_| (SECOND, 1500)));
    let times: Vec<u64> = run.out.iter().map(|(_, at)| (at - SECOND) / MS).collect();
    assert_eq!(times, [1, 3, 3, 10, 11, 13, 13, 20]);
}

#[test]
fn conditions_change_at_their_time() {
    let mut pipe = pipe(
        "delay = '10ms'\nrate = '8Mbit'\nqueue = '100p'\nchange = ['3ms: rate 80Mbit, delay 20ms']",
        Direction::Up,
        1,
    );
    pipe.set_epoch(SECOND);
    let mut run = Run::default();
    for n in 0..5 {
        pipe.offer(packet(n, 1000), SECOND, |_| panic!("there is room"));
    }
    release_at_most(&mut pipe, &mut run, SECOND + 4 * MS);
    pipe.offer(packet(5, 1000), SECOND + 4 * MS, |_| panic!("there is room"));
    release_at_most(&mut pipe, &mut run, Nanos::MAX);
    let times: Vec<u64> = run.out.iter().map(|(_, at)| (at - SECOND) / 100_000).collect();
    // Three at 8 Mbit/s, a millisecond each; then a tenth of it. What was inside keeps its delay.
    assert_eq!(times, [110, 120, 130, 131, 132, 241]);
    // A new schedule starts from the start.
    pipe.set_epoch(2 * SECOND);
    pipe.offer(packet(6, 1000), 2 * SECOND, |_| {});
    assert_eq!(pipe.next_release().map(|at| at.min(2 * SECOND + 11 * MS)), Some(2 * SECOND + 3 * MS));
}

#[test]
fn a_ramp_moves_evenly() {
    let text = "rate = '10Mbit'\nqueue = '500p'\nchange = ['1s..3s: rate 30Mbit']";
    let mut pipe = pipe(text, Direction::Up, 1);
    pipe.set_epoch(SECOND);
    let load: Vec<(Nanos, usize)> = (0..12_000).map(|n| (SECOND + n * 333_333, 1500)).collect();
    let run = play_all(&mut pipe, &load);
    let sent = |from: u64, to: u64| {
        let within = |at: &Nanos| (SECOND + from * MS..SECOND + to * MS).contains(at);
        run.out.iter().filter(|(_, at)| within(at)).count() as f64 * 12_000.0 / ((to - from) as f64 / 1e3) / 1e6
    };
    for (from, to, rate) in [(0, 1000, 10.0), (1000, 3000, 20.0), (1900, 2100, 20.0), (3000, 4000, 30.0)] {
        let measured = sent(from, to);
        assert!((measured / rate - 1.0).abs() < 0.01, "{from} to {to} ms: {measured} Mbit/s");
    }
}

#[test]
fn a_gap_lets_its_packets_keep_their_place() {
    let run =
        play(&mut pipe("delay = '9ms'\nreorder = '100% gap 5'", Direction::Up, 1), (0..20).map(|n| (SECOND + n, 99)));
    let ahead: Vec<u64> = run.out.iter().filter(|(_, at)| *at < SECOND + MS).map(|(n, _)| *n).collect();
    assert_eq!(ahead, [4, 9, 14, 19]);
}

#[test]
fn correlated_jitter_repeats_the_delay_before() {
    let run = play(&mut pipe("delay = '400ms'\njitter = '5ms 75%'", Direction::Up, 1), steady(20_000));
    let mut entries = run.entries;
    entries.sort_by_key(Entry::number);
    let stays: Vec<Nanos> = entries.iter().map(|e| e.left().unwrap() - e.arrived()).collect();
    let repeated = stays.windows(2).filter(|pair| pair[0] == pair[1]).count() as f64 / 19_999.0;
    assert!((repeated - 0.75).abs() < 0.02, "{repeated}");
    // And the whole still fills its range.
    let mean = stays.iter().map(|stay| *stay as f64 / 1e6).sum::<f64>() / 20_000.0;
    assert!((mean - 400.0).abs() < 0.3, "{mean}");
}
