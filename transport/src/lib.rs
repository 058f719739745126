//! The one seam between workload and wire: the same messages over TCP, TLS, UDP and QUIC.
//!
//! A session has two **halves**, the sender's and the receiver's; client and server each run one,
//! whichever the workload's direction gives them. Start with [`half`].
//!
//! | module | what it is for |
//! | --- | --- |
//! | [`plan`] | what both ends must agree on before anything is sent |
//! | [`control`] | the control connection: token, agreement, clock, reports |
//! | [`credentials`] | the secret of a session, and how a data connection shows it |
//! | [`ports`] | where a server takes data connections |
//! | [`half`] | one end's part of a session; `send` and `receive` are its two kinds |
//! | [`connection`] | a data connection, whatever its transport: `dial` makes the client's end, `listen` the server's |
//! | [`tcp`], [`tls`], [`stack`], [`udp`] | one transport each, both ends; of QUIC a stack each |
//! | [`quic`] | the frames of QUIC's packets, whichever stack sends them |
//! | [`frame`], [`payload`] | what is written on every one of them, and how it is verified |
//! | [`report`] | how far an end has come, and what it knows when it is over |
//! | `session`, `tasks` | what the tasks of an end share, and how they are kept together |
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
pub mod clock;
pub mod connection;
pub mod control;
pub mod credentials;
mod ending;
pub mod error;
pub mod frame;
pub mod half;
pub mod identity;
pub mod limits;
pub mod payload;
pub mod plan;
pub mod ports;
pub mod probe;
pub mod quic;
pub mod reach;
mod receive;
mod recorder;
pub mod report;
pub mod runtime;
mod send;
mod session;
pub mod stack;
mod tasks;
pub mod tcp;
pub mod tls;
pub mod udp;
mod vectored;

pub use connection::{Connection, dial, listen};
pub use ending::{EndedBy, Ending};
pub use error::TransportError;
pub use half::Half;
pub use plan::Plan;
pub use ports::Ports;
pub use report::{HalfReport, Phase};
