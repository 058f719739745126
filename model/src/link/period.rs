//! Repetition of what happens at set times: the words ` every PERIOD`.

use std::fmt;

use super::ConditionError;
use crate::units::Duration;

/// ` every PERIOD`, behind what is repeated.
pub(super) struct Again(pub(super) Option<Duration>);

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |every| write!(f, " every {every}"))
    }
}

/// `WHEN [every PERIOD]`: what is said of the time, and after how long it comes again.
pub(super) fn again(text: &str) -> Result<(&str, Option<Duration>), ConditionError> {
    match text.split_once("every") {
        None => Ok((text.trim(), None)),
        Some((when, every)) => {
            let period = every.trim().parse::<Duration>()?;
            if period < SHORTEST_PERIOD {
                let problem = format!("`every {period}` is too often; give at least {SHORTEST_PERIOD}");
                return Err(ConditionError::Impossible(problem));
            }
            Ok((when.trim(), Some(period)))
        }
    }
}

/// What comes more often than this is no matter of a schedule.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);
