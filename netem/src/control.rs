//! Words with a running link from another terminal: how it stands, and new conditions.
//!
//! Each link listens on a Unix socket in a directory of its user's own ([`Runtime`]), under its
//! name: the number of its process, or what the user called it. One line of JSON asks
//! ([`Request`]), one line answers ([`Reply`]). Other users are kept out by the directory's mode and
//! again by the kernel's word on who is calling. What a killed link leaves behind is a socket that
//! nobody listens on; whoever comes across it removes it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use samepath_model::link::Inputs;
use samepath_model::record::{DirectionReport, Lateness};
use samepath_model::{Link, LinkSpec};
use serde::{Deserialize, Serialize};

/// Names the directory of the sockets, in place of the usual ones. Set for a link's command, so that
/// what runs inside finds the same links as what runs outside.
pub const RUNTIME_VARIABLE: &str = "SAMEPATH_RUNTIME_DIR";
/// The name of the link that a process runs in. Set for a link's command.
pub const NAME_VARIABLE: &str = "SAMEPATH_LINK_NAME";

/// Ending of the sockets' names.
const ENDING: &str = ".link";
/// Ending of the files with the conditions.
const CONDITIONS_ENDING: &str = ".conditions";
/// The longest name: a socket's path may have 107 bytes in all.
const NAME_LIMIT: usize = 40;
/// The longest request or answer: a request may bring a rate trace of some ten million lines.
const LINE_LIMIT: u64 = 256 << 20;
/// How long the other side of a conversation may keep silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// How long a link, which has better things to do, waits for a request.
const REQUEST_LIMIT: Duration = Duration::from_millis(500);

/// A conversation with a link that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The directory of the sockets cannot be used.
    #[error("cannot keep links' sockets in `{dir}`: {problem}; set {RUNTIME_VARIABLE} to a directory of your own")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The name is none.
    #[error(
        "`{0}` cannot be a link's name: use at most {NAME_LIMIT} of a-z, A-Z, 0-9, dots, hyphens and underscores, \
         the first of a-z or A-Z"
    )]
    Name(String),
    /// Another link has the name.
    #[error("a link named `{0}` is running already; choose another --name (`samepath link list` shows what runs)")]
    Taken(String),
    /// There is no such link.
    #[error("no link named `{name}` is running{}", running(.others))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        others: Vec<String>,
    },
    /// There is none at all.
    #[error("no link is running; start one with `samepath link`")]
    None,
    /// There are several, and none was named.
    #[error("several links are running, so name one: {}", .0.join(", "))]
    Several(Vec<String>),
    /// The link refused.
    #[error("link {name} refused: {reason}")]
    Refused {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// The link does not answer.
    #[error("link {name} does not answer: {cause}; it may be ending, or be stopped")]
    Silent {
        /// Which.
        name: String,
        /// What happened.
        cause: io::Error,
    },
}

fn running(others: &[String]) -> String {
    match others {
        [] => ", and no other either; start one with `samepath link`".into(),
        others => format!("; there are: {}", others.join(", ")),
    }
}

/// What is asked of a link.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// How it stands.
    Status,
    /// New conditions.
    Set {
        /// What is to be different.
        change: Box<LinkSpec>,
        /// Whether everything else is to be as on a link without conditions, and not as it was.
        clear: bool,
        /// The files that its conditions name.
        #[serde(default)]
        inputs: Inputs,
    },
}

/// A link's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// How it stands, after the change where one was asked for.
    Status(Box<LinkStatus>),
    /// Why it did not do as asked.
    Refused(String),
}

/// How a running link stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Its name.
    pub name: String,
    /// Its process, in the PID namespace in which it was started.
    pub pid: u32,
    /// What runs at its client end.
    pub command: String,
    /// Its conditions, in words.
    pub link: String,
    /// The same, resolved.
    pub conditions: Link,
    /// What its draws follow from.
    pub seed: u64,
    /// What carries its packets.
    pub backend: String,
    /// The congestion controller that TCP sockets of its ends begin with.
    #[serde(default)]
    pub controller: String,
    /// How long it is up, in nanoseconds.
    pub up_ns: u64,
    /// How often its conditions were changed.
    pub changes: u32,
    /// What it has counted so far; `None` where nothing counts while it runs, as on a bare cable.
    pub counters: Option<Box<Snapshot>>,
}

/// What a running link has counted so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Client to server.
    pub up: DirectionReport,
    /// Server to client.
    pub down: DirectionReport,
    /// Packets inside, up and down.
    pub inside: [u64; 2],
    /// Over both directions.
    pub lateness: Lateness,
    /// Packets that the ledger lacks because its writer cannot keep up.
    pub ledger_lost: u64,
    /// Packets that the capture lacks because its writer cannot keep up.
    pub capture_missing: u64,
}

/// A user's number in the parent of this process's user namespace (user_namespaces(7)); the same in the
/// first one, which has no parent. `None` where the user is not mapped.
fn number_outside(user: u32) -> Option<u32> {
    let Ok(map) = fs::read_to_string("/proc/self/uid_map") else { return Some(user) };
    mapped(&map, user)
}

/// What a table of lines `INSIDE OUTSIDE LENGTH` makes of a number inside.
fn mapped(map: &str, inside: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut columns = line.split_whitespace().map(|column| column.parse::<u32>().ok());
        let (first, outside, length) = (columns.next()??, columns.next()??, columns.next()??);
        let offset = inside.checked_sub(first).filter(|offset| *offset < length)?;
        outside.checked_add(offset)
    })
}

/// The directory of a user's running links.
#[derive(Debug, Clone)]
pub struct Runtime {
    dir: PathBuf,
}

impl Runtime {
    /// The one of this user: what [`RUNTIME_VARIABLE`] says, else `samepath` in `$XDG_RUNTIME_DIR`
    /// where that is the user's, else `/tmp/samepath-UID`. It is made where it is missing.
    ///
    /// To be called before a user namespace is entered, in which the user has another number: what
    /// runs outside would look elsewhere. Of a user namespace that this process was started in,
    /// as by `unshare --map-root-user`, the user's number outside counts.
    ///
    /// # Errors
    /// Where it cannot be made, or others could get at it.
    pub fn find() -> Result<Runtime, ControlError> {
        let user = geteuid();
        let own = |dir: &PathBuf| fs::metadata(dir).is_ok_and(|meta| meta.is_dir() && meta.uid() == user.as_raw());
        let dir = std::env::var_os(RUNTIME_VARIABLE).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let dir = dir
            .or_else(|| {
                let xdg = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
                own(&xdg).then(|| xdg.join("samepath"))
            })
            .unwrap_or_else(|| {
                let user = number_outside(user.as_raw()).unwrap_or(user.as_raw());
                PathBuf::from(format!("/tmp/samepath-{user}"))
            });
        Runtime::at(dir)
    }

    /// This directory.
    ///
    /// # Errors
    /// As [`find`](Runtime::find).
    pub fn at(dir: PathBuf) -> Result<Runtime, ControlError> {
        let wrong = |problem: String| ControlError::Directory { dir: dir.clone(), problem };
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(wrong(error.to_string())),
            _ => {}
        }
        // Not followed: in /tmp anybody may have put a symbolic link there before us.
        let meta = fs::symlink_metadata(&dir).map_err(|error| wrong(error.to_string()))?;
        if !meta.is_dir() {
            return Err(wrong("it is no directory".into()));
        }
        if meta.uid() != geteuid().as_raw() {
            return Err(wrong("it belongs to another user".into()));
        }
        if meta.mode() & 0o077 != 0 {
            return Err(wrong(format!("others may use it (its mode is {:o}, and must be 700)", meta.mode() & 0o777)));
        }
        Ok(Runtime { dir })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts to listen under this name.
    ///
    /// # Errors
    /// Where a running link has it, or the socket cannot be made.
    pub fn listen(&self, name: &str) -> Result<Listener, ControlError> {
        // Looking through the names removes what killed links have left.
        self.names()?;
        let _lock = self.lock()?;
        let path = self.socket(name);
        match UnixStream::connect(&path) {
            Ok(_) => return Err(ControlError::Taken(name.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => drop(fs::remove_file(&path)),
            Err(_) => {}
        }
        let listener = UnixListener::bind(&path)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| ControlError::Directory { dir: self.dir.clone(), problem: error.to_string() })?;
        Ok(Listener { listener, files: [path, self.conditions_file(name)] })
    }

    /// Names of the links that are running. Removes what killed ones have left.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>, ControlError> {
        let wrong = |error: io::Error| ControlError::Directory { dir: self.dir.clone(), problem: error.to_string() };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(wrong)? {
            let file = entry.map_err(wrong)?.file_name();
            let Some(name) = file.to_str().and_then(|file| file.strip_suffix(ENDING)) else { continue };
            match UnixStream::connect(self.socket(name)) {
                Ok(_) => names.push(name.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.remove_stale(name)?,
                Err(_) => {}
            }
        }
        names.sort();
        Ok(names)
    }

    /// The name of the link that is meant: by name or process; without a word the one that the caller
    /// runs in, or else the only one.
    ///
    /// # Errors
    /// Where there is none such, or more than one.
    pub fn resolve(&self, wanted: Option<&str>) -> Result<String, ControlError> {
        let names = self.names()?;
        let Some(wanted) = wanted else {
            if let Ok(own) = std::env::var(NAME_VARIABLE)
                && names.contains(&own)
            {
                return Ok(own);
            }
            return match names.as_slice() {
                [] => Err(ControlError::None),
                [one] => Ok(one.clone()),
                _ => Err(ControlError::Several(names)),
            };
        };
        if names.iter().any(|name| name == wanted) {
            return Ok(wanted.to_owned());
        }
        if let Ok(pid) = wanted.parse::<u32>() {
            let is_it = |name: &&String| matches!(self.ask(name, &Request::Status), Ok(Reply::Status(status)) if status.pid == pid);
            if let Some(name) = names.iter().find(is_it) {
                return Ok(name.clone());
            }
        }
        Err(ControlError::Unknown { name: wanted.to_owned(), others: names })
    }

    /// Asks the link of this name, and takes its answer.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn ask(&self, name: &str, request: &Request) -> Result<Reply, ControlError> {
        let talk = || -> io::Result<Reply> {
            let mut stream = UnixStream::connect(self.socket(name))?;
            stream.set_read_timeout(Some(SILENCE_LIMIT))?;
            stream.set_write_timeout(Some(SILENCE_LIMIT))?;
            write_line(&mut stream, request)?;
            read_line(&stream)
        };
        talk().map_err(|cause| ControlError::Silent { name: name.to_owned(), cause })
    }

    /// Asks, and takes its status or its refusal.
    ///
    /// # Errors
    /// Where it does not answer, or refuses.
    pub fn status_after(&self, name: &str, request: &Request) -> Result<LinkStatus, ControlError> {
        match self.ask(name, request)? {
            Reply::Status(status) => Ok(*status),
            Reply::Refused(reason) => Err(ControlError::Refused { name: name.to_owned(), reason }),
        }
    }

    /// The file that holds a running link's conditions in words, for prompts.
    pub(crate) fn conditions_file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{CONDITIONS_ENDING}"))
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{ENDING}"))
    }

    fn remove_stale(&self, name: &str) -> Result<(), ControlError> {
        // Under the lock: nobody is between making a socket and listening on it, and a new link of the
        // same name is not taken for the old.
        let _lock = self.lock()?;
        let path = self.socket(name);
        if UnixStream::connect(&path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            let _ = fs::remove_file(&path);
            let _ = fs::remove_file(self.conditions_file(name));
        }
        Ok(())
    }

    fn lock(&self) -> Result<Flock<File>, ControlError> {
        let wrong = |problem: String| ControlError::Directory { dir: self.dir.clone(), problem };
        let dir = File::open(&self.dir).map_err(|error| wrong(error.to_string()))?;
        Flock::lock(dir, FlockArg::LockExclusive).map_err(|(_, errno)| wrong(errno.to_string()))
    }
}

/// Checks a name that a user has chosen. Numbers are left to the links that have none.
///
/// # Errors
/// Where it is no name.
pub fn check_name(name: &str) -> Result<(), ControlError> {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if starts && plain && name.len() <= NAME_LIMIT { Ok(()) } else { Err(ControlError::Name(name.to_owned())) }
}

/// The name of a link that the user gave none: its process, after the link that it was started in,
/// whose processes are numbered apart.
pub fn name_of_process(pid: u32) -> String {
    match std::env::var(NAME_VARIABLE) {
        Ok(outer) if !outer.is_empty() => format!("{outer}.{pid}"),
        _ => pid.to_string(),
    }
}

/// A link's own end. Dropping it removes the socket.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    /// The socket, and the file with the conditions.
    files: [PathBuf; 2],
}

impl Listener {
    /// Answers everybody who is waiting. Whoever says nothing, or nonsense, is not waited for long.
    pub(crate) fn serve(&self, mut answer: impl FnMut(Request) -> Reply) {
        while let Ok((stream, _)) = self.listener.accept() {
            let mut talk = || -> io::Result<()> {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(REQUEST_LIMIT))?;
                stream.set_write_timeout(Some(REQUEST_LIMIT))?;
                // Both are the numbers of this process's user namespace, in which the kernel gives one and the
                // same to everybody who is not mapped into it: that one is nobody's, and proves nothing.
                let caller = getsockopt(&stream, PeerCredentials)?.uid();
                let reply = if caller == geteuid().as_raw() && number_outside(caller).is_some() {
                    match read_line(&stream) {
                        Ok(request) => answer(request),
                        Err(error) if error.kind() == io::ErrorKind::InvalidData => Reply::Refused(format!(
                            "it does not know what is asked ({error}); it runs samepath {}",
                            env!("CARGO_PKG_VERSION")
                        )),
                        Err(error) => return Err(error),
                    }
                } else {
                    Reply::Refused("it belongs to another user".into())
                };
                write_line(&mut &stream, &reply)
            };
            // Who has gone away needs no answer; looking whether somebody listens is going away.
            let _ = talk();
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}

fn write_line(stream: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn read_line<T: serde::de::DeserializeOwned>(stream: &UnixStream) -> io::Result<T> {
    let mut line = String::new();
    BufReader::new(stream.take(LINE_LIMIT)).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_str(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn runtime() -> (tempfile::TempDir, Runtime) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = Runtime::at(dir.path().join("run")).unwrap();
        (dir, runtime)
    }

    #[test]
    fn a_name_belongs_to_one_link() {
        let (_dir, runtime) = runtime();
        let first = runtime.listen("one").unwrap();
        assert!(matches!(runtime.listen("one"), Err(ControlError::Taken(name)) if name == "one"));
        let second = runtime.listen("two").unwrap();
        assert_eq!(runtime.names().unwrap(), ["one", "two"]);
        drop(first);
        assert_eq!(runtime.names().unwrap(), ["two"]);
        assert_eq!(runtime.resolve(None).unwrap(), "two");
        drop(second);
        assert!(matches!(runtime.resolve(None), Err(ControlError::None)));
        assert!(fs::read_dir(runtime.dir()).unwrap().next().is_none());
    }

    #[test]
    fn what_a_killed_link_left_is_removed() {
        let (_dir, runtime) = runtime();
        let left = runtime.listen("dead").unwrap();
        // Closed without the file's being removed, as by SIGKILL.
        let path = left.files[0].clone();
        drop(left);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let another = runtime.listen("another").unwrap();
        assert!(!path.exists());
        assert_eq!(runtime.names().unwrap(), ["another"]);
        drop(another);
        drop(UnixListener::bind(&path).unwrap());
        assert!(runtime.listen("dead").is_ok());
    }

    #[test]
    fn questions_are_answered() {
        let (_dir, runtime) = runtime();
        let listener = runtime.listen("one").unwrap();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| runtime.ask("one", &Request::Status));
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            crate::sys::wait_readable(&[listener.as_fd()], deadline).unwrap();
            let mut seen = 0;
            while seen == 0 && std::time::Instant::now() < deadline {
                listener.serve(|_| {
                    seen += 1;
                    Reply::Refused("not now".into())
                });
            }
            assert!(matches!(asked.join().unwrap().unwrap(), Reply::Refused(reason) if reason == "not now"));
        });
    }

    #[test]
    fn an_unknown_request_is_told() {
        let (_dir, runtime) = runtime();
        let listener = runtime.listen("one").unwrap();
        let mut stream = UnixStream::connect(runtime.socket("one")).unwrap();
        stream.write_all(b"{\"set\":{\"change\":{\"gravity\":\"9.8\"},\"clear\":false}}\n").unwrap();
        listener.serve(|request| panic!("{request:?}"));
        let reply: Reply = read_line(&stream).unwrap();
        assert!(matches!(reply, Reply::Refused(reason) if reason.contains("gravity")));
    }

    #[test]
    fn a_directory_that_others_may_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        let error = Runtime::at(open.clone()).unwrap_err().to_string();
        assert!(error.contains("755") && error.contains(RUNTIME_VARIABLE), "{error}");
        let link = dir.path().join("link");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink(&open, &link).unwrap();
        assert!(Runtime::at(link).unwrap_err().to_string().contains("no directory"));
        assert!(Runtime::at(dir.path().join("absent/run")).is_err());
    }

    #[test]
    fn a_users_number_outside_is_that_of_the_table() {
        let first = "         0          0 4294967295\n";
        assert_eq!(mapped(first, 1000), Some(1000));
        let several = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!([0, 1, 65536].map(|user| mapped(several, user)), [Some(1000), Some(100_000), Some(165_535)]);
        assert_eq!(mapped("0 65534 1\n", 65534), None);
        assert_eq!(mapped("", 0), None);
        assert!(number_outside(geteuid().as_raw()).is_some());
    }

    #[test]
    fn names_are_plain_and_no_numbers() {
        for name in ["a", "bottleneck", "lab-1.up_2"] {
            check_name(name).unwrap();
        }
        for name in ["", "4711", "../x", "a b", "-x", "é", &"x".repeat(NAME_LIMIT + 1)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
