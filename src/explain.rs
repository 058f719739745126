//! `samepath explain`: why a message was late, by the packet that it waited for.

use samepath_results::explain::{self, ExplainError, Question, Verdict};

use crate::cli::ExplainArgs;
use crate::exit::{Exit, Mistake};
use crate::{output, run};

/// Explains one message of a run.
pub(crate) fn explain(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let opened = run::open(&args.run)?;
    let message = args.message.map(|name| name.0);
    let question = Question { trial: args.trial.clone().map(samepath_model::TrialId), message };
    let answer = explain::explain(&opened, &question).map_err(|error| match error {
        ExplainError::NoTrial(..) | ExplainError::NoMessage { .. } => Mistake(error.to_string()).into(),
        error => anyhow::Error::from(error),
    })?;
    let written = if args.json { output::json(&answer) } else { output::print(answer.render()) };
    // What is not known is no explanation.
    let exit = if matches!(answer.verdict, Verdict::Unattributed | Verdict::Fault) { Exit::Failed } else { Exit::Done };
    exit.after(written)
}
