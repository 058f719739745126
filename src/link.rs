//! `samepath link`: any program at the client end of an emulated link.

mod remote;

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use samepath_netem::ledger::Cut;
use samepath_netem::relay;
use samepath_netem::shell::{self, LinkError, LinkPlan, Ready};
use samepath_netem::trial::Backend;
use samepath_netem::{control, ledger, tell};

use crate::cli::{LinkArgs, LinkCommand, LinkVerb};
use crate::exit::{Exit, Mistake, SAID_BY, Unsupported};
use crate::harness::{self, check_backend};

/// A link of our own, or words with those that run.
pub(crate) fn link(verb: &LinkCommand) -> anyhow::Result<Exit> {
    match &verb.verb {
        None => run(&verb.run),
        Some(LinkVerb::List(args)) => remote::list(args),
        Some(LinkVerb::Status(args)) => remote::status(args),
        Some(LinkVerb::Set(args)) => remote::set(args),
    }
}

/// Brings a link up on this backend and down again: the body of the hidden verb `__attempt`. What it says is for
/// whoever attempts it.
pub(crate) fn attempt(backend: Backend) -> anyhow::Result<Exit> {
    if let Some(not_granted) = shell::attempt(backend).map_err(told)? {
        tell!("{SAID_BY}{not_granted}");
    }
    Ok(Exit::Done)
}

/// What this machine cannot do has a status of its own.
fn told(error: LinkError) -> anyhow::Error {
    if error.is_lack() { Unsupported(error.to_string()).into() } else { error.into() }
}

/// Runs the command across the link; its exit status is ours.
fn run(args: &LinkArgs) -> anyhow::Result<Exit> {
    if args.command.is_empty() && !std::io::stdin().is_terminal() {
        let mistake = "there is nothing to run: give a command after `--`; a shell needs a terminal, and stdin is none";
        return Err(Mistake(mistake.into()).into());
    }
    if let Some(name) = &args.name {
        control::check_name(name).map_err(|error| Mistake(error.to_string()))?;
        if control::Runtime::find()?.names()?.contains(name) {
            return Err(Mistake(control::ControlError::Taken(name.clone()).to_string()).into());
        }
    }
    let (spec, inputs) = args.link.read()?;
    let link = spec.refuse_idle(&spec).and_then(|()| spec.resolve()).map_err(|error| Mistake(error.to_string()))?;
    let conditions = format!("{link:#}");
    let backend = args.backend;
    for (flag, given) in [("--ledger", args.ledger.is_some()), ("--capture", args.capture.is_some())] {
        if given && backend == Backend::None {
            let mistake = format!("a bare cable sees no packets; leave out `--backend none` or `{flag}`");
            return Err(Mistake(mistake).into());
        }
    }
    check_backend(backend, std::iter::once(&link))?;
    relay::check(&args.host_ports).map_err(|error| Mistake(format!("--host-port: {error}")))?;
    let ready = args.server_ready.clone().unwrap_or_default();
    if ready == Ready::Nothing && args.server_ready_timeout.is_some() {
        let mistake = "--server-ready none waits for nothing; leave out --server-ready-timeout";
        return Err(Mistake(mistake.into()).into());
    }
    if let (Some(ledger), Some(capture)) = (&args.ledger, &args.capture)
        && is_one_file(ledger, capture)
    {
        let (ledger, capture) = (ledger.display(), capture.display());
        let mistake = format!("--ledger {ledger} and --capture {capture} are one file; give each one of its own");
        return Err(Mistake(mistake).into());
    }
    if backend == Backend::Netem {
        // A kernel without it is the usual case, and found out only after the capture's file has been made.
        harness::attempt(backend)?;
    }
    let spool = args.ledger.as_deref().map(Spool::beside).transpose()?;
    if !args.quiet {
        tell!("link: {link}");
        if args.command.is_empty() {
            tell!("link: this shell is at its client end, and `exit` takes it down; from another terminal:");
            tell!("link: samepath link status, samepath link set CONDITIONS");
        }
    }
    let ended = shell::run(LinkPlan {
        spec,
        name: args.name.clone(),
        link,
        inputs,
        seed: args.seed,
        mode: args.mode,
        backend,
        server_command: args.server_command.clone(),
        ready_limit: args.server_ready_timeout.map_or(ready.limit(), |limit| limit.std()),
        ready,
        host_ports: args.host_ports.clone(),
        controller: args.controller.clone(),
        command: args.command.clone(),
        ledger: spool.as_ref().map(|spool| spool.path.clone()),
        capture: args.capture.clone(),
        quiet: args.quiet,
    })
    .map_err(told)?;
    let mut incomplete = ended.ledger_cut.is_some();
    if let (Some(Cut { missing, problem }), Some(ledger)) = (&ended.ledger_cut, &args.ledger) {
        tell!(
            "link: the ledger `{}` ends before the link did: {problem}; free space there, or keep it in another place; \
             {missing} packets are missing at its end",
            ledger.display()
        );
    }
    if let Some(spool) = spool {
        spool.keep(&conditions, &ended.changes, ended.ledger_cut.as_ref())?;
    }
    if let Some(capture) = ended.capture {
        if let Some(complaint) = capture.complaint() {
            tell!("link: {complaint}");
        }
        incomplete |= capture.failure.is_some();
    }
    if incomplete && ended.status == 0 {
        return Ok(Exit::Failed);
    }
    Ok(Exit::Status(u8::try_from(ended.status).unwrap_or(1)))
}

/// Whether both paths lead to one file, which need not be there yet.
fn is_one_file(a: &Path, b: &Path) -> bool {
    // By number, where both are there: one file may have several names.
    let number = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => target(a).is_some_and(|target_of_a| target(b) == Some(target_of_a)),
        _ => false,
    }
}

/// Where a file is, or would be made, past symbolic links that lead to it.
fn target(path: &Path) -> Option<PathBuf> {
    /// Of links in a row, as the kernel takes (path_resolution(7)).
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let parent = directory_of(&path);
        let place = parent.canonicalize().ok()?.join(path.file_name()?);
        match std::fs::read_link(&place) {
            Ok(leads_to) => path = parent.join(leads_to),
            Err(_) => return Some(place),
        }
    }
    None
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where the ledger is kept while the link is up; made beforehand, so that a place that cannot be
/// written is known before the command has run.
struct Spool {
    /// It has no name in its directory, so that nothing is left of it whatever ends this process.
    _file: File,
    /// By which the link's process, too, which is forked from this one, can open it.
    path: PathBuf,
    target: PathBuf,
}

impl Spool {
    fn beside(ledger: &Path) -> anyhow::Result<Spool> {
        let end = target(ledger).unwrap_or_else(|| ledger.to_owned());
        let parent = directory_of(&end);
        let file = tempfile::tempfile_in(parent)
            .with_context(|| format!("cannot write the ledger in {}", parent.display()))?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        Ok(Spool { _file: file, path, target: ledger.to_owned() })
    }

    /// Writes the Parquet file. Times count from the first packet. Its metadata has the conditions that
    /// the link began with, and, as JSON, every later change: the instant, and the conditions from then on.
    /// What is missing at its end is there, too.
    fn keep(self, link: &str, changes: &[(u64, String)], cut: Option<&Cut>) -> anyhow::Result<()> {
        let first =
            ledger::read(&self.path, 0)?.map(|packet| packet.map(|packet| packet.arrived)).next().transpose()?;
        let epoch = first.map_or(0, i64::unsigned_abs);
        let changes: Vec<_> = changes
            .iter()
            .map(|(at, link)| serde_json::json!({ "at": at.wrapping_sub(epoch).cast_signed(), "link": link }))
            .collect();
        let mut notes =
            vec![("samepath.link", link.to_owned()), ("samepath.changes", serde_json::to_string(&changes)?)];
        notes.extend(cut.map(|cut| ("samepath.missing", cut.missing.to_string())));
        samepath_results::store::write_ledger(&self.target, "link", epoch, &notes, ledger::read(&self.path, epoch)?)
            .with_context(|| format!("cannot write the ledger {}", self.target.display()))
    }
}
