//! What is said to people, on stderr, to which nobody need be listening.

use std::fmt;
use std::io::Write;

/// Writes a line to stderr, as `eprintln!` does, and goes on where it cannot be written: whoever read there
/// may have gone, as `head` does, or the disk may be full, and no work is worth less for that.
#[macro_export]
macro_rules! tell {
    ($($words:tt)*) => { $crate::tell::line(format_args!($($words)*)) };
}

/// What [`tell!`](crate::tell!) does.
pub fn line(words: fmt::Arguments<'_>) {
    // In one piece: what is run for the user writes there, too.
    let _ = std::io::stderr().write_all(format!("{words}\n").as_bytes());
}
