//! Proof of the token, bound to the TLS session that it is shown on.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::TransportError;

/// Which end proves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Prover {
    Client,
    Server,
}

/// A TLS session's own value, the same at both of its ends and nowhere else.
pub(super) type Binding = [u8; 32];

fn mac(token: &str, prover: Prover, binding: &Binding) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(match prover {
        Prover::Client => b"samepath client",
        Prover::Server => b"samepath server",
    });
    mac.update(binding);
    mac
}

pub(super) fn prove(token: &str, prover: Prover, binding: &Binding) -> [u8; 32] {
    mac(token, prover, binding).finalize().into_bytes().into()
}

/// In constant time.
pub(super) fn is_proven(token: &str, prover: Prover, binding: &Binding, proof: &[u8; 32]) -> bool {
    mac(token, prover, binding).verify_slice(proof).is_ok()
}

pub(super) fn binding(stream: &TlsStream<TcpStream>) -> Result<Binding, TransportError> {
    const LABEL: &[u8] = b"EXPORTER-samepath-token";
    Ok(match stream {
        TlsStream::Client(stream) => stream.get_ref().1.export_keying_material([0; 32], LABEL, None)?,
        TlsStream::Server(stream) => stream.get_ref().1.export_keying_material([0; 32], LABEL, None)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_bound_to_token_role_and_connection() {
        let (one, other) = ([1; 32], [2; 32]);
        let proof = prove("secret", Prover::Client, &one);
        assert!(is_proven("secret", Prover::Client, &one, &proof));
        assert!(!is_proven("Secret", Prover::Client, &one, &proof));
        assert!(!is_proven("secret", Prover::Server, &one, &proof));
        assert!(!is_proven("secret", Prover::Client, &other, &proof));
    }
}
