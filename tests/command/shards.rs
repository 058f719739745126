//! Which part of the trials a batch system's task takes.

use std::collections::BTreeSet;

use crate::support::{expect_status, samepath, stderr, stdout};

/// The trials that a task of a Slurm array would run; the numbers are the least, the greatest, their step, and how
/// many they are.
fn of_task(id: u32, [least, most, step, count]: [u32; 4]) -> std::process::Output {
    let mut command = samepath();
    command.args(["run", "handshake", "--dry-run"]);
    for (what, value) in [("ID", id), ("MIN", least), ("MAX", most), ("STEP", step), ("COUNT", count)] {
        command.env(format!("SLURM_ARRAY_TASK_{what}"), value.to_string());
    }
    command.output().unwrap()
}

/// The identifiers of the trials that a dry run lists.
fn trials(listing: &str) -> Vec<String> {
    let line = |line: &str| Some(line.strip_prefix("# ")?.split_once(": ")?.0.to_owned());
    listing.lines().filter_map(line).filter(|id| !id.contains(' ')).collect()
}

#[test]
fn an_array_with_a_step_runs_every_trial_once() {
    let whole = samepath().args(["run", "handshake", "--dry-run"]).output().unwrap();
    expect_status(&whole, 0);
    let whole = trials(&stdout(&whole));
    assert!(whole.len() > 10, "{whole:?}");
    let mut shared = Vec::new();
    for id in [1, 3, 5, 7, 9] {
        let output = of_task(id, [1, 9, 2, 5]);
        expect_status(&output, 0);
        assert!(stderr(&output).contains(&format!("shard {}/5", id.div_ceil(2))), "{}", stderr(&output));
        shared.extend(trials(&stdout(&output)));
    }
    assert_eq!(shared.len(), whole.len());
    assert_eq!(shared.into_iter().collect::<BTreeSet<_>>(), whole.into_iter().collect());
}

#[test]
fn an_array_with_gaps_is_refused() {
    let output = of_task(3, [1, 7, 1, 3]);
    expect_status(&output, 2);
    assert!(stderr(&output).contains("--shard K/N"), "{}", stderr(&output));
}
