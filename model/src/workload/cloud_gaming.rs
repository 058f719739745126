//! `cloud-gaming`: the picture of a game that runs elsewhere, as [`Frames`], and the player's input the other way.

use super::frames::{Frames, Kind};
use crate::units::{BitRate, ByteCount, Duration};

/// The picture of a game: 60 frames a second at 15 Mbit/s (720p), of use for 50 ms, and input at 125 Hz.
pub type CloudGaming = Frames<Game>;

/// What makes frames a [`CloudGaming`].
#[derive(Debug, Clone, PartialEq)]
pub enum Game {}

impl Kind for Game {
    const NAME: &'static str = "cloud-gaming";
    const WHAT: &'static str = "cloud game";
    const AXES: &'static [&'static str] = &[
        "direction",
        "duration",
        "fps",
        "rate",
        "spread",
        "key",
        "deadline",
        "give-up",
        "repair",
        "parity",
        "packet",
        "ask-again",
        "input",
        "input-per-second",
        "warmup",
    ];
    const FPS: u32 = 60;
    const RATE: BitRate = BitRate::new(15_000_000);
    const DEADLINE: Duration = Duration::from_millis(50);
    const INPUT: Option<(ByteCount, u32)> = Some((ByteCount::new(80), 125));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::simulation::{Network, both_ends, properties};
    use super::super::{Key, Repair, Workload};
    use super::*;
    use crate::link::Direction;

    properties!((50u64..400, 0usize..3, any::<bool>(), any::<bool>(), 1u32..300).prop_map(
        |(duration, repair, give_up, by_the_clock, input)| {
            let key = if by_the_clock { Key::Every(Duration::from_millis(100)) } else { Key::OnLoss };
            Workload::CloudGaming(CloudGaming {
                duration: Duration::from_millis(duration),
                rate: BitRate::new(2_000_000),
                repair: [Repair::None, Repair::Resend, Repair::Fec][repair],
                key,
                give_up,
                input_per_second: Some(input),
                ..CloudGaming::default()
            })
        }
    ));

    #[test]
    fn input_goes_against_the_frames() {
        let game = CloudGaming { duration: Duration::from_secs(2), ..CloudGaming::default() };
        let layout = game.layout(1);
        let packets: u32 = (1..120).map(|n| layout.cut(n, false).data).sum();
        // 31 kB in packets of 1,194 bytes are 27, and as many in the mean.
        assert!((26.0..28.0).contains(&(f64::from(packets) / 119.0)), "{packets}");
        let played = both_ends(&Workload::CloudGaming(game), 1, Network::default());
        let input: Vec<_> =
            played.released.iter().filter(|(_, release)| release.id.direction == Direction::Up).collect();
        assert_eq!(input.len(), 250, "and nothing is asked for");
        assert!(input.iter().enumerate().all(|(n, (now, release))| {
            let at = Duration::from_millis(8 * n as u64);
            (release.id.stream, *now, release.at, release.length.bytes()) == (1, at, at, Some(ByteCount::new(80)))
        }));
    }

    #[test]
    fn a_game_needs_its_input() {
        let game: CloudGaming = toml::from_str("input = '0B'").unwrap();
        let said = Workload::CloudGaming(game).check().unwrap_err().to_string();
        assert!(said.contains("`input` must lie between"), "{said}");
    }
}
