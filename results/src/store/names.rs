//! Names of the files and directories of a run directory.

/// File of the experiment, as resolved.
pub(super) const EXPERIMENT: &str = "experiment.toml";
/// File of how, when and on what the experiment was run.
pub(super) const MANIFEST: &str = "manifest.json";
/// File with a line for each attempt at a trial.
pub(super) const TRIAL_LINES: &str = "trials.jsonl";
/// Directory of the trials' own directories.
pub(super) const TRIALS: &str = "trials";
/// The directory, within a failed trial's, of what explains the failure.
pub const EVIDENCE: &str = "failed";
