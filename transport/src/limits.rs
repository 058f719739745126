//! What an end may have of its system at once.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Lets this process have no more files open than so many.
///
/// # Errors
/// When the system refuses.
pub fn limit_open_files(files: u32) -> std::io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard.min(files.into()), hard)?)
}

/// Lets this process have as many files open as its hard limit permits, each connection being one; the soft limit is
/// 1024 nearly everywhere. Where that is refused it stays as it was.
pub fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
