//! The same assertions against every backend that this machine has: what a link's conditions mean
//! does not depend on what carries its packets.
//!
//! A stand-in floods numbered datagrams up the link; what the receiver got is held against theory
//! and against the ledger ([`scene`]). `tests/qemu/run` runs this under a kernel with `sch_netem`,
//! where [`kernel`] holds the kernel's own decisions against the `netem` generator's too.
//! What cannot run here says `skipped` and why. Nothing here asserts how fast a machine is: bounds
//! on times leave room for one that is busy.

mod kernel;
mod scene;
mod statistics;

use std::panic::resume_unwind;
use std::thread;

use samepath_model::record::{DropCause, PacketRecord};

use scene::{Flood, HEADERS, Scene, backends, play};
use statistics::{distance_to, expected, median};

/// Milliseconds by which a busy machine may be late in the median, and these tests still hold.
const LATE: f64 = 15.0;
/// A small packet every millisecond.
const STEADY: Flood = Flood { count: 2000, bytes: 100, micros: 1000 };

/// Plays the same on every backend, and asks the same of each. They wait for most of their time, and so play side by
/// side, unless tests are to run one at a time, as under an emulated processor.
fn on_each(conditions: &str, flood: Flood, holds: impl FnMut(&Scene)) {
    let play = |backend| play(backend, conditions, 7, flood);
    let scenes: Vec<Scene> = if std::env::args().any(|arg| arg == "--test-threads=1") {
        backends().into_iter().map(play).collect()
    } else {
        thread::scope(|scope| {
            let running: Vec<_> = backends().into_iter().map(|backend| scope.spawn(move || play(backend))).collect();
            running.into_iter().map(|scene| scene.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    };
    scenes.iter().for_each(holds);
}

#[test]
fn a_delay_is_kept_and_the_order_with_it() {
    on_each("delay = '25ms'", STEADY, |scene| {
        let times: Vec<f64> = scene.arrivals.iter().map(|a| (a.received - a.sent) as f64 / 1e6).collect();
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(least >= 25.0, "{}: a packet came after {least} ms", scene.backend);
        let middle = median(&times);
        assert!(middle <= 25.0 + LATE, "{}: the median delay is {middle} ms", scene.backend);
        let numbers: Vec<u64> = scene.arrivals.iter().map(|arrival| arrival.number).collect();
        assert!(numbers.iter().copied().eq(0..scene.flood.count), "{}: not in order, or not all", scene.backend);
    });
}

#[test]
fn jitter_is_uniform_about_the_delay_and_reorders() {
    // A spread of 400 ms, against which no lateness counts.
    on_each("delay = '200ms'\njitter = '200ms'", STEADY, |scene| {
        let delays = scene.delays();
        assert_eq!(delays.len(), 2000);
        let distance = distance_to(&delays, |x| (x / 400.0).clamp(0.0, 1.0));
        let bound = 1.95 / (delays.len() as f64).sqrt() + LATE / 400.0;
        assert!(distance < bound, "{}: {distance} from uniform (bound {bound})", scene.backend);
        let overtaken = scene.arrivals.windows(2).filter(|pair| pair[0].number > pair[1].number).count();
        assert!(overtaken > 500, "{}: {overtaken} packets were overtaken", scene.backend);
    });
}

#[test]
fn jitter_may_keep_the_order() {
    on_each("delay = '200ms'\njitter = '200ms'\nkeep-order = true", STEADY, |scene| {
        let numbers: Vec<u64> = scene.arrivals.iter().map(|arrival| arrival.number).collect();
        assert!(numbers.iter().copied().eq(0..scene.flood.count), "{}: not in order, or not all", scene.backend);
        // Whoever is given a short delay waits for those before: the mean is near the largest, and no more than it.
        let delays = scene.delays();
        let (least, most) = delays.iter().fold((f64::INFINITY, 0f64), |(a, b), d| (a.min(*d), b.max(*d)));
        assert!(most - least > 20.0, "{}: {least} to {most} ms", scene.backend);
        assert!(median(&delays) <= 400.0 + LATE, "{}: {} ms", scene.backend, median(&delays));
    });
}

#[test]
fn what_a_filter_does_not_match_meets_nothing() {
    let conditions = "filter = 'tcp or greater 2000'\nloss = '100%'\nloss-key = 'index'\ndelay = '1s'\nrate = '1kbit'";
    for backend in backends().into_iter().filter(|backend| *backend != "netem") {
        let scene = play(backend, conditions, 7, STEADY);
        assert_eq!(scene.lost(), Vec::<u64>::new(), "{backend}");
        assert!(scene.packets.iter().all(|packet| packet.bypassed && packet.queued == 0), "{backend}");
        assert!(median(&scene.delays()) < LATE, "{backend}: {} ms", median(&scene.delays()));
    }
}

#[test]
fn random_loss_is_as_frequent_as_said_and_independent() {
    on_each("loss = '10%'\nloss-key = 'index'", STEADY, |scene| {
        let lost = scene.lost();
        let range = expected(2000, 0.1, 1.0);
        assert!(range.contains(&(lost.len() as f64)), "{}: {} of 2000 lost", scene.backend, lost.len());
        let pairs = lost.windows(2).filter(|pair| pair[0] + 1 == pair[1]).count();
        let range = expected(1999, 0.01, 1.3);
        assert!(range.contains(&(pairs as f64)), "{}: {pairs} losses follow a loss", scene.backend);
        assert!(scene.packets.iter().all(|p| p.dropped.is_none_or(|cause| cause == DropCause::Loss)));
    });
}

#[test]
fn bursts_of_loss_have_the_length_said() {
    on_each("loss = 'burst 10% 4'\nloss-key = 'index'", Flood { count: 6000, micros: 500, ..STEADY }, |scene| {
        let lost = scene.lost();
        // The state's memory r = 1 - p - r makes the count's variance (1 + r) / (1 - r) times as large.
        let memory: f64 = 1.0 - 0.25 - 0.25 / 9.0;
        let range = expected(6000, 0.1, (1.0 + memory) / (1.0 - memory));
        assert!(range.contains(&(lost.len() as f64)), "{}: {} of 6000 lost", scene.backend, lost.len());
        let bursts = 1 + lost.windows(2).filter(|pair| pair[0] + 1 < pair[1]).count();
        let length = lost.len() as f64 / bursts as f64;
        // Geometric with mean 4: the mean of `bursts` of them.
        let spread = 4.0 * (12.0 / bursts as f64).sqrt();
        assert!((length - 4.0).abs() < spread, "{}: bursts of {length} (±{spread})", scene.backend);
    });
}

#[test]
fn duplicates_come_twice_and_none_is_lost() {
    on_each("delay = '5ms'\nduplicate = '20%'", STEADY, |scene| {
        assert_eq!(scene.lost(), Vec::<u64>::new(), "{}", scene.backend);
        let doubled = scene.doubled().len() as f64;
        assert!(expected(2000, 0.2, 1.0).contains(&doubled), "{}: {doubled} of 2000 came twice", scene.backend);
    });
}

#[test]
fn a_share_of_packets_skips_the_delay() {
    on_each("delay = '100ms'\nreorder = '25%'", STEADY, |scene| {
        let early = scene.delays().iter().filter(|&&delay| delay < 50.0).count() as f64;
        assert!(expected(2000, 0.25, 1.0).contains(&early), "{}: {early} of 2000 skipped it", scene.backend);
        assert_eq!(scene.lost(), Vec::<u64>::new(), "{}", scene.backend);
    });
}

#[test]
fn a_flipped_bit_is_told_and_detected() {
    on_each("delay = '5ms'\ncorrupt = '30%'", Flood { bytes: 1000, ..STEADY }, |scene| {
        let told = scene.packets.iter().filter(|packet| packet.corrupted).count() as f64;
        // A bit that the kernel flips in the Ethernet header is none of the packet's: 14 of 1042 bytes.
        let range = expected(2000, 0.3, 1.0);
        assert!((range.start() * 0.97..=*range.end()).contains(&told), "{}: {told} of 2000", scene.backend);
        assert!(scene.arrivals.iter().all(|arrival| arrival.whole), "checksums tell a flipped bit");
        let missing = scene.lost().len() as f64;
        assert!((missing - told).abs() <= 30.0, "{}: {told} were hit, {missing} did not come", scene.backend);
    });
}

#[test]
fn a_rate_is_kept() {
    // All at once, and room for all: they leave at the rate.
    let burst = Flood { count: 300, bytes: 1000, micros: 0 };
    for queue in ["1000p", "1MB"] {
        on_each(&format!("delay = '10ms'\nrate = '2Mbit'\nqueue = '{queue}'"), burst, |scene| {
            assert_eq!(scene.lost(), Vec::<u64>::new(), "{} {queue}", scene.backend);
            let left: Vec<i64> = scene.packets.iter().filter_map(|packet| packet.left).collect();
            let seconds = (left.iter().max().unwrap() - left.iter().min().unwrap()) as f64 / 1e9;
            let whole = 299.0 * ((1000 + HEADERS) * 8) as f64 / 2e6;
            // Two per cent, and what the first or the last may be late.
            let off = (seconds - whole).abs();
            assert!(off < 0.02 * whole + 2.0 * LATE / 1e3, "{} {queue}: {seconds} s of {whole}", scene.backend);
            // The last has waited for all: its delay is the queue's.
            let last = *scene.delays().last().unwrap();
            let whole = 10.0 + 300.0 * ((1000 + HEADERS) * 8) as f64 / 2e6 * 1e3;
            assert!(last <= whole + LATE, "{} {queue}: {last} ms of {whole}", scene.backend);
            assert!(scene.packets.windows(2).all(|pair| pair[0].left <= pair[1].left), "in order");
        });
    }
}

#[test]
fn a_full_buffer_excludes_the_delay_line() {
    // 1028 bytes take 41 ms at 200 kbit/s. The delay line could hold many more than the buffer.
    let flood = Flood { count: 100, bytes: 1000, micros: 0 };
    for queue in ["20p".to_owned(), format!("{}B", 20 * (1000 + HEADERS))] {
        let conditions = format!("delay = '300ms'\nrate = '200kbit'\nqueue = '{queue}'");
        on_each(&conditions, flood, |scene| {
            let kept = 100 - scene.lost().len();
            let took = scene.packets.last().unwrap().arrived - scene.packets[0].arrived;
            let meanwhile = took as f64 / 1e6 / 41.12;
            assert!((kept as f64 - 20.0).abs() <= 1.0 + meanwhile, "{} {queue}: {kept} were kept", scene.backend);
            let causes = scene.packets.iter().filter_map(|packet| packet.dropped);
            assert!(causes.into_iter().all(|cause| cause == DropCause::Overflow), "{} {queue}", scene.backend);
        });
    }
}

/// Half as much again as the link carries: 528 bytes take 2.1 ms.
const TOO_MUCH: Flood = Flood { count: 1000, bytes: 500, micros: 1400 };

#[test]
fn an_aqm_drops_once_packets_wait_too_long() {
    let mut dropped = Vec::new();
    on_each("delay = '10ms'\nrate = '2Mbit'\nqueue = '1000p'\naqm = 'codel 30ms 100ms'", TOO_MUCH, |scene| {
        let causes: Vec<_> = scene.packets.iter().filter_map(|packet| packet.dropped).collect();
        assert!(causes.iter().all(|cause| *cause == DropCause::Aqm), "{}: {causes:?}", scene.backend);
        // The wait grows by half a millisecond in one, so it is 60 ms until the target is exceeded.
        let first = scene.packets.iter().position(|packet| packet.dropped.is_some()).expect("it drops");
        let earliest = (scene.packets[first].arrived - scene.packets[0].arrived) as f64 / 1e6;
        assert!(earliest > 60.0, "{}: it dropped what came after {earliest} ms", scene.backend);
        println!("{}: {} dropped, the first after {earliest:.0} ms", scene.backend, causes.len());
        dropped.push((scene.backend, causes.len() as f64));
    });
    // Ever more often, by the same law: the count is that of the time since the first.
    let Some(&(reference, count)) = dropped.first() else { return };
    for (backend, drops) in &dropped {
        assert!((drops / count - 1.0).abs() < 0.4, "{backend} drops {drops}, {reference} {count}");
    }
}

#[test]
fn a_threshold_marks_what_has_waited_longer() {
    // 8 kB are 32 ms of waiting, to which a packet's own transmission adds 2. All come at once.
    let flood = Flood { count: 100, bytes: 500, micros: 0 };
    on_each("rate = '2Mbit'\nqueue = '1000p'\naqm = 'threshold 8kB'", flood, |scene| {
        assert_eq!(scene.lost(), Vec::<u64>::new(), "{}", scene.backend);
        let waited = |packet: &PacketRecord| packet.queued as f64 / 1e6;
        let (marked, unmarked): (Vec<_>, Vec<_>) = scene.packets.iter().partition(|packet| packet.congestion_marked);
        let soonest = marked.into_iter().map(waited).fold(f64::INFINITY, f64::min);
        let longest = unmarked.into_iter().map(waited).fold(0.0, f64::max);
        println!("{}: marks from {soonest} ms on, and no more from {longest} ms on", scene.backend);
        assert!(soonest >= 34.0 - LATE && longest <= 34.0 + LATE, "{}: {soonest} ms, {longest} ms", scene.backend);
    });
}

#[test]
fn loss_before_a_buffer_is_told_from_its_overflow() {
    // All at once: a tenth is lost, and of the rest most finds the buffer full.
    let flood = Flood { count: 300, bytes: 1000, micros: 0 };
    on_each("rate = '500kbit'\nqueue = '20560B'\nloss = '10%'\nloss-key = 'index'", flood, |scene| {
        let count = |cause| scene.packets.iter().filter(|packet| packet.dropped == Some(cause)).count() as f64;
        let (lost, overflowed) = (count(DropCause::Loss), count(DropCause::Overflow));
        assert!(overflowed > 150.0, "{}: {overflowed} found the buffer full, {lost} lost", scene.backend);
        // Seen from outside, a loss while the buffer is full looks like one more that found it full.
        let range = expected(300, 0.1, 1.0);
        let least = if scene.backend == "netem" { 0.0 } else { *range.start() };
        assert!((least..=*range.end()).contains(&lost), "{}: {lost} of 300 lost", scene.backend);
    });
}

#[test]
fn one_seed_loses_the_same_packets_again() {
    for backend in backends() {
        let lost = |seed| play(backend, "loss = '10%'\nloss-key = 'index'", seed, STEADY).lost();
        let (first, again) = (lost(3), lost(3));
        let differ = first.iter().zip(&again).position(|(a, b)| a != b);
        assert!(first == again, "{backend}: other packets were lost, from loss {differ:?} on");
        assert!(first != lost(4), "{backend}: the seed makes no difference");
    }
}
