//! The path between the two ends of a trial, and the harness that runs a trial across it.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`link`] | the link core: `(packet, now)` in, decision out; no I/O, no clock |
//! | [`capture`] | the packets themselves, with their fates, as a pcapng file |
//! | [`ledger`] | what became of every packet, from the data thread to a file |
//! | [`backend`] | what carries packets between the two namespaces: the embedded emulator |
//! | [`namespace`], [`device`] | the namespaces and devices it all happens in |
//! | [`path`] | the path as it stands: all of the above, up and down |
//! | [`nest`] | links inside links |
//! | [`trial`] | the harness: one trial from set-up to evidence |
//! | [`calibrate`] | probes, before a trial and after it |
//! | [`control`] | words with a running link from another terminal |
//! | [`shell`] | any program at the client end of a link |
//! | [`relay`] | ports of the host, carried to a link's server end |
//! | [`sockets`] | which sockets of a namespace wait for somebody |
//! | [`tell!`] | what is said to people, who need not listen |
//! | [`host`] | what the host says of itself; [`probe`] what it can and cannot do |
//! | [`limits`] | what this process may have of the system at once |
//!
//! Start with [`trial::supervise`], or with [`link::Pipe`] for the emulation itself.

pub mod backend;
pub mod calibrate;
pub mod capture;
pub mod control;
pub mod device;
mod endpoint;
pub mod host;
pub mod ledger;
pub mod limits;
pub mod link;
pub mod namespace;
pub mod nest;
mod netlink;
pub mod path;
mod precedence;
pub mod probe;
mod procfs;
pub mod relay;
pub mod shell;
pub mod sockets;
mod sys;
mod sysctl;
pub mod tell;
pub mod trial;

pub use sys::monotonic;
