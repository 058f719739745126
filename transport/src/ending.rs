//! How a data connection ended before its time: which end ended it, and with what.
//!
//! Each transport tells it in its own way: TCP by the kernel's error numbers, TLS by alerts, a QUIC stack by errors of
//! its own. Here all become one sentence, whose subject is the end that acted.

use std::fmt;
use std::io;

use samepath_model::record::End;

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The end that tells it.
    Local,
    /// The end it talked to.
    Peer,
    /// Neither: nothing came back any more.
    Timeout,
    /// Neither: the path said that it leads nowhere.
    Path,
}

/// The end of a connection, with its whole cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// `QUIC` or `TLS`; `None` where the kernel's error does not say whose connection it was.
    pub transport: Option<&'static str>,
    /// Who ended it.
    pub by: EndedBy,
    /// Which end tells it, where that is known.
    pub seen_at: Option<End>,
    /// Code, frame and reason, as far as there are any.
    pub detail: String,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Some(transport) => write!(f, "the {transport} connection ended: ")?,
            None => f.write_str("the connection ended: ")?,
        }
        let name = |end| match end {
            End::Client => "the client",
            End::Server => "the server",
        };
        let other = |end| if end == End::Client { End::Server } else { End::Client };
        match self.by {
            EndedBy::Local => write!(f, "{} closed it", self.seen_at.map_or("this end", name))?,
            EndedBy::Peer => write!(f, "{} closed it", self.seen_at.map_or("the other end", |end| name(other(end))))?,
            EndedBy::Timeout => f.write_str("it timed out")?,
            EndedBy::Path => f.write_str("the path refused it")?,
        }
        write!(f, ": {}", self.detail)
    }
}

impl Ending {
    /// What an error of a socket or of TLS says of a connection's end; `None` where it is no such error.
    pub fn of(error: &io::Error) -> Option<Ending> {
        let inner = error.get_ref();
        let is = |by, detail: &str| Some(Ending::new(None, by, detail.to_owned()));
        if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(Ending::of_tls(error));
        }
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut,
        };
        match error.kind() {
            ConnectionReset => is(EndedBy::Peer, "it was reset (TCP RST)"),
            BrokenPipe => is(EndedBy::Peer, "it takes no more bytes (EPIPE)"),
            ConnectionAborted => is(EndedBy::Local, "the kernel aborted it (ECONNABORTED)"),
            TimedOut => is(EndedBy::Timeout, "retransmissions were not acknowledged (ETIMEDOUT)"),
            HostUnreachable => is(EndedBy::Path, "the host is unreachable (EHOSTUNREACH)"),
            NetworkUnreachable => is(EndedBy::Path, "the network is unreachable (ENETUNREACH)"),
            io::ErrorKind::UnexpectedEof if inner.is_some_and(|inner| inner.to_string().contains("close_notify")) => {
                Some(Ending::new(Some("TLS"), EndedBy::Peer, "TCP ended without TLS's close_notify alert".into()))
            }
            _ => None,
        }
    }

    /// What rustls says: an alert that came, or why this end sent one.
    fn of_tls(error: &rustls::Error) -> Ending {
        match error {
            rustls::Error::AlertReceived(alert) => {
                Ending::new(Some("TLS"), EndedBy::Peer, format!("TLS alert {alert:?} ({})", u8::from(*alert)))
            }
            error => Ending::new(Some("TLS"), EndedBy::Local, error.to_string()),
        }
    }

    pub(crate) const fn new(transport: Option<&'static str>, by: EndedBy, detail: String) -> Ending {
        Ending { transport, by, seen_at: None, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: impl Into<io::Error>, at: Option<End>) -> String {
        let mut ending = Ending::of(&error.into()).expect("it ends a connection");
        ending.seen_at = at;
        ending.to_string()
    }

    #[test]
    fn an_end_of_tcp_or_tls_names_who_acted() {
        let os = |errno| io::Error::from_raw_os_error(errno);
        for (errno, expected) in [
            (libc::ECONNRESET, "the server closed it: it was reset (TCP RST)"),
            (libc::EPIPE, "the server closed it: it takes no more bytes (EPIPE)"),
            (libc::ETIMEDOUT, "it timed out: retransmissions were not acknowledged (ETIMEDOUT)"),
            (libc::EHOSTUNREACH, "the path refused it: the host is unreachable (EHOSTUNREACH)"),
            (libc::ENETUNREACH, "the path refused it: the network is unreachable (ENETUNREACH)"),
        ] {
            assert_eq!(text(os(errno), Some(End::Client)), format!("the connection ended: {expected}"));
        }
        let tls = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        assert_eq!(
            text(tls(rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac)), Some(End::Client)),
            "the TLS connection ended: the server closed it: TLS alert BadRecordMac (20)"
        );
        assert_eq!(
            text(tls(rustls::Error::DecryptError), Some(End::Client)),
            "the TLS connection ended: the client closed it: cannot decrypt peer's message"
        );
        assert_eq!(Ending::of(&os(libc::EMFILE)), None, "what is no connection's end stays what it is");
    }
}
