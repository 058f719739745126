//! Environment variables of the commands at a link's ends: addresses, conditions, and how the link is reached.

use std::process::Command;

use super::control::Call;
use super::plan::LinkPlan;
use super::prompt;
use crate::control::{NAME_VARIABLE, RUNTIME_VARIABLE};
use crate::nest::Addresses;
use crate::path::LivePath;

/// The addresses, and what the link is, for scripts and prompts.
pub(super) fn tell_addresses(command: &mut Command, plan: &LinkPlan, path: &LivePath, call: &Call) {
    let ends = path.addresses;
    command.env("SAMEPATH_CLIENT", ends.client.to_string()).env("SAMEPATH_LINK", plan.link.to_string());
    // Where it has no server of its own, the server is that of the link around it, through both.
    let has_server = plan.server_command.is_some() || !plan.host_ports.is_empty() || !ends.leads_on();
    let inherited = |name: &str| std::env::var_os(name).is_some();
    if has_server || !inherited("SAMEPATH_SERVER") {
        let server = if has_server { ends.server } else { Addresses::OUTERMOST.server };
        command.env("SAMEPATH_SERVER", server.to_string());
    }
    // Inside a user namespace nobody would find it by themselves.
    if let Some(runtime) = &call.runtime {
        command.env(RUNTIME_VARIABLE, runtime.dir());
    }
    if let Some(conditions) = call.conditions_file() {
        command.env(NAME_VARIABLE, &call.name).env(prompt::CONDITIONS_VARIABLE, conditions);
    }
    if path.ipv6 {
        command.env("SAMEPATH_CLIENT6", ends.client6.to_string());
        if has_server || !inherited("SAMEPATH_SERVER6") {
            let server = if has_server { ends.server6 } else { Addresses::OUTERMOST.server6 };
            command.env("SAMEPATH_SERVER6", server.to_string());
        }
    }
}
