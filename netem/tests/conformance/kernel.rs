//! The kernel's own netem and the embedded emulator beside each other, in one machine; and the
//! kernel's decisions against the `netem` generator's, draw by draw.

use std::collections::BTreeMap;

use samepath_model::link::LinkSpec;
use samepath_netem::link::netem_generator::{Fate, fates};

use samepath_testing::test;

use crate::scene::{Flood, Scene, backends, play};
use crate::statistics::{critical, distance_between, median};

/// A packet every millisecond: nothing overtakes by accident.
const FLOOD: Flood = Flood { count: 2000, bytes: 100, micros: 1000 };
/// Seeds of which one half, the other, or both have bits in them.
const SEEDS: [u64; 3] = [42, 0xfeed_0000_0000, 0x0123_4567_89ab_cdef];

/// Whether the kernel's netem is there; says so where it is not.
fn there_is_netem(test: &str) -> bool {
    let there = backends().contains(&"netem");
    if !there {
        samepath_testing::skip(test, "the kernel has no netem to compare with; `tests/qemu/run` brings one");
    }
    there
}

#[test]
fn delays_are_distributed_alike() {
    if !there_is_netem(test!()) {
        return;
    }
    for distribution in ["uniform", "normal"] {
        let conditions = format!("delay = '600ms'\njitter = '140ms'\ndistribution = '{distribution}'");
        let of = |backend| play(backend, &conditions, 11, FLOOD).delays();
        let kernel = of("netem");
        for backend in backends().into_iter().filter(|backend| *backend != "netem") {
            let embedded = of(backend);
            let distance = distance_between(&kernel, &embedded);
            // Kolmogorov–Smirnov at 0.1 %, and what five milliseconds of lateness make of such a spread.
            let bound = critical(kernel.len(), embedded.len()) + 5.0 / 280.0;
            println!("{distribution}: {backend} and netem: distance {distance:.4}, bound {bound:.4}");
            assert!(distance < bound, "{distribution}: {backend} and netem: {distance}, bound {bound}");
        }
    }
}

/// What the generator says of the flood's packets under these conditions.
fn foretold(conditions: &str, seed: u64) -> Vec<Fate> {
    let spec: LinkSpec = toml::from_str(conditions).expect("conditions");
    fates(&spec.resolve().expect("a link").up, seed, FLOOD.count as usize)
}

/// Plays the conditions on the kernel with every seed, and holds what came against what was foretold.
fn holds_for_every_seed(test: &str, conditions: &str, holds: impl Fn(&Scene, &[Fate])) {
    if !there_is_netem(test) {
        return;
    }
    let conditions = format!("generator = 'netem'\n{conditions}");
    for seed in SEEDS {
        let scene = play("netem", &conditions, seed, FLOOD);
        holds(&scene, &foretold(&conditions, seed));
        println!("seed {seed:#x}, {}: as foretold", conditions.replace('\n', ", "));
    }
}

/// The numbers of the packets of which this is foretold.
fn which(fates: &[Fate], is: impl Fn(&Fate) -> bool) -> Vec<u64> {
    (0..).zip(fates).filter(|(_, fate)| is(fate)).map(|(number, _)| number).collect()
}

/// Holds two lists of numbers against each other; says where they part.
fn same(what: &str, kernel: &[u64], foretold: &[u64]) {
    assert!(!foretold.is_empty(), "{what}: nothing was foretold");
    let parts = kernel.iter().zip(foretold).position(|(a, b)| a != b).unwrap_or(kernel.len().min(foretold.len()));
    let near = |list: &[u64]| list[parts.min(list.len())..list.len().min(parts + 5)].to_vec();
    assert!(
        kernel == foretold,
        "{what}: {} in the kernel, {} foretold; they part at {parts}: {:?} and {:?}",
        kernel.len(),
        foretold.len(),
        near(kernel),
        near(foretold)
    );
}

#[test]
fn the_kernel_loses_the_packets_that_were_foretold() {
    for loss in ["5%", "gemodel 2% 20%", "gemodel 3% 30% 80% 1%", "state 3% 40% 10% 60% 1%"] {
        holds_for_every_seed(test!(), &format!("loss = '{loss}'"), |scene, fates| {
            same(loss, &scene.lost(), &which(fates, |fate| fate.lost));
        });
    }
}

#[test]
fn the_kernel_duplicates_the_packets_that_were_foretold() {
    holds_for_every_seed(test!(), "duplicate = '10%'\nloss = '5%'", |scene, fates| {
        let copies = |fate: &Fate| 1 + u64::from(fate.copy.as_ref().is_some_and(|copy| !copy.lost));
        same("losses", &scene.lost(), &which(fates, |fate| fate.lost));
        same("copies", &scene.doubled(), &which(fates, |fate| !fate.lost && copies(fate) == 2));
    });
}

#[test]
fn the_kernel_reorders_the_packets_that_were_foretold() {
    holds_for_every_seed(test!(), "delay = '100ms'\nreorder = '10%'\nloss = '2%'", |scene, fates| {
        // A packet that skips the delay overtakes all that wait.
        let mut delays = BTreeMap::new();
        for arrival in &scene.arrivals {
            delays.insert(arrival.number, (arrival.received - arrival.sent) / 1_000_000);
        }
        let early: Vec<u64> = delays.iter().filter(|(_, ms)| **ms < 80).map(|(number, _)| *number).collect();
        same("early", &early, &which(fates, |fate| !fate.lost && fate.delay.is_none()));
        same("losses", &scene.lost(), &which(fates, |fate| fate.lost));
    });
}

#[test]
fn jitter_moves_the_losses_as_foretold() {
    holds_for_every_seed(test!(), "delay = '50ms'\njitter = '40ms'\nloss = '5%'", |scene, fates| {
        same("losses", &scene.lost(), &which(fates, |fate| fate.lost));
    });
}

#[test]
fn slots_leave_the_losses_as_foretold() {
    holds_for_every_seed(test!(), "loss = '5%'\nslot = 'distribution uniform 10ms 2ms'", |scene, fates| {
        same("losses", &scene.lost(), &which(fates, |fate| fate.lost));
    });
}

#[test]
fn pauses_between_slots_are_distributed_alike() {
    if !there_is_netem(test!()) {
        return;
    }
    // One packet a slot, and always one that waits: they leave as far apart as the pauses are long.
    let flood = Flood { count: 120, bytes: 100, micros: 0 };
    let conditions = "slot = 'distribution paretonormal 30ms 12ms packets 1'";
    let of = |backend| {
        let scene = play(backend, conditions, 11, flood);
        let mut left: Vec<i64> = scene.packets.iter().filter_map(|packet| packet.left).collect();
        left.sort_unstable();
        left.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect::<Vec<f64>>()
    };
    let kernel = of("netem");
    println!("netem: median {}", median(&kernel));
    for backend in backends().into_iter().filter(|backend| *backend != "netem") {
        let embedded = of(backend);
        let distance = distance_between(&kernel, &embedded);
        // As of delays, with two milliseconds of lateness.
        let bound = critical(kernel.len(), embedded.len()) + 2.0 / 24.0;
        println!("{backend} and netem: distance {distance:.4}, bound {bound:.4}");
        assert!(distance < bound, "{backend} and netem: {distance}, bound {bound}");
    }
}

#[test]
fn equal_seeds_lose_alike_embedded_and_in_the_kernel() {
    if !there_is_netem(test!()) {
        return;
    }
    let conditions = "generator = 'netem'\ndelay = '5ms'\nloss = 'gemodel 2% 25%'";
    let kernel = play("netem", conditions, 5, FLOOD).lost();
    for backend in backends() {
        same(backend, &play(backend, conditions, 5, FLOOD).lost(), &kernel);
    }
}
