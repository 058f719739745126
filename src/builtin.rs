//! The experiments that ship inside the command, so that it works away from its repository.

use std::path::Path;

use anyhow::Context;
use samepath_model::Experiment;
use samepath_model::link::files::DIRECTORY;
use samepath_results::judge;

use crate::exit::Mistake;

/// Name and text of every built-in experiment.
pub(crate) const EXPERIMENTS: &[(&str, &str)] = &[
    ("head-of-line", include_str!("../experiments/head-of-line.toml")),
    ("goodput-versus-loss", include_str!("../experiments/goodput-versus-loss.toml")),
    ("handshake", include_str!("../experiments/handshake.toml")),
    ("bursty-loss", include_str!("../experiments/bursty-loss.toml")),
    ("streams", include_str!("../experiments/streams.toml")),
    ("message-size", include_str!("../experiments/message-size.toml")),
    ("stream-order", include_str!("../experiments/stream-order.toml")),
    ("window-cut", include_str!("../experiments/window-cut.toml")),
    ("chatty-or-batched", include_str!("../experiments/chatty-or-batched.toml")),
    ("compression", include_str!("../experiments/compression.toml")),
    ("fan-out", include_str!("../experiments/fan-out.toml")),
    ("overload", include_str!("../experiments/overload.toml")),
    ("connect", include_str!("../experiments/connect.toml")),
    ("mix", include_str!("../experiments/mix.toml")),
    ("writes", include_str!("../experiments/writes.toml")),
    ("page", include_str!("../experiments/page.toml")),
    ("video-on-demand", include_str!("../experiments/video-on-demand.toml")),
    ("voice", include_str!("../experiments/voice.toml")),
    ("cloud-gaming", include_str!("../experiments/cloud-gaming.toml")),
    ("video-call", include_str!("../experiments/video-call.toml")),
    ("tls-record-size", include_str!("../experiments/tls-record-size.toml")),
    ("query", include_str!("../experiments/query.toml")),
    ("payment", include_str!("../experiments/payment.toml")),
    ("payment-in-full", include_str!("../experiments/payment-in-full.toml")),
    ("chat", include_str!("../experiments/chat.toml")),
    ("game-state", include_str!("../experiments/game-state.toml")),
    ("which-transport", include_str!("../experiments/which-transport.toml")),
];

/// The experiment of this name, or in the file at this path.
pub(crate) fn load(name_or_path: &str) -> anyhow::Result<Experiment> {
    if let Some((name, text)) = EXPERIMENTS.iter().find(|(name, _)| *name == name_or_path) {
        return Experiment::parse(text).with_context(|| format!("the built-in experiment `{name}` is broken"));
    }
    let known = || EXPERIMENTS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let looks_like_path = name_or_path.contains(['/', '.']);
    let text = match std::fs::read_to_string(name_or_path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !looks_like_path => {
            return Err(Mistake(format!(
                "there is no experiment `{name_or_path}`, and no file of that name; built in are: {}",
                known()
            ))
            .into());
        }
        Err(error) => {
            return Err(Mistake(format!(
                "cannot read the experiment file {name_or_path}: {error}; give the path of a file that you may read \
                 (`samepath list --show head-of-line` prints one to start from), or a built-in name: {}",
                known()
            ))
            .into());
        }
    };
    // What a run has kept lies beside its experiment file.
    let beside = Path::new(name_or_path).parent().unwrap_or(Path::new("")).to_owned();
    let read = |path: &str| match Path::new(path).starts_with(DIRECTORY) {
        true => read_path(&beside.join(path)),
        false => read_file(path),
    };
    let checked = Experiment::parse_with_files(&text, &read).and_then(|experiment| {
        judge::expectations(&experiment).map_err(|error| error.in_text(&text))?;
        judge::needs(&experiment).map_err(|error| error.in_text(&text))?;
        Ok(experiment)
    });
    checked.map_err(|error| Mistake(format!("{name_or_path}: {error}")).into())
}

/// Reads a file that conditions name; relative paths count from where the command runs.
pub(crate) fn read_file(path: &str) -> Result<Vec<u8>, String> {
    read_path(Path::new(path))
}

fn read_path(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path)
        .map_err(|error| format!("it cannot be read: {error}; give the path of a file that you may read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_experiment_resolves_by_name() {
        for (name, text) in EXPERIMENTS {
            let experiment = Experiment::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            judge::expectations(&experiment).unwrap_or_else(|error| panic!("{name}: {error}"));
            judge::needs(&experiment).unwrap_or_else(|error| panic!("{name}: {error}"));
            let spec = experiment.spec();
            assert_eq!(&spec.name, name);
            assert!(!spec.question.is_empty() && !spec.explanation.is_empty(), "{name}");
        }
    }
}
