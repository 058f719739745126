//! How a connection of quinn ended: its errors, whose text leaves out the inner one, told whole.

use std::io;

use quinn::{ConnectionError, ReadError, VarInt, WriteError};
use quinn_proto::{FrameType, TransportErrorCode};

use crate::TransportError;
use crate::ending::{EndedBy, Ending};

/// What an error of quinn's comes to, however deep it lies in one of a stream.
pub(super) fn failed(error: impl Into<io::Error>) -> TransportError {
    let cause = error.into();
    let Some(inner) = cause.get_ref() else { return cause.into() };
    let ending = if let Some(error) = inner.downcast_ref::<ConnectionError>() {
        Some(of_connection(error))
    } else if let Some(error) = inner.downcast_ref::<WriteError>() {
        of_write(error)
    } else if let Some(error) = inner.downcast_ref::<ReadError>() {
        of_read(error)
    } else {
        return cause.into();
    };
    ending.map_or(TransportError::Io { cause }, TransportError::Ended)
}

/// What quinn says of a connection.
pub(super) fn of_connection(error: &ConnectionError) -> Ending {
    let quic = |by, detail| Ending::new(Some("QUIC"), by, detail);
    match error {
        ConnectionError::VersionMismatch => {
            quic(EndedBy::Peer, "it speaks no version of QUIC that this end speaks".into())
        }
        ConnectionError::TransportError(error) => quic(EndedBy::Local, told(error.code, error.frame, &error.reason)),
        ConnectionError::ConnectionClosed(close) => {
            quic(EndedBy::Peer, told(close.error_code, close.frame_type, &String::from_utf8_lossy(&close.reason)))
        }
        ConnectionError::ApplicationClosed(close) => {
            quic(EndedBy::Peer, application(close.error_code, &String::from_utf8_lossy(&close.reason)))
        }
        ConnectionError::Reset => quic(EndedBy::Peer, "a stateless reset: it knows the connection no longer".into()),
        ConnectionError::TimedOut => {
            quic(EndedBy::Timeout, "no packet came within the idle timeout (RFC 9000, section 10.1)".into())
        }
        ConnectionError::LocallyClosed => quic(EndedBy::Local, "its application closed it".into()),
        ConnectionError::CidsExhausted => quic(EndedBy::Local, "no connection ID was left".into()),
    }
}

/// What it says of a stream that is written.
fn of_write(error: &WriteError) -> Option<Ending> {
    let quic = |by, detail| Some(Ending::new(Some("QUIC"), by, detail));
    match error {
        WriteError::ConnectionLost(error) => Some(of_connection(error)),
        WriteError::Stopped(code) => {
            quic(EndedBy::Peer, format!("it reads a stream no longer (STOP_SENDING, {})", application(*code, "")))
        }
        WriteError::ClosedStream => quic(EndedBy::Local, "a stream was closed before all was written".into()),
        WriteError::ZeroRttRejected => None,
    }
}

/// What it says of a stream that is read.
fn of_read(error: &ReadError) -> Option<Ending> {
    let quic = |by, detail| Some(Ending::new(Some("QUIC"), by, detail));
    match error {
        ReadError::ConnectionLost(error) => Some(of_connection(error)),
        ReadError::Reset(code) => {
            quic(EndedBy::Peer, format!("it gave up a stream (RESET_STREAM, {})", application(*code, "")))
        }
        ReadError::ClosedStream => quic(EndedBy::Local, "a stream was closed before all was read".into()),
        ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => None,
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
    use samepath_model::record::End;

    use super::*;

    fn text(error: impl Into<io::Error>, at: Option<End>) -> String {
        match failed(error) {
            TransportError::Ended(ending) => Ending { seen_at: at, ..ending }.to_string(),
            other => panic!("it ends a connection: {other}"),
        }
    }

    #[test]
    fn a_quic_close_is_told_with_its_causes() {
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
}
