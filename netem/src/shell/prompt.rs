//! The interactive shell of a link, and its prompt, which says the conditions as they are.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;

use nix::sys::memfd::{MFdFlags, memfd_create};

/// Names the file that holds the conditions, for prompts.
pub(super) const CONDITIONS_VARIABLE: &str = "SAMEPATH_LINK_FILE";

/// A shell that is about to be started. Keep it until then.
pub(super) struct Shell {
    pub(super) command: Command,
    /// What bash reads at its start.
    pub(super) startup: Option<OwnedFd>,
}

impl From<Command> for Shell {
    fn from(command: Command) -> Shell {
        Shell { command, startup: None }
    }
}

/// The user's shell. Bash shows the conditions before its usual prompt, and follows their changes;
/// of any other shell, whose startup files may set the prompt, the link's name is proposed.
pub(super) fn shell(link: &str) -> Shell {
    let program = std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    let is_bash = Path::new(&program).file_name().is_some_and(|name| name == "bash");
    let mut command = Command::new(&program);
    command.env("PS1", format!("[link {link}] $ "));
    let startup = if is_bash { bash_startup().ok() } else { None };
    if let Some(startup) = &startup {
        command.arg("--rcfile").arg(path_of(startup));
    }
    Shell { command, startup }
}

/// A file without a name, which is inherited by whatever is started.
fn bash_startup() -> io::Result<OwnedFd> {
    let name = CString::new("samepath-bashrc").expect("it has no zero byte");
    let fd = memfd_create(name.as_c_str(), MFdFlags::empty())?;
    let number = fd.as_raw_fd();
    let mut file = File::from(fd);
    write!(
        file,
        "exec {number}<&-\n\
         if [ -f /etc/bash.bashrc ]; then . /etc/bash.bashrc; fi\n\
         if [ -f ~/.bashrc ]; then . ~/.bashrc; fi\n\
         PS1='[link $(cat \"${CONDITIONS_VARIABLE}\" 2>/dev/null)] '\"$PS1\"\n"
    )?;
    Ok(file.into())
}

fn path_of(fd: &OwnedFd) -> OsString {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}
