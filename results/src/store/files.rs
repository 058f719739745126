//! Files that are either whole or not there.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::StoreError;

/// Writes a file whole or not at all: beside its place, synced, then renamed over it.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let mut file = partial(path).map_err(StoreError::io("write", path))?;
    file.write_all(content).map_err(StoreError::io("write", path))?;
    put_in_place(file, path)
}

/// Writes a file that a user has named: whole or not at all. A device or a pipe takes what is written.
///
/// # Errors
/// Where it cannot be written.
pub fn write_named(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    match Destination::of(path).map_err(StoreError::io("write", path))? {
        Destination::File(file) => write_atomically(&file, content),
        Destination::Stream(mut stream) => stream.write_all(content).map_err(StoreError::io("write", path)),
    }
}

/// Makes sure that a file that a user has named can be written, before there is anything to write; it leaves nothing.
///
/// # Errors
/// As [`write_named`], as far as that can be known.
pub fn check_named(path: &Path) -> Result<(), StoreError> {
    /// As much as a disk gives at a time.
    const BLOCK: [u8; 4096] = [b' '; 4096];
    // To open a pipe would end it for its reader.
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Ok(());
    }
    match Destination::of(path).map_err(StoreError::io("write", path))? {
        Destination::File(file) => {
            partial(&file).and_then(|mut file| file.write_all(&BLOCK)).map_err(StoreError::io("write", path))
        }
        Destination::Stream(_) => Ok(()),
    }
}

/// A file that is to become `path`, beside it until it is whole.
pub(super) fn partial(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".partial");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any file that a program makes; the process's umask takes its share.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(directory_of(path))
}

/// Syncs a file that is whole, and renames it over `path`.
pub(super) fn put_in_place(file: NamedTempFile, path: &Path) -> Result<(), StoreError> {
    file.as_file().sync_all().map_err(StoreError::io("sync", path))?;
    file.persist(path).map_err(|error| StoreError::io("move to its place", path)(error.error))?;
    sync_directory(directory_of(path))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What a user has named to be written to.
pub(super) enum Destination {
    /// A file, there or not; of a link the file that it leads to.
    File(PathBuf),
    /// A device or a pipe. It takes what is written, and must not be replaced.
    Stream(File),
}

impl Destination {
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn of(path: &Path) -> io::Result<Destination> {
        match fs::metadata(path) {
            Ok(found) if found.is_file() => fs::canonicalize(path).map(Destination::File),
            Ok(_) => File::options().write(true).open(path).map(Destination::Stream),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Destination::File(path.to_owned())),
            Err(error) => Err(error),
        }
    }
}

/// Makes a rename or a new file in a directory outlive a power cut.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    match File::open(path).and_then(|directory| directory.sync_all()) {
        // Some file systems cannot sync a directory, and say so.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other.map_err(StoreError::io("sync", path)),
    }
}

/// Removes a directory and everything in it, if it is there.
pub(crate) fn remove_tree(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(StoreError::io("remove", path)),
    }
}

/// SHA-256 of a file, in hexadecimal.
pub(crate) fn checksum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(samepath_model::hex(&hash.finalize()))
}
