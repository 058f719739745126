//! The picture of a game and the player's input, both ways over one connection of each transport.

use samepath_model::{Direction, Workload};
use samepath_results::Run;

use crate::support::{can_emulate, expect_status, file, run, test, tolerant};

#[test]
fn picture_and_input_share_a_connection() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // A rate at which congestion control of every arm bears the loss, and a deadline that a busy machine keeps, too.
    let text = "schema = 1\nname = \"game\"\nquestion = \"?\"\nrepeat = 1\n[[part]]\nname = \"game\"\n\
                arms = ['tcp', 'quic/per-message', 'udp']\n\
                workload = { kind = 'cloud-gaming', duration = '3s', rate = '3Mbit', deadline = '1s', repair = 'resend' }\n\
                link = { rtt = '20ms', rate = '50Mbit', loss = '0.5%' }";
    let (path, out) = (file(dir.path(), "game.toml", &tolerant(text)), dir.path().join("game"));
    expect_status(&run(&["run", &path, "--out", out.to_str().unwrap()]), 0);
    let run = Run::open(&out).unwrap();
    assert_eq!(run.trials().len(), 3);
    for record in run.trials() {
        let id = &record.trial.id;
        let score = &record.summary.as_ref().unwrap().score;
        let figure = |name: &str| *score.get(name).unwrap_or_else(|| panic!("{id} has no {name}: {score:?}"));
        assert!(figure("frames_in_time_percent") >= 99.0, "{id}: {score:?}");
        assert!(figure("frame_delay_p50_ms") >= 10.0 && figure("input_delay_p50_ms") >= 10.0, "{id}: {score:?}");
        let messages = run.messages(id).unwrap();
        let input: Vec<_> = messages.iter().filter(|m| m.direction == Direction::Up && m.stream == 1).collect();
        assert!(input.len() == 375 && input.iter().all(|message| message.size == 80), "{id}: {}", input.len());
        let lost = input.iter().filter(|message| message.delivered.is_none()).count();
        assert!((figure("input_lost_percent") - 100.0 * lost as f64 / 375.0).abs() < 1e-9, "{id}");
        let Workload::CloudGaming(game) = &record.trial.workload else { panic!("{id} is another workload") };
        if record.trial.arm.is_reliable {
            assert_eq!((lost, game.packet, figure("repair_bytes")), (0, None, 0.0), "{id}");
        } else {
            assert!(figure("repair_bytes") > 0.0, "{id}: {score:?}");
        }
    }
}
