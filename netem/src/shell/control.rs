//! The link's end of its control socket: how it stands, and new conditions.

use std::fs;
use std::path::PathBuf;

use samepath_model::link::Inputs;
use samepath_model::{Link, LinkSpec};

use super::plan::{LinkPlan, load};
use crate::control::{ControlError, LinkStatus, Listener, Reply, Request, Runtime, name_of_process};
use crate::link::Nanos;
use crate::path::LivePath;
use crate::sys::monotonic;
use crate::tell;

/// By which name a link can be talked with, and its ear.
pub(super) struct Call {
    pub(super) name: String,
    pid: u32,
    /// Where this and other links are to be found; `None` where there is no such place.
    pub(super) runtime: Option<Runtime>,
    pub(super) listener: Option<Listener>,
}

impl Call {
    /// A link without an ear is as good as any other to its command: unless a name was asked for,
    /// that there is none is only said.
    pub(super) fn of(plan: &LinkPlan, pid: u32, runtime: Result<Runtime, ControlError>) -> Result<Call, String> {
        let name = plan.name.clone().unwrap_or_else(|| name_of_process(pid));
        let (runtime, listener) = match runtime {
            Ok(runtime) => {
                let listener = runtime.listen(&name);
                (Some(runtime), listener)
            }
            Err(error) => (None, Err(error)),
        };
        let listener = match listener {
            Ok(listener) => Some(listener),
            Err(error) if plan.name.is_some() => return Err(error.to_string()),
            Err(error) => {
                if !plan.quiet {
                    tell!("link: it can be neither watched nor adjusted: {error}");
                }
                None
            }
        };
        let call = Call { name, pid, runtime, listener };
        call.tell(&plan.link);
        Ok(call)
    }

    /// The file with the conditions, for prompts.
    pub(super) fn conditions_file(&self) -> Option<PathBuf> {
        self.listener.as_ref().and(self.runtime.as_ref()).map(|runtime| runtime.conditions_file(&self.name))
    }

    /// Leaves the conditions where prompts look for them.
    fn tell(&self, link: &Link) {
        if let Some(file) = self.conditions_file() {
            // A prompt without them is no reason to end the link.
            let _ = fs::write(file, format!("{link}\n"));
        }
    }
}

/// The link as it is while its command runs.
pub(super) struct Life<'a> {
    plan: &'a LinkPlan,
    pub(super) path: &'a LivePath,
    pub(super) call: &'a Call,
    pub(super) controller: String,
    spec: LinkSpec,
    link: Link,
    inputs: Inputs,
    pub(super) changes: Vec<(Nanos, String)>,
}

impl<'a> Life<'a> {
    pub(super) fn new(plan: &'a LinkPlan, path: &'a LivePath, call: &'a Call, controller: String) -> Life<'a> {
        let (spec, link, inputs) = (plan.spec.clone(), plan.link.clone(), plan.inputs.clone());
        Life { plan, path, call, controller, spec, link, inputs, changes: Vec::new() }
    }

    pub(super) fn answer(&mut self, request: Request) -> Reply {
        let done = match request {
            Request::Status => Ok(()),
            Request::Set { change, clear, inputs } => {
                self.inputs.extend(inputs);
                self.change(&change, clear)
            }
        };
        match done {
            Ok(()) => Reply::Status(Box::new(self.status())),
            Err(reason) => Reply::Refused(reason),
        }
    }

    /// Puts new conditions in force.
    fn change(&mut self, change: &LinkSpec, clear: bool) -> Result<(), String> {
        let base = if clear {
            LinkSpec {
                mtu: self.spec.mtu,
                loss_key: self.spec.loss_key,
                generator: self.spec.generator,
                ..LinkSpec::default()
            }
        } else {
            self.spec.clone()
        };
        let spec = base.amended(change);
        let link = spec.refuse_idle(change).and_then(|()| spec.resolve()).map_err(|error| error.to_string())?;
        // Of a profile, what cannot be had while the link runs is left as it is.
        let Link { mtu, loss_key, generator, .. } = self.link;
        let mut link = Link { mtu, loss_key, generator, ..link };
        load(&mut link, &self.inputs)?;
        let since = self.path.change(&link)?;
        if !self.plan.quiet {
            tell!("link: from now on: {link}");
        }
        self.changes.push((since, format!("{link:#}")));
        self.call.tell(&link);
        (self.spec, self.link) = (spec, link);
        Ok(())
    }

    fn status(&self) -> LinkStatus {
        let command: Vec<_> = self.plan.command.iter().map(|word| word.to_string_lossy()).collect();
        LinkStatus {
            name: self.call.name.clone(),
            pid: self.call.pid,
            command: if command.is_empty() { "(a shell)".into() } else { command.join(" ") },
            link: self.link.to_string(),
            conditions: self.link.clone(),
            seed: self.plan.seed,
            backend: self.path.backend().to_string(),
            controller: self.controller.clone(),
            up_ns: monotonic() - self.path.up_since(),
            changes: self.changes.len() as u32,
            counters: self.path.snapshot().map(Box::new),
        }
    }

    pub(super) fn print_status(&self) {
        for line in self.status().to_string().lines() {
            tell!("link: {line}");
        }
    }
}
