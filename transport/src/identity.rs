//! Who the server is: a certificate made at start, and clients that accept that one alone.
//!
//! Nobody signs for a lab server, so trust is by **fingerprint** (SHA-256 of the certificate). A
//! client either pins the fingerprint it was given, or learns it over a control connection whose
//! server proves, bound to that very TLS session, that it knows the shared token (see
//! [`crate::control`]). Data connections by TLS and QUIC always pin; those by TCP and UDP have no certificate, and show
//! their session's secret in clear. No code path goes on with a certificate that was neither pinned nor proven.
//!
//! One provider, one protocol version, one key exchange, one cipher suite, for TLS and QUIC alike.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use sha2::{Digest, Sha256};

use crate::TransportError;
use crate::quic::protection;

/// ALPN (RFC 7301) of the control connection.
pub const ALPN_CONTROL: &[u8] = b"samepath-control";
/// ALPN of data connections.
pub const ALPN_DATA: &[u8] = b"samepath";

/// The name in the certificate. It proves nothing; the fingerprint does.
pub const SERVER_NAME: &str = "samepath";

/// The one crypto provider: ring, X25519 alone (a post-quantum share would enlarge the
/// ClientHello), and the cipher suite that every QUIC stack must have (RFC 9001, section 5), by which
/// QUIC's packets can be observed.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        cipher_suites: vec![protection::suite()],
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    })
});

/// The SHA-256 of a certificate, written `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of this certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Fingerprint {
        Fingerprint(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", samepath_model::hex(&self.0))
    }
}

/// Text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a fingerprint: copy the one that the server prints, `sha256:` and 64 hexadecimal digits")]
pub struct FingerprintError(String);

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let fail = || FingerprintError(text.to_owned());
        let digits: String = text.strip_prefix("sha256:").unwrap_or(text).chars().filter(|c| *c != ':').collect();
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(fail());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| fail())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| fail())?;
        }
        Ok(Fingerprint(bytes))
    }
}

/// Fills a buffer from the provider's cryptographic source.
///
/// # Panics
/// When the kernel has no randomness, without which nothing here is safe.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    PROVIDER.secure_random.fill(&mut bytes).expect("the kernel provides randomness");
    bytes
}

/// A server's certificate and key.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    /// A new one: self-signed, ECDSA P-256, some 400 bytes, so that the handshake's first flight
    /// stays far below QUIC's anti-amplification limit.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn generate() -> Result<Identity, TransportError> {
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])
            .map_err(|error| TransportError::Control(format!("cannot make a certificate: {error}")))?;
        Ok(Identity { certificate: made.cert.der().clone(), key: made.signing_key.serialize_der().into() })
    }

    /// The certificate's fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// TLS settings of a server that presents this identity.
    ///
    /// # Errors
    /// When the key does not suit the provider.
    pub fn server_config(&self, alpn: &[u8]) -> Result<ServerConfig, TransportError> {
        let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], PrivateKeyDer::Pkcs8(self.key.clone_key()))?;
        config.alpn_protocols = vec![alpn.to_vec()];
        // Every trial is a first visit: no tickets, which would be extra packets on the wire.
        config.send_tls13_tickets = 0;
        config.key_log = Arc::new(rustls::KeyLogFile::new());
        Ok(config)
    }
}

/// Which certificate a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// This one.
    Exactly(Fingerprint),
    /// For the control connection alone: whichever, provided the server then proves over this very
    /// connection that it knows the token. [`crate::control::connect`] says nothing but its own
    /// proof, and its version, before it has checked the server's.
    ProvenByToken,
}

/// Accepts by fingerprint.
#[derive(Debug)]
pub struct PinnedVerifier {
    pin: Pin,
    seen: Mutex<Option<Fingerprint>>,
}

impl PinnedVerifier {
    /// The fingerprint that the server presented last.
    pub fn seen(&self) -> Option<Fingerprint> {
        *self.seen.lock().expect("no panic while held")
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = Fingerprint::of(certificate);
        *self.seen.lock().expect("no panic while held") = Some(seen);
        match self.pin {
            Pin::Exactly(pinned) if pinned != seen => {
                Err(rustls::Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure))
            }
            Pin::Exactly(_) | Pin::ProvenByToken => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

/// TLS settings of a client that accepts the pinned certificate alone, and the verifier, which
/// remembers what it saw.
///
/// # Errors
/// When the provider does not have TLS 1.3.
pub fn client_config(pin: Pin, alpn: &[u8]) -> Result<(ClientConfig, Arc<PinnedVerifier>), TransportError> {
    let verifier = Arc::new(PinnedVerifier { pin, seen: Mutex::new(None) });
    // rustls calls every own verifier dangerous; this one is stricter than a chain of authorities.
    let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config.key_log = Arc::new(rustls::KeyLogFile::new());
    Ok((config, verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_round_trip_and_nonsense_is_refused() {
        let fingerprint = Identity::generate().unwrap().fingerprint();
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        for text in ["", "sha256:", "sha256:zz", &"g".repeat(64), &"é".repeat(32)] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_pin_rejects_every_other_certificate() {
        let (ours, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let (_, verifier) = client_config(Pin::Exactly(ours.fingerprint()), ALPN_DATA).unwrap();
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        let check = |id: &Identity| verifier.verify_server_cert(&id.certificate, &[], &name, &[], UnixTime::now());
        assert!(check(&ours).is_ok());
        assert!(check(&other).is_err());
        assert_eq!(verifier.seen(), Some(other.fingerprint()));
    }
}
