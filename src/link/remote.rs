//! `samepath link list`, `status` and `set`: running links, from another terminal.

use samepath_model::LinkSpec;
use samepath_netem::control::{ControlError, LinkStatus, Request, Runtime};
use samepath_netem::tell;

use crate::cli::{LinkListArgs, LinkSetArgs, LinkStatusArgs};
use crate::exit::{Exit, Mistake};
use crate::output;

/// What runs, a line each.
pub(crate) fn list(args: &LinkListArgs) -> anyhow::Result<Exit> {
    let runtime = Runtime::find()?;
    let running: Vec<LinkStatus> = runtime
        .names()?
        .iter()
        // One that ends just now is no longer to be listed; one that is stuck is named.
        .filter_map(|name| match runtime.status_after(name, &Request::Status) {
            Ok(status) => Some(status),
            Err(error) => {
                tell!("samepath: {error}");
                None
            }
        })
        .collect();
    if args.json {
        return Exit::Done.after(output::json(&running));
    }
    if running.is_empty() {
        tell!("no link is running");
    }
    for LinkStatus { name, link, command, .. } in &running {
        output::line(format_args!("{name}: {link}: {command}"))?;
    }
    Ok(Exit::Done)
}

/// How one stands.
pub(crate) fn status(args: &LinkStatusArgs) -> anyhow::Result<Exit> {
    let runtime = Runtime::find()?;
    let name = runtime.resolve(args.name.as_deref()).map_err(mistaken)?;
    show(&runtime.status_after(&name, &Request::Status)?, args.json)
}

/// Gives one new conditions.
pub(crate) fn set(args: &LinkSetArgs) -> anyhow::Result<Exit> {
    let (change, inputs) = args.link.read()?;
    refuse_what_stays(&change)?;
    if change == LinkSpec::default() && !args.clear {
        return Err(Mistake("nothing is to be changed; give a condition, as `--loss 5%`, or --clear".into()).into());
    }
    // What is wrong in itself is said before the link is asked; the link sees to what does not fit
    // the conditions that it has.
    let runtime = Runtime::find()?;
    let name = runtime.resolve(args.name.as_deref()).map_err(mistaken)?;
    let request = Request::Set { change: Box::new(change), clear: args.clear, inputs };
    let status = runtime.status_after(&name, &request).map_err(mistaken)?;
    if args.json {
        return show(&status, true);
    }
    Exit::Done.after(output::line(format_args!("{}: {}", status.name, status.link)))
}

/// A link that is none, or conditions that it cannot have, are mistakes of the command line.
fn mistaken(error: ControlError) -> anyhow::Error {
    match error {
        ControlError::Directory { .. } | ControlError::Silent { .. } => error.into(),
        error => Mistake(error.to_string()).into(),
    }
}

/// What belongs to the link as a whole, and to its devices.
fn refuse_what_stays(change: &LinkSpec) -> Result<(), Mistake> {
    for (flag, given) in [
        ("--mtu", change.mtu.is_some()),
        ("--loss-key", change.loss_key.is_some()),
        ("--generator", change.generator.is_some()),
    ] {
        if given {
            return Err(Mistake(format!("{flag} cannot be changed while the link runs; start another link with it")));
        }
    }
    Ok(())
}

fn show(status: &LinkStatus, json: bool) -> anyhow::Result<Exit> {
    Exit::Done.after(if json { output::json(status) } else { output::line(status) })
}
