//! Trial of a backend: whether a link can be brought up on it here.

use samepath_model::{Link, Mode};

use super::error::{Failure, LinkError};
use super::words::with_remedy;
use crate::backend::Backend;
use crate::namespace::{OnTerminate, contain};
use crate::path::{Around, Keep, LivePath};

/// Whether a link can be brought up on this backend here: tries it, with one that has no conditions and comes down
/// again at once. The calling process must have one thread, and may be in a user namespace of its own afterwards.
/// Gives back, in words, which kernel settings of its ends are not as they were asked for.
///
/// # Errors
/// What stands against it, with the remedy: [`LinkError::is_lack`] tells what this machine cannot do from what
/// went wrong.
pub fn attempt(backend: Backend) -> Result<Option<String>, LinkError> {
    let bytes = contain(OnTerminate::Kill, || {
        let path = LivePath::up(&Link::transparent(), 0, backend, Mode::Auto, Keep::default(), Around::Nothing);
        let tried = path.map(|path| path.not_granted().map(with_remedy)).map_err(Failure::from);
        serde_json::to_vec(&tried).expect("a failure always has a text form")
    })?;
    let tried: Result<Option<String>, Failure> = serde_json::from_slice(&bytes)?;
    Ok(tried?)
}
