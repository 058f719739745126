//! Draws that begin with the schedule: until then nothing is drawn, and from then on nothing remembers what was before.

use super::complete::{any_further, release_at_most};
use super::{
    Direction, DropCause, Entry, Nanos, Onset, Pipe, Run, SECOND, any_conditions, any_packets, link, packet, pipe,
};
use proptest::prelude::*;

/// Each a time and a size.
type Packets = Vec<(Nanos, usize)>;

/// Packets before the schedule, and a second after the last of them, so that nothing of it is left, those of it.
fn before_and_after() -> impl Strategy<Value = (Packets, Nanos, Packets)> {
    (any_packets(), any_packets()).prop_map(|(before, after)| {
        let epoch = before.last().map_or(0, |last| last.0) + SECOND;
        let first = after[0].0;
        let after = after.into_iter().map(|(at, size)| (at - first + epoch, size)).collect();
        (before, epoch, after)
    })
}

fn waiting(conditions: &str, seed: u64) -> Pipe<Vec<u8>> {
    Pipe::with_onset(&link(conditions), Direction::Down, seed, Onset::WithSchedule)
}

/// Plays packets to the end.
fn play(pipe: &mut Pipe<Vec<u8>>, packets: impl IntoIterator<Item = (Nanos, usize)>) -> Run {
    let mut run = offer(pipe, packets);
    release_at_most(pipe, &mut run, Nanos::MAX);
    run
}

fn offer(pipe: &mut Pipe<Vec<u8>>, packets: impl IntoIterator<Item = (Nanos, usize)>) -> Run {
    let mut run = Run::default();
    for (n, (at, size)) in packets.into_iter().enumerate() {
        release_at_most(pipe, &mut run, at);
        pipe.offer(packet(n as u32, size), at, |entry| run.entries.push(entry));
    }
    run
}

/// What became of the packets from the `first` on, counted from it.
fn from(run: &Run, first: u64) -> Vec<(u64, Option<DropCause>, bool, bool)> {
    let of = |entry: &Entry| (entry.number() - first, entry.cause(), entry.is_duplicate(), entry.is_corrupted());
    let mut fates: Vec<_> = run.entries.iter().filter(|entry| entry.number() >= first).map(of).collect();
    fates.sort_unstable();
    fates
}

proptest! {
    #[test]
    fn until_the_schedule_starts_nothing_is_drawn(
        conditions in prop_oneof![any_conditions(), any_further()],
        packets in any_packets(),
        seed: u64,
    ) {
        let mut waiting = waiting(&conditions, seed);
        waiting.set_epoch(packets.last().map_or(0, |last| last.0) + 1);
        let mut bare = Pipe::new(&link(&conditions).without_draws(), Direction::Down, 0);
        bare.set_epoch(packets.last().map_or(0, |last| last.0) + 1);
        prop_assert_eq!(offer(&mut waiting, packets.clone()), offer(&mut bare, packets));
    }

    #[test]
    fn a_schedule_meets_the_same_whatever_came_before_it(
        conditions in prop_oneof![any_conditions(), any_further()],
        (before, epoch, after) in before_and_after(),
        seed: u64,
    ) {
        // A trace of the rate is no draw: the opportunity that a packet has begun to use stays used.
        prop_assume!(!conditions.contains("rate-trace"));
        let mut alone = pipe(&conditions, Direction::Down, seed);
        alone.set_epoch(epoch);
        let expected = play(&mut alone, after.iter().copied());
        let mut waiting = waiting(&conditions, seed);
        let mut found = offer(&mut waiting, before.iter().copied());
        waiting.set_epoch(epoch);
        let of_schedule = play(&mut waiting, after.iter().copied());
        found.entries.extend(of_schedule.entries);
        found.out.extend(of_schedule.out);
        let first = before.len() as u64;
        prop_assert_eq!(from(&found, first), from(&expected, 0));
        let times = |run: &Run, first: u64| -> Vec<(u64, Nanos)> {
            run.out.iter().filter(|(number, _)| *number >= first).map(|&(n, at)| (n - first, at)).collect()
        };
        prop_assert_eq!(times(&found, first), times(&expected, 0));
    }
}

#[test]
fn drops_that_are_scripted_keep_their_meaning() {
    let conditions = "delay = '5ms'\nloss = '100%'\noutage = ['0ms..5ms']\ndown = { drop = ['packet 1', 'packet 2'] }";
    let mut pipe = waiting(conditions, 1);
    pipe.set_epoch(SECOND);
    let times = [1, 2, 3, 4, SECOND, SECOND + 6_000_000];
    let run = play(&mut pipe, times.map(|at| (at, 100)));
    let script = Some(DropCause::Script);
    assert_eq!(run.fates(), [script, script, None, None, Some(DropCause::Outage), Some(DropCause::Loss)]);
}
