//! Stages of a server's shutdown.

/// How far the end has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    /// Not at all.
    #[default]
    Running,
    /// No new sessions; those that run may finish, for a bounded time.
    Draining,
    /// At once.
    Now,
}
