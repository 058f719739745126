//! The kernel's own netem and the embedded emulator beside each other, in one machine.

use crate::scene::{Flood, backends, play};
use crate::statistics::{critical, distance_between};

/// Whether the kernel's netem is there; says so where it is not.
fn there_is_netem() -> bool {
    let there = backends().contains(&"netem");
    if !there {
        println!("skipped: the kernel has no netem to compare with; `tests/qemu/run` brings one");
    }
    there
}

#[test]
fn delays_are_distributed_alike() {
    if !there_is_netem() {
        return;
    }
    let flood = Flood { count: 2000, bytes: 100, micros: 1000 };
    let conditions = "delay = '200ms'\njitter = '150ms'";
    let of = |backend| play(backend, conditions, 11, flood).delays();
    let kernel = of("netem");
    for backend in backends().into_iter().filter(|backend| *backend != "netem") {
        let embedded = of(backend);
        let distance = distance_between(&kernel, &embedded);
        // Kolmogorov–Smirnov at 0.1 %, and what a millisecond of lateness makes of a spread of 300 ms.
        let bound = critical(kernel.len(), embedded.len()) + 0.01;
        println!("{backend} and netem: distance {distance:.4}, bound {bound:.4}");
        assert!(distance < bound, "{backend} and netem: distance {distance}, bound {bound}");
    }
}
