//! Frames in virtual time: whole as their packets are, repaired, asked for, given up.

use proptest::prelude::*;

use super::super::message::Release;
use super::super::simulation::{Network, Played, both_ends, properties};
use super::super::{VideoCall, Workload};
use super::*;
use crate::frames::Pictures;
use crate::record::MessageRecord;

fn calls() -> impl Strategy<Value = Workload> {
    let key = prop_oneof![Just(Key::OnLoss), (100u64..900).prop_map(|ms| Key::Every(Duration::from_millis(ms)))];
    let repair = prop_oneof![Just(Repair::None), Just(Repair::Resend), Just(Repair::Fec)];
    let times = (50u64..1500, 5u64..400, 5u64..300);
    (any::<bool>(), 10u32..120, times, key, repair, any::<bool>(), any::<bool>()).prop_map(
        |(up, fps, (duration, deadline, ask_again), key, repair, give_up, cut)| {
            let (repair, packet) = if cut { (repair, Some(ByteCount::new(1194))) } else { (Repair::None, None) };
            Workload::VideoCall(VideoCall {
                direction: Direction::BOTH[usize::from(!up)],
                fps,
                duration: Duration::from_millis(duration.max(100)),
                deadline: Duration::from_millis(deadline),
                ask_again: Some(Duration::from_millis(ask_again)),
                key,
                repair,
                give_up,
                packet,
                ..VideoCall::default()
            })
        },
    )
}

properties!(calls());

/// What a session would have recorded.
fn records(played: &Played) -> Vec<MessageRecord> {
    let record = |(_, release): &(Duration, Release)| {
        let delivered = played.delivered.get(&release.id).map(|at| at.as_nanos() as i64);
        MessageRecord {
            flow: 0,
            direction: release.id.direction,
            stream: release.id.stream,
            seq: release.id.seq,
            size: release.length.bytes().map_or(0, ByteCount::bytes),
            released: release.at.as_nanos() as i64,
            released_by: release.by,
            deadline: release.deadline.map(|at| at.as_nanos() as i64),
            attempt: release.attempt,
            cancelled: played.cancelled.contains(&release.id).then_some(release.at.as_nanos() as i64),
            sent: Some(release.at.as_nanos() as i64),
            delivered,
            received: 0,
            coded: None,
        }
    };
    played.released.iter().map(record).collect()
}

fn play(call: &VideoCall, seed: u64, network: Network) -> (Played, Pictures) {
    let workload = Workload::VideoCall(call.clone());
    workload.check().unwrap();
    let played = both_ends(&workload, seed, network);
    let pictures = Pictures::of(&workload, seed, &records(&played)).unwrap();
    assert_eq!(pictures.released, call.frames());
    let Pictures { in_time, late, missing, undecodable, .. } = pictures;
    assert_eq!(in_time + late + missing + undecodable, call.frames());
    (played, pictures)
}

/// Frames of six packets, 200 a second, without key frames after the first.
fn small(frames: u64) -> VideoCall {
    VideoCall {
        fps: 200,
        duration: Duration::from_millis(5 * frames),
        rate: BitRate::new(200 * 8 * 6 * 1194),
        spread: 0.0,
        key: Key::Every(Duration::from_secs(3600)),
        ask_again: Some(Duration::from_millis(70)),
        ..VideoCall::default()
    }
}

#[test]
fn frames_are_whole_as_theory_has_it() {
    const N: f64 = 1600.0;
    // One in ten is lost.
    let network = Network { lost: 26, ..Network::default() };
    let p = 26.0 / 256.0;
    let share = |repair| {
        let (_, pictures) =
            play(&VideoCall { repair, parity: Probability::new(0.3).unwrap(), ..small(N as u64) }, 1, network);
        f64::from(pictures.whole) / N
    };
    let close = |found: f64, expected: f64| {
        let bound = 3.9 * (expected * (1.0 - expected) / N).sqrt() + 1.0 / N;
        assert!((found - expected).abs() < bound, "{found}, not {expected} ± {bound}");
    };
    let alone = |lost: f64, k: i32| (1.0 - lost).powi(k);
    close(share(Repair::None), alone(p, 6));
    // 30 % of six are two: whole where at most two of eight are lost.
    let of_eight = |lost: i32, ways: f64| ways * p.powi(lost) * (1.0 - p).powi(8 - lost);
    close(share(Repair::Fec), of_eight(0, 1.0) + of_eight(1, 8.0) + of_eight(2, 28.0));
    // One round trip of asking and sending again fits the deadline, and no second: neither the packet, nor both that
    // were to replace it.
    close(share(Repair::Resend), alone(p * (1.0 - (1.0 - p) * (1.0 - p)), 6));
}

#[test]
fn what_is_missing_is_asked_for_at_once() {
    let network = Network { seed: 3, lost: 26, ..Network::default() };
    let (played, pictures) = play(&VideoCall { repair: Repair::Resend, ..small(400) }, 1, network);
    let released = |id| played.released.iter().find(|(_, release)| release.id == id).map(|(now, _)| *now);
    let again: Vec<&Release> = played.released.iter().map(|(_, release)| release).filter(|r| r.attempt > 1).collect();
    assert!(again.len() > 150, "{} of 2,400", again.len());
    assert_eq!(pictures.repair_bytes, 1194 * again.len() as u64);
    for release in again {
        let question = release.by.expect("nothing is sent again unasked");
        assert_eq!(played.delivered[&question], release.at);
        assert!(released(question).unwrap() < release.deadline.unwrap(), "and nothing that is too late");
    }
}

/// When what was asked for, in order.
fn questions(call: &VideoCall, seed: u64, played: &Played) -> Vec<(Duration, layout::Asked)> {
    let layout = call.layout(seed);
    let up = played.released.iter().filter(|(_, release)| release.id.direction == Direction::Up);
    up.filter_map(|(now, release)| Some((*now, layout.asked(release.id.seq)?))).collect()
}

#[test]
fn what_still_does_not_come_is_asked_for_again() {
    let network = Network { seed: 5, lost: 80, ..Network::default() };
    let call = VideoCall { repair: Repair::Resend, deadline: Duration::from_millis(400), ..small(200) };
    let (played, _) = play(&call, 1, network);
    let mut times: std::collections::BTreeMap<_, Vec<_>> = Default::default();
    for (now, asked) in questions(&call, 1, &played) {
        if let layout::Asked::Part(layout::Part { frame, part, again, .. }) = asked {
            times.entry((frame, part)).or_default().push((now, again));
        }
    }
    assert!(
        times.values().filter(|times| times.len() > 2).count() > 20,
        "of 1,200 a third is lost, and so are questions"
    );
    for (part, times) in times {
        for pair in times.windows(2) {
            assert_eq!(pair[1].0 - pair[0].0, Duration::from_millis(70), "{part:?}: {times:?}");
            assert_eq!(pair[1].1, pair[0].1 + 1, "{part:?}: {times:?}");
        }
    }
}

#[test]
fn a_key_frame_is_asked_for_with_patience() {
    // Half of the packets are lost: of a key frame's some always are.
    let network = Network { seed: 5, lost: 128, ..Network::default() };
    let call = VideoCall { key: Key::OnLoss, ..small(400) };
    let (played, pictures) = play(&call, 1, network);
    assert!(pictures.in_time < 10, "{pictures:?}");
    let asked: Vec<Duration> = questions(&call, 1, &played).into_iter().map(|(now, _)| now).collect();
    assert!(asked.len() > 20, "for two seconds: {asked:?}");
    for pair in asked.windows(2) {
        let gap = pair[1] - pair[0];
        assert!((70..=80).contains(&(gap.as_nanos() / 1_000_000)), "the next loss after 70 ms: {asked:?}");
    }
}

#[test]
fn key_frames_follow_a_loss_within_a_round_trip() {
    let network = Network { lost: 4, ..Network::default() };
    for (repair, packet) in [(Repair::None, Some(ByteCount::new(1194))), (Repair::Resend, Some(ByteCount::new(1194)))] {
        let call = VideoCall { repair, packet, ask_again: Some(Duration::from_millis(70)), ..VideoCall::default() };
        let (played, pictures) = play(&call, 2, network);
        let layout = call.layout(2);
        let asked: Vec<_> = played
            .released
            .iter()
            .filter(|(_, r)| r.id.direction == Direction::Up)
            .filter_map(|(now, r)| match layout.asked(r.id.seq)? {
                layout::Asked::Key(frame) => Some((*now, frame, played.delivered.get(&r.id)?)),
                _ => None,
            })
            .collect();
        if repair == Repair::None {
            assert!(pictures.key_frames >= 10 && !asked.is_empty(), "{pictures:?}");
        } else {
            assert!(pictures.key_frames <= 1, "{pictures:?}");
        }
        for (now, frame, heard) in asked {
            // Word takes 30 ms, the next frame is at most 34 ms away.
            let next = played.released.iter().map(|(_, r)| r).find(|r| {
                let part = layout.part(r.id.seq).filter(|_| r.id.direction == Direction::Down);
                part.is_some_and(|part| part.is_key && part.frame > frame)
            });
            if let Some(next) = next.filter(|_| *heard < Duration::from_millis(9900)) {
                let within = *heard + Duration::from_millis(34);
                assert!(next.at <= within, "{frame} was lost at {now}, and a key frame came at {}", next.at);
            }
        }
    }
}

#[test]
fn giving_up_brings_the_next_key_frame_earlier() {
    // On a transport that loses nothing, but delivers some frames late.
    let call = VideoCall {
        packet: None,
        duration: Duration::from_secs(3),
        ask_again: Some(Duration::from_millis(70)),
        ..VideoCall::default()
    };
    let mut compared = 0;
    for seed in 0..40 {
        let network = Network { seed, jitter: Duration::from_millis(130), cancelled: u8::MAX, ..Network::default() };
        let key_after_loss = |give_up| {
            let (played, pictures) = play(&VideoCall { give_up, ..call.clone() }, 5, network);
            let layout = call.layout(5);
            let key = played.released.iter().map(|(_, r)| r).find(|r| {
                let part = layout.part(r.id.seq).filter(|_| r.id.direction == Direction::Down);
                part.is_some_and(|part| part.is_key && part.frame > 0)
            });
            let saved: u64 = played
                .released
                .iter()
                .filter(|(_, r)| played.cancelled.contains(&r.id))
                .filter_map(|(_, r)| r.length.bytes())
                .map(ByteCount::bytes)
                .sum();
            (key.map(|key| key.at), pictures.given_up, saved)
        };
        let (Some(without), none, nothing) = key_after_loss(false) else { continue };
        let (Some(with), given_up, saved) = key_after_loss(true) else { panic!("no key frame came") };
        assert!(with < without, "seed {seed}: at {with} with giving up, at {without} without");
        assert_eq!((none, nothing), (0, 0));
        assert!(given_up > 0 && saved >= 1000 * u64::from(given_up), "{saved} bytes of {given_up} frames");
        compared += 1;
    }
    assert!(compared > 20, "{compared} seeds had a late frame");
}

#[test]
fn without_loss_nothing_is_asked_for() {
    for repair in [Repair::None, Repair::Resend, Repair::Fec] {
        let call = VideoCall { repair, duration: Duration::from_secs(2), ..VideoCall::default() };
        let (played, pictures) = play(&call, 1, Network::default());
        assert_eq!((pictures.in_time, pictures.key_frames), (60, 0));
        assert!(played.released.iter().all(|(_, release)| release.id.direction == Direction::Down), "{repair}");
        assert!(pictures.longest_freeze < 34_000_000 && pictures.delays.iter().all(|delay| *delay == 30_000_000));
    }
}

#[test]
fn reliable_arms_need_no_packets() {
    let arm = |text: &str| text.parse::<Arm>().unwrap();
    let asked = Workload::VideoCall(VideoCall { repair: Repair::Fec, ..VideoCall::default() });
    for (name, repair, packet) in [("tcp", Repair::None, None), ("udp", Repair::Fec, Some(ByteCount::new(1194)))] {
        let Workload::VideoCall(call) = asked.clone().for_arm(arm(name)) else { unreachable!("it stays what it is") };
        assert_eq!((call.repair, call.packet), (repair, packet), "{name}");
    }
}

#[test]
fn impossible_parameters_are_named_with_the_remedy() {
    let link = |text: &str| toml::from_str::<crate::LinkSpec>(text).unwrap().resolve().unwrap();
    let bad = [
        ("fps = 0", "`fps` is 0"),
        ("duration = '10ms'", "at least one frame"),
        ("rate = '1bit'", "`rate` and `fps`"),
        ("spread = -0.1", "`spread` is -0.1"),
        ("key = 'every 1ms'", "the time of a frame"),
        ("deadline = '0ms'", "`deadline` is 0"),
        ("repair = 'fec'\nparity = '0%'", "`parity` is 0%"),
        ("packet = '1B'", "`packet` is 1B"),
        ("input = '80B'", "leave `input` out"),
        ("duration = '20h'", "fit one trial"),
    ];
    for (text, remedy) in bad {
        let call: VideoCall = toml::from_str(text).unwrap();
        let said = Workload::VideoCall(call).check().unwrap_err().to_string();
        assert!(said.contains(remedy), "{text}: {said}");
    }
    let call = Workload::VideoCall(VideoCall::default());
    let said = call.check_on("udp".parse().unwrap(), &link("rtt = '600ms'")).unwrap_err().to_string();
    assert!(said.contains("on the way: none can be in time"), "{said}");
    let said = call.check_on("udp".parse().unwrap(), &link("rtt = '60ms'\nmtu = 1200")).unwrap_err().to_string();
    assert!(said.contains("it may be 1080B at most"), "{said}");
    assert_eq!(call.check_on("tcp".parse().unwrap(), &link("rtt = '60ms'\nmtu = 1200")), Ok(()));
    let unknown = toml::from_str::<VideoCall>("key = 'sometimes'").unwrap_err().to_string();
    assert!(unknown.contains("write `on-loss`, or as `every 2s`"), "{unknown}");
}
