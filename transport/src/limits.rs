//! What an end may have of its system at once.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Lets this process have as many files open as its hard limit permits, each connection being one; the soft limit is
/// 1024 nearly everywhere. Where that is refused it stays as it was.
pub fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
