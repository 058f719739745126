//! The pipe as a whole, in virtual time.
