//! How jitter is distributed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Checksum, ConditionError};
use crate::units::serde_as_text;

/// The most entries that the kernel's netem takes (`NETEM_DIST_MAX`).
const MAX_ENTRIES: usize = 16_384;

/// The distribution that jitter is drawn from.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Distribution {
    /// Uniform in [delay − jitter, delay + jitter).
    #[default]
    Uniform,
    /// Normal, with the jitter as its standard deviation.
    Normal,
    /// Pareto with shape 3, shifted and scaled as iproute2's table is.
    Pareto,
    /// A quarter of the normal one and three quarters of the Pareto one, as iproute2's table.
    ParetoNormal,
    /// A table of one's own, in iproute2's format: `table FILE`. Text that names a file must be
    /// replaced by its contents before the conditions are resolved ([`super::files`]).
    Table(DelayTable),
    /// The file of a table that has not been read yet.
    File(String),
}

/// Values of an inverse cumulative distribution at evenly spaced probabilities, in units of the
/// jitter ÷ 8192.
#[derive(Debug, Clone)]
pub struct DelayTable {
    /// Name of the file it came from.
    pub name: String,
    /// The values; none of a kept table whose file has not been read in this process.
    pub values: Arc<[i16]>,
    /// The checksum of its file, which a run keeps; `None` where the text of the conditions has the values.
    pub kept: Option<Checksum>,
}

impl PartialEq for DelayTable {
    /// Whether both say the same, whoever of them has read its file.
    fn eq(&self, other: &DelayTable) -> bool {
        (&self.name, self.kept) == (&other.name, other.kept) && (self.kept.is_some() || self.values == other.values)
    }
}

impl DelayTable {
    /// Reads iproute2's format: whole numbers from −32768 to 32767 apart by white space, and lines
    /// that start with `#`.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn parse(name: &str, text: &str) -> Result<DelayTable, ConditionError> {
        let mut values = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
            for word in line.split_whitespace() {
                values.push(word.parse::<i16>().map_err(|_| ConditionError::Table {
                    name: name.to_owned(),
                    problem: format!("line {}: `{word}` is no whole number from -32768 to 32767", number + 1),
                })?);
            }
        }
        DelayTable::of(name, values)
    }

    fn of(name: &str, values: Vec<i16>) -> Result<DelayTable, ConditionError> {
        if values.is_empty() || values.len() > MAX_ENTRIES {
            let problem = format!("it has {} numbers; 1 to {MAX_ENTRIES} are possible", values.len());
            return Err(ConditionError::Table { name: name.to_owned(), problem });
        }
        Ok(DelayTable { name: one_word(name), values: values.into(), kept: None })
    }
}

/// A name as it stands in text whose parts are apart by spaces.
pub(super) fn one_word(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let word: String = file.chars().map(|c| if c.is_whitespace() || c == ',' { '_' } else { c }).collect();
    if word.is_empty() { "unnamed".to_owned() } else { word }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Uniform => f.pad("uniform"),
            Distribution::Normal => f.pad("normal"),
            Distribution::Pareto => f.pad("pareto"),
            Distribution::ParetoNormal => f.pad("paretonormal"),
            Distribution::File(path) => write!(f, "table {path}"),
            Distribution::Table(DelayTable { name, kept: Some(checksum), .. }) => write!(f, "kept {name} {checksum}"),
            Distribution::Table(DelayTable { name, values, kept: None }) => {
                write!(f, "inline {name}")?;
                values.iter().try_for_each(|value| write!(f, " {value}"))
            }
        }
    }
}

impl FromStr for Distribution {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let text = text.trim();
        match text.split_once(char::is_whitespace) {
            None => match text {
                "uniform" => Ok(Distribution::Uniform),
                "normal" => Ok(Distribution::Normal),
                "pareto" => Ok(Distribution::Pareto),
                "paretonormal" => Ok(Distribution::ParetoNormal),
                _ => Err(ConditionError::Distribution(text.to_owned())),
            },
            Some(("table", path)) if !path.trim().is_empty() => Ok(Distribution::File(path.trim().to_owned())),
            Some(("inline", rest)) => {
                let (name, values) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest, ""));
                DelayTable::parse(name, values).map(Distribution::Table)
            }
            Some(("kept", rest)) => {
                let wrong = || ConditionError::Distribution(text.to_owned());
                let (name, checksum) = rest.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
                let kept = Some(checksum.trim().parse().map_err(|_| wrong())?);
                Ok(Distribution::Table(DelayTable { name: one_word(name), values: Arc::default(), kept }))
            }
            Some(_) => Err(ConditionError::Distribution(text.to_owned())),
        }
    }
}

serde_as_text!(Distribution);
