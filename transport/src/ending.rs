//! How a data connection ended before its time: which end ended it, and with what.
//!
//! Each transport tells it in its own way: quinn by errors whose text leaves out the inner one, TCP by the kernel's
//! error numbers, TLS by alerts. Here all become one sentence, whose subject is the end that acted.

use std::fmt;
use std::io;

use quinn::{ConnectionError, ReadError, VarInt, WriteError};
use quinn_proto::{FrameType, TransportErrorCode};
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
    /// What an error of a socket, of TLS or of quinn says of a connection's end; `None` where it is no such error.
    pub fn of(error: &io::Error) -> Option<Ending> {
        let inner = error.get_ref();
        let is = |by, detail: &str| Some(Ending::new(None, by, detail.to_owned()));
        if let Some(inner) = inner {
            if let Some(error) = inner.downcast_ref::<ConnectionError>() {
                return Some(Ending::of_quic(error));
            }
            if let Some(error) = inner.downcast_ref::<WriteError>() {
                return Ending::of_write(error);
            }
            if let Some(error) = inner.downcast_ref::<ReadError>() {
                return Ending::of_read(error);
            }
            if let Some(error) = inner.downcast_ref::<rustls::Error>() {
                return Some(Ending::of_tls(error));
            }
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

    /// What quinn says.
    pub fn of_quic(error: &ConnectionError) -> Ending {
        let quic = |by, detail| Ending::new(Some("QUIC"), by, detail);
        match error {
            ConnectionError::VersionMismatch => {
                quic(EndedBy::Peer, "it speaks no version of QUIC that this end speaks".into())
            }
            ConnectionError::TransportError(error) => {
                quic(EndedBy::Local, told(error.code, error.frame, &error.reason))
            }
            ConnectionError::ConnectionClosed(close) => {
                quic(EndedBy::Peer, told(close.error_code, close.frame_type, &String::from_utf8_lossy(&close.reason)))
            }
            ConnectionError::ApplicationClosed(close) => {
                quic(EndedBy::Peer, application(close.error_code, &String::from_utf8_lossy(&close.reason)))
            }
            ConnectionError::Reset => {
                quic(EndedBy::Peer, "a stateless reset: it knows the connection no longer".into())
            }
            ConnectionError::TimedOut => {
                quic(EndedBy::Timeout, "no packet came within the idle timeout (RFC 9000, section 10.1)".into())
            }
            ConnectionError::LocallyClosed => quic(EndedBy::Local, "its application closed it".into()),
            ConnectionError::CidsExhausted => quic(EndedBy::Local, "no connection ID was left".into()),
        }
    }

    fn of_write(error: &WriteError) -> Option<Ending> {
        let quic = |by, detail| Some(Ending::new(Some("QUIC"), by, detail));
        match error {
            WriteError::ConnectionLost(error) => Some(Ending::of_quic(error)),
            WriteError::Stopped(code) => {
                quic(EndedBy::Peer, format!("it reads a stream no longer (STOP_SENDING, {})", application(*code, "")))
            }
            WriteError::ClosedStream => quic(EndedBy::Local, "a stream was closed before all was written".into()),
            WriteError::ZeroRttRejected => None,
        }
    }

    fn of_read(error: &ReadError) -> Option<Ending> {
        let quic = |by, detail| Some(Ending::new(Some("QUIC"), by, detail));
        match error {
            ReadError::ConnectionLost(error) => Some(Ending::of_quic(error)),
            ReadError::Reset(code) => {
                quic(EndedBy::Peer, format!("it gave up a stream (RESET_STREAM, {})", application(*code, "")))
            }
            ReadError::ClosedStream => quic(EndedBy::Local, "a stream was closed before all was read".into()),
            ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => None,
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

    const fn new(transport: Option<&'static str>, by: EndedBy, detail: String) -> Ending {
        Ending { transport, by, seen_at: None, detail }
    }
}

/// An error of QUIC's own (RFC 9000, section 20.1): name and code, the frame that led to it, the reason.
fn told(code: TransportErrorCode, frame: Option<FrameType>, reason: &str) -> String {
    let number = u64::from(code);
    let mut text = match number {
        // Alerts of TLS, by their number (RFC 9001, section 4.8).
        0x100..=0x1ff => {
            let alert = rustls::AlertDescription::from((number & 0xff) as u8);
            format!("CRYPTO_ERROR ({number:#x}), TLS alert {alert:?}")
        }
        0..=0x10 => format!("{code:?} ({number:#x})"),
        _ => format!("transport error {number:#x}"),
    };
    if let Some(frame) = frame {
        text += &format!(" at a frame {frame}");
    }
    if !reason.is_empty() {
        text += &format!(": {reason}");
    }
    text
}

/// An application's error (RFC 9000, section 20.2).
fn application(code: VarInt, reason: &str) -> String {
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("application error {:#x}{reason}", code.into_inner())
}

#[cfg(test)]
mod tests {
    use quinn_proto::{ApplicationClose, ConnectionClose};

    use super::*;

    fn text(error: impl Into<io::Error>, at: Option<End>) -> String {
        let mut ending = Ending::of(&error.into()).expect("it ends a connection");
        ending.seen_at = at;
        ending.to_string()
    }

    #[test]
    fn an_end_of_quic_is_told_whole_however_deep_it_lies() {
        let close = ConnectionError::ConnectionClosed(ConnectionClose {
            error_code: TransportErrorCode::INTERNAL_ERROR,
            frame_type: None,
            reason: b"too many gaps in stream buffer"[..].into(),
        });
        let told = "the QUIC connection ended: the client closed it: INTERNAL_ERROR (0x1): too many gaps in stream \
                    buffer";
        assert_eq!(text(WriteError::ConnectionLost(close.clone()), Some(End::Server)), told);
        assert_eq!(text(ReadError::ConnectionLost(close.clone()), Some(End::Server)), told);
        assert_eq!(text(close, Some(End::Server)), told);
        let local = ConnectionError::TransportError(quinn_proto::TransportError {
            code: TransportErrorCode::FLOW_CONTROL_ERROR,
            frame: None,
            reason: "more than allowed".into(),
        });
        assert_eq!(
            text(local, Some(End::Server)),
            "the QUIC connection ended: the server closed it: FLOW_CONTROL_ERROR (0x3): more than allowed"
        );
        let application = ConnectionError::ApplicationClosed(ApplicationClose {
            error_code: VarInt::from_u32(7),
            reason: b"enough"[..].into(),
        });
        assert_eq!(
            text(application, None),
            "the QUIC connection ended: the other end closed it: application error 0x7: enough"
        );
        let alert = ConnectionError::ConnectionClosed(ConnectionClose {
            error_code: TransportErrorCode::crypto(42),
            frame_type: None,
            reason: Vec::new().into(),
        });
        assert_eq!(
            text(alert, None),
            "the QUIC connection ended: the other end closed it: CRYPTO_ERROR (0x12a), TLS alert BadCertificate"
        );
        assert!(text(ConnectionError::TimedOut, None).contains("timed out: no packet came"));
        assert!(text(WriteError::Stopped(VarInt::from_u32(3)), None).contains("STOP_SENDING, application error 0x3"));
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
