//! QUIC's packet protection (RFC 9001, section 5), a second time: from the traffic secrets that a key
//! log holds, by other implementations of AES, GCM and HKDF than those that made the packets.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{Aead, Payload};
use hkdf::Hkdf;
use sha2::Sha256;

/// Salt of the initial secrets of version 1 (section 5.2).
const INITIAL_SALT: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f,
    0x0a,
];

pub(crate) type Secret = [u8; 32];

/// What protects the packets of one direction at one level, by TLS_AES_128_GCM_SHA256.
#[derive(Clone)]
pub(crate) struct Keys {
    secret: Secret,
    key: [u8; 16],
    iv: [u8; 12],
    header: [u8; 16],
}

/// A packet without its protection.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) number: u64,
    pub(crate) plaintext: Vec<u8>,
}

/// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
fn expand<const N: usize>(secret: &Secret, label: &str) -> [u8; N] {
    let label = [b"tls13 ", label.as_bytes()].concat();
    let info = [&(N as u16).to_be_bytes()[..], &[label.len() as u8], &label, &[0]].concat();
    let mut out = [0; N];
    Hkdf::<Sha256>::from_prk(secret).unwrap().expand(&info, &mut out).unwrap();
    out
}

impl Keys {
    /// From a traffic secret (section 5.1).
    pub(crate) fn new(secret: Secret) -> Keys {
        let (key, iv, header) = (expand(&secret, "quic key"), expand(&secret, "quic iv"), expand(&secret, "quic hp"));
        Keys { secret, key, iv, header }
    }

    /// Those of Initial packets, the client's and the server's, from the connection ID to which the
    /// client sent its first (section 5.2).
    pub(crate) fn initial(id: &[u8]) -> [Keys; 2] {
        let (initial, _) = Hkdf::<Sha256>::extract(Some(&INITIAL_SALT), id);
        ["client in", "server in"].map(|label| Keys::new(expand(&initial.into(), label)))
    }

    /// Those of the next key phase; header protection stays (section 6).
    pub(crate) fn next(&self) -> Keys {
        Keys { header: self.header, ..Keys::new(expand(&self.secret, "quic ku")) }
    }

    /// What header protection is made of, from 16 bytes of ciphertext (section 5.4.3).
    fn mask(&self, sample: &[u8; 16]) -> [u8; 5] {
        let mut block = (*sample).into();
        Aes128::new(&self.header.into()).encrypt_block(&mut block);
        std::array::from_fn(|i| block[i])
    }

    /// First byte and packet number, unprotected, and the length of the latter (section 5.4.1).
    pub(crate) fn unprotect(&self, packet: &[u8], number_at: usize) -> Option<(Vec<u8>, u64, usize)> {
        let mask = self.mask(packet.get(number_at + 4..)?.first_chunk()?);
        let mut header = packet[..number_at].to_vec();
        header[0] ^= mask[0] & if packet[0] & 0x80 != 0 { 0x0f } else { 0x1f };
        let length = usize::from(header[0] & 0x03) + 1;
        header.extend((0..length).map(|i| packet[number_at + i] ^ mask[1 + i]));
        let truncated = header[number_at..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some((header, truncated, length))
    }

    /// Opens the payload behind an unprotected header (section 5.3); `None` where the tag is wrong.
    pub(crate) fn open(&self, header: &[u8], number: u64, ciphertext: &[u8]) -> Option<Opened> {
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(number.to_be_bytes()).for_each(|(byte, n)| *byte ^= n);
        let plaintext =
            Aes128Gcm::new(&self.key.into()).decrypt(&nonce.into(), Payload { msg: ciphertext, aad: header }).ok()?;
        Some(Opened { number, plaintext })
    }
}

/// The packet number of which `truncated` are the low bits, next to the largest seen (RFC 9000,
/// appendix A.3).
pub(crate) fn full_number(largest: Option<u64>, truncated: u64, length: usize) -> u64 {
    let expected = largest.map_or(0, |largest| largest + 1);
    let window = 1u64 << (8 * length);
    let candidate = (expected & !(window - 1)) | truncated;
    if candidate + window / 2 <= expected && candidate + window < 1 << 62 {
        candidate + window
    } else if candidate > expected + window / 2 && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// RFC 9001, appendix A.1.
#[test]
fn initial_keys_are_the_rfcs() {
    let [client, server] = Keys::initial(&hex("8394c8f03e515708"));
    assert_eq!(client.secret[..], hex("c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea"));
    assert_eq!(client.key[..], hex("1f369613dd76d5467730efcbe3b1a22d"));
    assert_eq!(client.iv[..], hex("fa044b2f42a3fd3b46fb255c"));
    assert_eq!(client.header[..], hex("9f50449e04a0e810283a1e9933adedd2"));
    assert_eq!(server.secret[..], hex("3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b"));
    assert_eq!(server.key[..], hex("cf3a5331653c364c88f0f379b6067e37"));
    assert_eq!(server.iv[..], hex("0ac1493ca1905853b0bba03e"));
    assert_eq!(server.header[..], hex("c206b8d9b9f0f37644430b490eeaa314"));
}

/// RFC 9001, appendix A.2: the client's Initial, sealed here, for its samples and its tag.
#[test]
fn the_clients_initial_is_the_rfcs() {
    let [client, _] = Keys::initial(&hex("8394c8f03e515708"));
    let mut plaintext = hex("060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c
         00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006
         001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa4
         7fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e040305
         0306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ff
         ff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff");
    plaintext.resize(1162, 0);
    let header = hex("c300000001088394c8f03e5157080000449e00000002");
    let mut nonce = client.iv;
    nonce[11] ^= 2;
    let payload = Payload { msg: &plaintext, aad: &header };
    let ciphertext = Aes128Gcm::new(&client.key.into()).encrypt(&nonce.into(), payload).unwrap();
    assert_eq!(ciphertext[..16], hex("d1b1c98dd7689fb8ec11d242b123dc9b"));
    assert_eq!(ciphertext[ciphertext.len() - 16..], hex("e221af44860018ab0856972e194cd934"));
    assert_eq!(client.mask(ciphertext.first_chunk().unwrap())[..], hex("437b9aec36"));
    let packet = [hex("c000000001088394c8f03e5157080000449e7b9aec34"), ciphertext].concat();
    assert_eq!(packet.len(), 1200);
    let (unprotected, number, length) = client.unprotect(&packet, 18).unwrap();
    assert_eq!((&unprotected, number, length), (&header, 2, 4));
    assert_eq!(client.open(&unprotected, number, &packet[18 + length..]).unwrap().plaintext, plaintext);
}

/// RFC 9001, appendix A.3: the server's Initial, opened.
#[test]
fn the_servers_initial_is_the_rfcs() {
    let [_, server] = Keys::initial(&hex("8394c8f03e515708"));
    let mut packet = hex("cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69
         797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73
         cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456
         cbc42158407dd074ee");
    let (header, number, length) = server.unprotect(&packet, 18).unwrap();
    assert_eq!((&header, number, length), (&hex("c1000000010008f067a5502a4262b50040750001"), 1, 2));
    let opened = server.open(&header, number, &packet[20..]).unwrap();
    let expected = hex("02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc543
         0b9a045a1200130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c83
         4d5311bcf32bb9da1a002b00020304");
    assert_eq!(opened.plaintext, expected);
    packet[60] ^= 1;
    assert!(server.open(&header, number, &packet[20..]).is_none(), "a flipped bit is found");
}

/// RFC 9000, appendix A.3, with its example.
#[test]
fn packet_numbers_are_completed() {
    assert_eq!(full_number(Some(0xa82f_30ea), 0x9b32, 2), 0xa82f_9b32);
    assert_eq!((full_number(None, 0, 1), full_number(Some(255), 0, 1), full_number(Some(256), 255, 1)), (0, 256, 255));
}
