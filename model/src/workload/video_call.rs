//! `video-call`: the picture of a call, as [`Frames`].

use super::frames::{Frames, Kind};
use crate::units::{BitRate, ByteCount, Duration};

/// The picture of a call: 30 frames a second, of use for 150 ms (ITU-T G.1010: preferred for a videophone).
pub type VideoCall = Frames<Call>;

/// What makes frames a [`VideoCall`].
#[derive(Debug, Clone, PartialEq)]
pub enum Call {}

impl Kind for Call {
    const NAME: &'static str = "video-call";
    const WHAT: &'static str = "video call";
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
        "warmup",
    ];
    const FPS: u32 = 30;
    const RATE: BitRate = BitRate::new(1_500_000);
    const DEADLINE: Duration = Duration::from_millis(150);
    const INPUT: Option<(ByteCount, u32)> = None;
}
