//! Servers farther away than others: their packets take longer, in order, and nobody else's do.

use super::*;
use crate::link::Farther;

const MILLI: Nanos = 1_000_000;
const FAR: u16 = 4436;

/// A UDP packet of the client to this port of the server, or back.
fn of_server(port: u16, direction: Direction) -> Vec<u8> {
    let mut bytes = packet(0, 100);
    bytes[2..4].copy_from_slice(&100u16.to_be_bytes());
    let (source, destination) = if direction == Direction::Up { (40_000, port) } else { (port, 40_000) };
    bytes[20..22].copy_from_slice(&u16::to_be_bytes(source));
    bytes[22..24].copy_from_slice(&u16::to_be_bytes(destination));
    bytes
}

/// Packets of these ports, a millisecond apart, and when each leaves.
fn leave(pipe: &mut Pipe<Vec<u8>>, direction: Direction, ports: &[u16]) -> Vec<(u64, Nanos)> {
    let mut out = Vec::new();
    let mut release = |pipe: &mut Pipe<Vec<u8>>, until| {
        // Conditions may change where nothing is due.
        while let Some(at) = pipe.next_release().filter(|at| *at <= until) {
            while let Some(released) = pipe.release(at) {
                out.push((released.entry.number(), released.due));
                pipe.left(released.entry, at);
            }
        }
    };
    for (at, &port) in (0..).step_by(MILLI as usize).zip(ports) {
        release(pipe, at);
        pipe.offer(of_server(port, direction), at, |entry| panic!("{entry:?} was dropped"));
    }
    release(pipe, Nanos::MAX);
    out
}

fn with_far(conditions: &str, direction: Direction) -> Pipe<Vec<u8>> {
    let far = Farther { ports: FAR..FAR + 3, delay: 30 * MILLI };
    pipe(conditions, direction, 1).with_farther(&[far])
}

#[test]
fn a_farther_server_has_its_own_delay_both_ways() {
    for direction in Direction::BOTH {
        let mut pipe = with_far("rtt = '20ms'", direction);
        let out = leave(&mut pipe, direction, &[FAR, 4433, FAR + 2, FAR + 3]);
        assert_eq!(out, [(1, 11 * MILLI), (3, 13 * MILLI), (0, 40 * MILLI), (2, 42 * MILLI)], "{direction}");
    }
}

#[test]
fn packets_of_one_server_keep_their_order() {
    let mut pipe = with_far("rtt = '20ms'\nchange = ['2ms: delay 1ms']", Direction::Up);
    pipe.set_epoch(0);
    let out = leave(&mut pipe, Direction::Up, &[FAR, 4433, FAR, 4433]);
    // As without far servers, what would overtake leaves with the last before it.
    assert_eq!(out, [(1, 11 * MILLI), (3, 11 * MILLI), (0, 40 * MILLI), (2, 40 * MILLI)]);
}

#[test]
fn jitter_may_change_the_order_of_one_servers_packets() {
    let mut pipe = with_far("rtt = '20ms'\njitter = '10ms'\nkeep-order = false", Direction::Up);
    let out = leave(&mut pipe, Direction::Up, &[FAR; 100]);
    assert!(
        !out.is_sorted() && out.iter().all(|(number, due)| (30 * MILLI..=50 * MILLI).contains(&(due - number * MILLI)))
    );
}

#[test]
fn the_kernels_order_keeps_the_far_delay() {
    let mut pipe = with_far("rtt = '20ms'\ngenerator = 'netem'\nloss-key = 'index'", Direction::Up);
    assert_eq!(leave(&mut pipe, Direction::Up, &[FAR, 4433]), [(1, 11 * MILLI), (0, 40 * MILLI)]);
}
