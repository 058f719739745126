//! Content and content codings of messages: what their bytes are, and by what they are made fewer on their way.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::ByteCount;

/// The longest text of a message: so much is there without a part that comes twice.
pub const MOST_TEXT: ByteCount = ByteCount::new(4 << 20);

/// How responses are compressed, as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip (RFC 1952).
    Gzip,
    /// By Zstandard (RFC 8878).
    Zstd,
}

/// A content coding (RFC 9110, section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Codec {
    /// The level where none is asked for: zlib's own, and Zstandard's.
    pub const fn default_level(self) -> u8 {
        match self {
            Codec::Gzip => 6,
            Codec::Zstd => 3,
        }
    }

    /// The highest level; of Zstandard, the one above which a coder takes memory that servers do not give it.
    pub const fn highest_level(self) -> u8 {
        match self {
            Codec::Gzip => 9,
            Codec::Zstd => 19,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
        })
    }
}

impl Compression {
    /// The coding that it is by; `None` where nothing is compressed.
    pub const fn codec(self) -> Option<Codec> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some(Codec::Gzip),
            Compression::Zstd => Some(Codec::Zstd),
        }
    }
}

/// A content coding and how hard it tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// Which one.
    pub codec: Codec,
    /// From 1, the fastest, to [`Codec::highest_level`].
    pub level: u8,
}

/// What the bytes of a message are, which its receiver compares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Content {
    /// Pseudo-random bytes, which no coding makes fewer.
    #[default]
    Random,
    /// A text as an API returns it.
    Text,
    /// The same text compressed: a message's length is that of the text, and how many bytes cross the wire, its sender
    /// learns as it compresses it.
    Compressed(Coding),
}

impl Content {
    /// The coding that it crosses the wire by; `None` where it crosses as it is.
    pub const fn coding(self) -> Option<Coding> {
        match self {
            Content::Random | Content::Text => None,
            Content::Compressed(coding) => Some(coding),
        }
    }
}
