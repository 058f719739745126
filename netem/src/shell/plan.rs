//! Plan of a link that is to be run: its conditions, its backend, and what runs at its ends.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use samepath_model::link::Inputs;
use samepath_model::{Link, LinkSpec, Mode};

use super::ready::Ready;
use crate::backend::Backend;
use crate::relay::HostPort;

/// What is to be run across which link.
#[derive(Debug, Clone)]
pub struct LinkPlan {
    /// The link, as it was asked for: later words are understood over it.
    pub spec: LinkSpec,
    /// The link.
    pub link: Link,
    /// The files that its conditions name.
    pub inputs: Inputs,
    /// Seed of its random draws.
    pub seed: u64,
    /// What carries its packets.
    pub backend: Backend,
    /// Whether the link may hand neighbouring packets over as one.
    pub mode: Mode,
    /// Run by `sh -c` at the server's end.
    pub server_command: Option<String>,
    /// What the command waits for before it starts, where there is a server command.
    pub ready: Ready,
    /// For how long.
    pub ready_limit: Duration,
    /// The host's ports that the server's end is to have.
    pub host_ports: Vec<HostPort>,
    /// The congestion controller that TCP sockets of both ends begin with; `None`: the host's.
    pub controller: Option<String>,
    /// The command and its arguments; empty: an interactive shell.
    pub command: Vec<OsString>,
    /// Where the fate of every packet is spooled, for [`crate::ledger::read`].
    pub ledger: Option<PathBuf>,
    /// Where every packet is captured, with its fate.
    pub capture: Option<PathBuf>,
    /// What it is called, to those who would talk with it; its process's number, where nothing.
    pub name: Option<String>,
    /// Without the summary at the end.
    pub quiet: bool,
}

/// Takes the schedules of a link's rate traces from the files that are at hand.
pub(super) fn load(link: &mut Link, inputs: &Inputs) -> Result<(), String> {
    let find = |checksum: &_| inputs.get(checksum).cloned().ok_or_else(|| "its file was not handed over".to_owned());
    link.load(find).map_err(|error| error.to_string())
}
