//! The book of a server that is paid: a file with a line for each payment that it has recorded.
//!
//! A line is JSON, and ends with a line feed. What follows the last line feed was being written when the server was killed:
//! it was never synced, so nobody was told of it, and it is no part of the book.

use serde::{Deserialize, Serialize};

/// A payment in the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Who pays.
    pub user: u16,
    /// Which of the user's payments it is, from 0. User and number are its key.
    pub payment: u32,
    /// The attempt that was recorded, from 1.
    pub attempt: u32,
    /// How much is paid, in cents.
    pub amount: u64,
}

/// Where a book is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keeping {
    /// In a file, which is synced before a payment is confirmed.
    #[default]
    Synced,
    /// In the server's memory; it is written down when the session ends.
    Memory,
}

/// The whole lines of a book's text, without what a killed server has left half-written.
pub fn whole_lines(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_no_part_of_a_book() {
        for (text, whole) in
            [("", ""), ("{\"us", ""), ("{}\n", "{}\n"), ("{}\n{}\n{\"user\":1", "{}\n{}\n"), ("\n", "\n")]
        {
            assert_eq!(whole_lines(text.as_bytes()), whole.as_bytes());
        }
    }

    #[test]
    fn an_entry_is_a_line_of_names_and_numbers() {
        let entry = Entry { user: 3, payment: 17, attempt: 2, amount: 4_217 };
        let line = serde_json::to_string(&entry).unwrap();
        assert_eq!(line, r#"{"user":3,"payment":17,"attempt":2,"amount":4217}"#);
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry);
    }
}
