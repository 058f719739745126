//! The book of a server end: what the driver has recorded is in a file before it is told so.
//!
//! Several entries that come together are written and synced together (group commit): a sync takes milliseconds, and
//! whatever comes meanwhile waits for the next.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use samepath_model::book::{Entry, Keeping, whole_lines};
use samepath_model::workload::Event;
use tokio::sync::mpsc;

use crate::shared::Shared;
use crate::{TransportError, clock};

/// A book that is open.
#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    file: File,
    keeping: Keeping,
    /// What it held as it was opened.
    found: Vec<Entry>,
    /// What is to be written when the session ends.
    kept: Vec<Entry>,
}

impl Book {
    /// Opens the book at this path, and reads what it holds: one that is kept in memory begins empty.
    ///
    /// # Errors
    /// When it cannot be opened, another session has it, or it is no book.
    pub fn open(path: &Path, keeping: Keeping) -> Result<Book, TransportError> {
        let failed = |cause| TransportError::Book { path: path.to_owned(), cause };
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(failed(io::Error::new(io::ErrorKind::ResourceBusy, "another session writes it")));
            }
            // Some network file systems cannot lock; then it is on the user to give it to one server only.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let found = match keeping {
            Keeping::Memory => Vec::new(),
            Keeping::Synced => read(&mut file).map_err(failed)?,
        };
        Ok(Book { path: path.to_owned(), file, keeping, found, kept: Vec::new() })
    }

    /// What it held as it was opened.
    pub(crate) fn take_found(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.found)
    }

    /// Records these: they are on the disk when this comes back, unless the book is kept in memory.
    fn record(&mut self, entries: &[Entry]) -> Result<(), TransportError> {
        match self.keeping {
            Keeping::Memory => self.kept.extend_from_slice(entries),
            Keeping::Synced => self.write(entries)?,
        }
        Ok(())
    }

    fn write(&mut self, entries: &[Entry]) -> Result<(), TransportError> {
        let mut lines = Vec::with_capacity(entries.len() * 64);
        for entry in entries {
            serde_json::to_writer(&mut lines, entry).expect("an entry always has a JSON form");
            lines.push(b'\n');
        }
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        written.map_err(|cause| TransportError::Book { path: self.path.clone(), cause })
    }

    /// Writes what was kept in memory.
    fn close(mut self) -> Result<(), TransportError> {
        let kept = std::mem::take(&mut self.kept);
        if kept.is_empty() { Ok(()) } else { self.write(&kept) }
    }
}

/// Reads the entries of a book, takes away what is half-written at its end, and stands there.
fn read(file: &mut File) -> io::Result<Vec<Entry>> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let whole = whole_lines(&text);
    let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let entries = lines.enumerate().map(|(n, line)| {
        serde_json::from_slice(line).map_err(|error| {
            let said = format!("line {} is no payment ({error}); name a file of its own", n + 1);
            io::Error::new(io::ErrorKind::InvalidData, said)
        })
    });
    let entries = entries.collect::<io::Result<Vec<Entry>>>()?;
    if whole.len() < text.len() {
        file.set_len(whole.len() as u64)?;
        file.sync_data()?;
    }
    file.seek(SeekFrom::Start(whole.len() as u64))?;
    Ok(entries)
}

/// Records what the driver wants recorded, and tells it.
pub(crate) async fn keep(
    shared: Arc<Shared>,
    mut book: Book,
    mut entries: mpsc::UnboundedReceiver<Entry>,
) -> Result<(), TransportError> {
    let mut together = Vec::new();
    while entries.recv_many(&mut together, usize::MAX).await > 0 {
        let began = clock::now();
        // A sync holds up its thread.
        let recording = tokio::task::spawn_blocking(move || (book.record(&together), book, together));
        let recorded;
        (recorded, book, together) = recording.await.map_err(io::Error::other)?;
        recorded?;
        shared.note_sync(clock::now().saturating_sub(began));
        for entry in together.drain(..) {
            shared.drive(Event::Recorded(entry), clock::now());
        }
    }
    // The driver is done, and with it the session, but for its report.
    tokio::task::spawn_blocking(|| book.close()).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(payment: u32) -> Entry {
        Entry { user: 1, payment, attempt: 1, amount: 5 }
    }

    fn open(path: &Path) -> Book {
        Book::open(path, Keeping::Synced).unwrap()
    }

    #[test]
    fn a_book_is_found_again_without_its_torn_line() {
        let path = std::env::temp_dir().join(format!("samepath-book-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut book = open(&path);
        assert_eq!(book.take_found(), []);
        book.record(&[entry(0), entry(1)]).unwrap();
        let said = Book::open(&path, Keeping::Synced).unwrap_err().to_string();
        assert!(said.contains("another session"), "{said}");
        drop(book);
        let half =
            |path: &Path| OpenOptions::new().append(true).open(path).unwrap().write_all(b"{\"user\":1,\"pay").unwrap();
        half(&path);
        let mut book = open(&path);
        assert_eq!(book.take_found(), [entry(0), entry(1)]);
        book.record(&[entry(2)]).unwrap();
        drop(book);
        assert_eq!(open(&path).take_found(), [entry(0), entry(1), entry(2)]);
        // What memory held is there once the session ends, and is not found by the next.
        let mut book = Book::open(&path, Keeping::Memory).unwrap();
        assert_eq!(book.take_found(), []);
        book.record(&[entry(3)]).unwrap();
        drop(book);
        std::fs::write(&path, "{}\n").unwrap();
        let said = Book::open(&path, Keeping::Synced).unwrap_err().to_string();
        assert!(said.contains("line 1 is no payment") && said.contains("a file of its own"), "{said}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_full_disk_is_an_error_with_the_remedy() {
        let full = Path::new("/dev/full");
        let file = OpenOptions::new().write(true).open(full).unwrap();
        let mut book =
            Book { path: full.to_owned(), file, keeping: Keeping::Synced, found: Vec::new(), kept: Vec::new() };
        let said = book.record(&[entry(0)]).unwrap_err().to_string();
        assert!(said.contains("/dev/full") && said.contains("no payment is confirmed"), "{said}");
        assert!(said.contains("free space"), "{said}");
        let said = Book::open(full, Keeping::Synced).unwrap_err().to_string();
        assert!(said.contains("no regular file"), "{said}");
    }
}
