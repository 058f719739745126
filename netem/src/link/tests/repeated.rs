//! What comes again and again: outages, changes, scripted drops; and a rate of nothing.

use super::*;

const MS: Nanos = 1_000_000;

/// As `release_until`, where there may be something to do that releases nothing.
fn release_all(pipe: &mut Pipe<Vec<u8>>, run: &mut Run, until: Nanos) {
    while let Some(due) = pipe.next_release().filter(|due| *due <= until) {
        if let Some(released) = pipe.release(due) {
            run.out.push((released.entry.number(), released.due));
            run.entries.push(pipe.left(released.entry, released.due));
        }
    }
}

/// The milliseconds since the epoch of the packets, one a millisecond, that were dropped.
fn dropped(conditions: &str, millis: u64) -> Vec<u64> {
    let mut pipe = pipe(conditions, Direction::Up, 1);
    pipe.set_epoch(SECOND);
    let mut dropped = Vec::new();
    for at in 0..millis {
        pipe.offer(packet(0, 200), SECOND + at * MS, |_| dropped.push(at));
        while pipe.release(SECOND + at * MS).is_some() {}
    }
    dropped
}

#[test]
fn outages_come_again() {
    let expected: Vec<u64> = (0..60).filter(|at| *at >= 5 && (at - 5) % 20 < 2).collect();
    assert_eq!(dropped("outage = ['5ms..7ms every 20ms']", 60), expected);
    // The profile's, over ten minutes: 75 of every 15,000 milliseconds, from the fifteenth second on.
    let satellite = dropped("profile = 'low-orbit-satellite'\nloss = '0%'", 600_000);
    assert_eq!(satellite.len(), 39 * 75);
    assert!(satellite.iter().all(|at| *at >= 15_000 && at % 15_000 < 75));
}

#[test]
fn drops_come_again() {
    for (rule, expected) in [
        ("packet every 10", vec![9, 19, 29, 39]),
        ("data 5.. every 10", vec![4, 14, 24, 34]),
        ("data 5..25 every 10", vec![4, 14]),
        ("packet 3..6", vec![2, 3, 4]),
        ("time 3ms every 15ms", vec![3, 18, 33]),
        ("time 3ms..5ms every 15ms", vec![3, 4, 18, 19, 33, 34]),
    ] {
        assert_eq!(dropped(&format!("[up]\ndrop = ['{rule}']"), 40), expected, "{rule}");
    }
    // A list says the same as a rule.
    let list: Vec<String> = (1..=20).map(|n| format!("'data {}'", n * 7)).collect();
    let listed = dropped(&format!("[up]\ndrop = [{}]", list.join(", ")), 140);
    assert_eq!(dropped("[up]\ndrop = ['data every 7']", 140), listed);
}

#[test]
fn an_idle_instant_costs_the_next_packet_alone() {
    let mut pipe = pipe("[up]\ndrop = ['time 1ms every 10ms']", Direction::Up, 1);
    pipe.set_epoch(SECOND);
    let mut struck = |at: u64| {
        let mut struck = false;
        pipe.offer(packet(0, 200), SECOND + at * MS, |_| struck = true);
        struck
    };
    // Those of 1, 11, 21 and 31 ms are one packet's, that of 41 ms the next one's.
    assert_eq!([struck(35), struck(36), struck(41), struck(42)], [true, false, true, false]);
}

#[test]
fn changes_come_again() {
    let text = "delay = '1ms'\nchange = ['10ms every 20ms: delay 5ms', '20ms every 20ms: delay 2ms']";
    let mut pipe = pipe(text, Direction::Up, 1);
    pipe.set_epoch(SECOND);
    let mut stays = Vec::new();
    for at in [0, 9, 10, 19, 20, 29, 30, 35, 45, 55, 10_015, 10_025] {
        let now = SECOND + at * MS;
        pipe.offer(packet(0, 200), now, |_| panic!("nothing is dropped"));
        let mut run = Run::default();
        release_all(&mut pipe, &mut run, now + 8 * MS);
        stays.push((run.out[0].1 - now) / MS);
    }
    assert_eq!(stays, [1, 1, 5, 5, 2, 2, 5, 5, 2, 5, 5, 2]);
}

/// A rate of 1000 bytes a millisecond that stops from 3.5 ms to 10 ms.
const STOP: &str = "rate = '8Mbit'\nqueue = '6p'\nchange = ['3500us: rate 0', '10ms: rate 8Mbit']";

#[test]
fn nothing_passes_at_a_rate_of_zero() {
    let mut pipe = pipe(STOP, Direction::Up, 1);
    pipe.set_epoch(SECOND);
    let mut run = Run::default();
    for n in 0..5 {
        pipe.offer(packet(n, 1000), SECOND, |_| panic!("there is room"));
    }
    release_all(&mut pipe, &mut run, SECOND + 5 * MS);
    // Two are inside, the first of them half transmitted; four more find room, and the next does not.
    let mut overflow = Vec::new();
    for n in 5..11 {
        pipe.offer(packet(n, 1000), SECOND + 5 * MS, |entry| overflow.push(entry));
    }
    let told: Vec<_> = overflow.iter().map(|entry| (entry.number(), entry.cause(), entry.queued() / MS)).collect();
    // The wait it would have had: until the rate is back, and for seven packets then.
    assert_eq!(told, [(9, Some(DropCause::Overflow), 12), (10, Some(DropCause::Overflow), 12)]);
    release_all(&mut pipe, &mut run, SECOND + 9 * MS);
    assert_eq!(run.out.len(), 3, "nothing passes");
    release_all(&mut pipe, &mut run, SECOND + 100 * MS);
    let times: Vec<u64> = run.out.iter().map(|(_, at)| (at - SECOND) / 100_000).collect();
    assert_eq!(times, [10, 20, 30, 105, 115, 125, 135, 145, 155]);
    let report = pipe.report();
    assert_eq!((report.delivered_packets, report.dropped["overflow"], pipe.in_flight()), (9, 2, 0));
}

#[test]
fn a_repeated_stop_keeps_the_aqm_rule() {
    for aqm in ["none", "codel 50ms 200ms"] {
        let text = format!(
            "rate = '8Mbit'\nqueue = '500p'\naqm = '{aqm}'\nchange = ['10ms every 20ms: rate 0', '20ms every 20ms: rate 8Mbit']"
        );
        let mut pipe = pipe(&text, Direction::Up, 1);
        pipe.set_epoch(SECOND);
        let mut run = Run::default();
        // A packet of half a millisecond, each millisecond.
        for at in 0..200 {
            release_all(&mut pipe, &mut run, SECOND + at * MS);
            pipe.offer(packet(at as u32, 500), SECOND + at * MS, |_| panic!("nothing is dropped"));
        }
        release_all(&mut pipe, &mut run, SECOND + 500 * MS);
        assert_eq!(run.out.len(), 200, "{aqm}");
        let stopped = |at: Nanos| at > SECOND + 10 * MS && (at - SECOND - 10 * MS) % (20 * MS) < 10 * MS;
        assert!(run.out.iter().all(|(_, at)| !stopped(*at - 1)), "{aqm}: {:?}", run.out);
        assert!(run.out.windows(2).all(|pair| pair[0].0 < pair[1].0), "{aqm}");
    }
}

#[test]
fn an_endless_stop_ends_with_the_link() {
    let text = "rate = '8Mbit'\nqueue = '6p'\nchange = ['1ms: rate 0']";
    let mut stopped = pipe(text, Direction::Up, 1);
    stopped.set_epoch(SECOND);
    stopped.offer(packet(0, 1000), SECOND + 2 * MS, |_| panic!("there is room"));
    assert!(stopped.release(SECOND + 1_000 * SECOND).is_none());
    let left: Vec<Entry> = stopped.drain().map(|(_, entry)| entry).collect();
    assert_eq!((left[0].cause(), left[0].queued()), (Some(DropCause::LinkDown), 1_000 * SECOND - 2 * MS));

    let mut adjusted = pipe(text, Direction::Up, 1);
    adjusted.set_epoch(SECOND);
    adjusted.offer(packet(0, 1000), SECOND + 2 * MS, |_| panic!("there is room"));
    adjusted.set_conditions(&link("rate = '80Mbit'\nqueue = '6p'"), SECOND + 9 * MS);
    let mut run = Run::default();
    release_all(&mut adjusted, &mut run, Nanos::MAX);
    assert_eq!(run.out, [(0, SECOND + 9 * MS + MS / 10)]);
}

#[test]
fn a_ramp_goes_down_to_nothing_and_up_again() {
    let text = "rate = '10Mbit'\nqueue = '5000p'\nchange = ['0s..1s every 2s: rate 0', '1s..2s every 2s: rate 10Mbit']";
    let mut pipe = pipe(text, Direction::Up, 1);
    pipe.set_epoch(SECOND);
    let mut run = Run::default();
    for at in 0..4000 {
        release_all(&mut pipe, &mut run, SECOND + at * MS);
        pipe.offer(packet(at as u32, 1250), SECOND + at * MS, |_| panic!("nothing is dropped"));
    }
    let sent = |from: u64, to: u64| {
        run.out.iter().filter(|(_, at)| (SECOND + from * MS..SECOND + to * MS).contains(at)).count() as f64
    };
    // Of a thousand packets a second at the full rate half pass in each, and less and less in the first.
    for second in 0..4 {
        assert!((sent(second * 1000, second * 1000 + 1000) - 500.0).abs() < 8.0, "{second}");
    }
    assert!(sent(0, 100) > 90.0 && sent(900, 1100) < 12.0 && sent(3900, 4000) > 90.0);
}

proptest! {
    /// Whatever comes again, everything that was offered has one end.
    #[test]
    fn conservation_over_stops_and_repeated_changes(
        packets in any_packets(), seed: u64, period in 4u64..40, queue in prop_oneof![Just("4p"), Just("9kB"), Just("3ms")],
        more in prop_oneof![Just(""), Just("aqm = 'codel 1ms 5ms'\n"), Just("jitter = '1ms'\n"), Just("duplicate = '20%'\n")],
    ) {
        let text = format!(
            "delay = '2ms'\nrate = '4Mbit'\nqueue = '{queue}'\n{more}outage = ['1ms..2ms every {}ms']\n\
             change = ['1ms every {period}ms: rate 0', '3ms every {period}ms: rate 9Mbit, delay 1ms', \
             '2ms..3ms every {}ms: rate 2Mbit']", period + 3, period + 1,
        );
        let mut pipe = pipe(&text, Direction::Down, seed);
        pipe.set_epoch(packets[0].0);
        let mut run = Run::default();
        for (n, (at, size)) in packets.iter().enumerate() {
            release_all(&mut pipe, &mut run, *at);
            pipe.offer(packet(n as u32, *size), *at, |entry| run.entries.push(entry));
            let report = pipe.report();
            let dropped: u64 = report.dropped.values().sum();
            prop_assert_eq!(report.packets + report.duplicated, report.delivered_packets + dropped + pipe.in_flight());
        }
        release_all(&mut pipe, &mut run, packets.last().unwrap().0 + 10 * SECOND);
        prop_assert_eq!(pipe.in_flight(), 0, "the rate is never gone for long");
        run.entries.extend(pipe.drain().map(|(_, entry)| entry));
        let report = pipe.report();
        prop_assert_eq!(run.entries.len() as u64, report.packets + report.duplicated);
    }
}
