//! Films over each transport: on a link that carries less than one quality, and more than the lowest.

use samepath_model::Workload;
use samepath_model::playback::Playback;
use samepath_model::workload::Adaptation;

use crate::support::{can_emulate, figure, late, test, trials};

#[test]
fn a_film_stalls_where_capacity_is_short() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // 600 kbit/s of payload: four fifths of the quality that is fixed, and twice the lowest. The queue holds a segment.
    let part = "arms = ['tcp', 'tls', 'quic', 'quic/per-message']\n\
                workload = { kind = 'video-on-demand', segments = 6, segment = '1s', quality = '750kbit', resume-from = '1s' }\n\
                link = { rtt = '20ms', rate = '622kbit', queue = '200kB' }\n\
                axes = { adaptation = ['fixed', 'bba-0'] }";
    let run = trials(dir.path(), "film", part);
    assert_eq!(run.trials().len(), 8);
    for record in run.trials() {
        let id = &record.trial.id;
        let Workload::VideoOnDemand(video) = &record.trial.workload else { unreachable!("it is what was asked") };
        let messages = run.messages(id).unwrap();
        let playback = Playback::of(video, record.trial.workload.scored_streams(), &messages);
        assert!(playback.is_whole, "{id}");
        assert_eq!(playback.stalled().as_millis_f64(), figure(record, "playback_stalled_ms"), "{id}");
        // A segment comes in 1.25 s and the round trip in which it is asked for.
        let (least, most) = (0.25, 0.25 + 0.02 + 0.02 + late(record) / 1e3);
        let share = |each: f64| 100.0 * 5.0 * each / (5.0 * each + 6.0);
        let stalled = figure(record, "playback_stalled_percent");
        match video.adaptation {
            Adaptation::Fixed => {
                assert!((share(least)..share(most)).contains(&stalled), "{id}: {stalled} %");
                assert_eq!(figure(record, "playback_stalls"), 5.0, "{id}");
                assert_eq!(figure(record, "quality_mbit_per_s"), 0.75, "{id}");
            }
            Adaptation::Bba0 => {
                assert_eq!((stalled, figure(record, "playback_stalls")), (0.0, 0.0), "{id}");
                assert_eq!(figure(record, "lowest_quality_percent"), 100.0, "{id}: the reservoir is not full yet");
            }
        }
        // Playback waits for the handshake, too, some kilobytes at that rate.
        let quality = video.qualities[usize::from(video.adaptation == Adaptation::Fixed)];
        let round_trips = f64::from(record.trial.arm.handshake_round_trips.unwrap()) + 1.0;
        let least = quality.bits_per_second() as f64 / 600.0 + 20.0 * round_trips;
        let started = figure(record, "playback_start_ms");
        let fits = (least - 5.0..least + 120.0 + late(record)).contains(&started);
        assert!(fits, "{id}: playback started after {started} ms, not {least} ms");
    }
}
