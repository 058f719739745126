//! The control connection: who may, what is to be played, when it starts, what came of it.
//!
//! TLS 1.3 over TCP, beside the measured connections. Both ends open with eight fixed bytes and
//! their protocol version, so that another service or another version is told as such. Then messages:
//! a kind byte, a length, and JSON (small things) or postcard (reports).
//!
//! **Token.** Both ends know a shared secret and prove it with an HMAC over a value exported from
//! the TLS session (RFC 5705, RFC 9266's channel binding), a different one for each role. The
//! proof is worth nothing on any other connection, so someone in between cannot pass it on; the
//! server's proof thereby authenticates its certificate where no fingerprint was given. A weak
//! token can be guessed off-line by an impostor whom a client connects to: use the random one that
//! the server makes.
//!
//! ```text
//! client                      server
//!   Hello  ─────────────────▶          proof
//!          ◀─────────────── Proven     proof                            (or Refused)
//!   Open   ─────────────────▶          plan
//!          ◀─────────────── Welcome    secret of the session, ports     (or Refused)
//!   Ping   ─────────────────▶ ◀─ Pong  a few times: the offset of the clocks
//!          ◀─────────────── Reached    the server's end is bound, warm, finished
//!   Start  ─────────────────▶          the epoch, on the server's clock
//!   PeerFinished ───────────▶          the client, as sender, has sent everything
//!   Collect ────────────────▶
//!          ◀─────────────── Report     (or, at any time, Failed)
//! ```
//!
//! The two ends are in `client` and `server`; what they say in `message`, how it is written in `codec`; `proof` has the
//! proofs, `offset` the clocks.

mod client;
mod codec;
mod message;
mod offset;
mod proof;
mod server;

pub use client::{ClientControl, connect};
pub use codec::VERSION;
pub use message::{Answer, Request};
pub use offset::ClockOffset;
pub use server::{Asked, MAX_REQUEST, ServerControl};
