//! The one seam between workload and wire: the same messages over TCP, TLS, UDP and QUIC.
//!
//! Both ends of a session run the same code: each runs the workload's driver, sends what that releases, and receives
//! what the other sends. Start with [`session`].
//!
//! | module | what it is for |
//! | --- | --- |
//! | [`plan`] | what both ends must agree on before anything is sent |
//! | [`control`] | the control connection: token, agreement, clock, reports |
//! | [`credentials`] | the secret of a session, and how a data connection shows it |
//! | [`ports`] | where a server takes data connections |
//! | [`session`] | one end of a session; `send` and `receive` are its two parts, `drive` and `queue` lie between the driver and them |
//! | [`connection`] | a data connection, whatever its transport: `dial` makes the client's end, `listen` the server's |
//! | [`tcp`], [`tls`], [`stack`], [`udp`] | one transport each, both ends; of QUIC a stack each |
//! | [`lookup`] | the lookup of a name before the first connection, both ends |
//! | [`quic`] | the frames of QUIC's packets, whichever stack sends them |
//! | [`frame`], [`payload`] | what is written on every one of them, and how it is verified |
//! | [`codec`], `coding`, `compressed` | what is compressed on its way: the coders, who runs them when, and what they made |
//! | [`report`] | how far an end has come, and what it knows when it is over |
//! | `shared`, `tasks` | what the tasks of an end share, and how they are kept together |
//! | [`book`] | what a server has recorded, in a file |
//! | `recorder` | what each end notes of the messages |
//! | `attribution` | where the messages lie in what is sent, for the attribution of packets to messages |
//! | [`reach`] | which of a host's addresses is taken |
//! | [`identity`] | certificates, fingerprints, the TLS settings |
//! | [`probe`] | what a connection says of itself, and what the process used |
//! | [`limits`] | open files |
//! | `ending`, [`error`] | how a connection ended and who ended it; what else can go wrong |
//! | [`runtime`] | the asynchronous runtime of an end |
//! | [`clock`] | the one clock, and a timer that is exact |
//!
//! Invariant: no module here decides what a workload is or what a figure means; that is `model`.

mod attribution;
pub mod book;
pub mod clock;
pub mod codec;
mod coding;
mod compressed;
pub mod connection;
pub mod control;
pub mod credentials;
mod drive;
mod ending;
pub mod error;
mod exchange;
mod exchanges;
pub mod frame;
pub mod identity;
pub mod limits;
pub mod lookup;
pub mod payload;
pub mod plan;
pub mod ports;
pub mod probe;
mod queue;
pub mod quic;
pub mod reach;
mod receive;
mod recorder;
pub mod report;
pub mod runtime;
mod send;
pub mod session;
mod shared;
pub mod stack;
mod tasks;
pub mod tcp;
pub mod tls;
pub mod udp;
mod vectored;

pub use connection::{Connection, dial, listen};
pub use ending::{EndedBy, Ending};
pub use error::TransportError;
pub use plan::Plan;
pub use ports::Ports;
pub use report::{Phase, SessionReport};
pub use session::Session;
