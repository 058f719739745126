//! Recorded rates of the bottleneck: what a rate trace is once its file has been read.
//!
//! A trace may be long. So what conditions say of it is short: its name, the checksum of its file, in
//! which form that was read, its length and its mean rate. Its [`Schedule`] is there only where packets
//! are served by it ([`super::files`]).
//!
//! [`form`] has the forms and their words, [`mod@read`] reads them, [`header`] knows the columns of a table by
//! their names, [`schedule`] is what they come to.

pub mod form;
mod header;
mod read;
mod schedule;

use std::fmt;
use std::str::FromStr;

pub use form::{Place, RateUnit, TimeUnit, TraceForm};
pub use read::read;
pub(super) use read::text_of;
pub use schedule::{MICRO, OPPORTUNITY, Schedule, Step, Steps};

use super::ConditionError;
use super::checksum::Checksum;
use super::distribution::one_word;
use crate::units::{BitRate, Duration};

/// A trace that was read.
#[derive(Clone)]
pub struct Trace {
    name: String,
    source: Source,
    period: Duration,
    mean: BitRate,
    schedule: Option<Schedule>,
}

/// Where its opportunities or rates are to be had.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    /// In the text of the conditions themselves: mahimahi's opportunities, few of them.
    Inline,
    /// In a file, which is kept by its checksum.
    Kept { checksum: Checksum, form: TraceForm },
}

impl Trace {
    /// One whose file has this checksum and was read so.
    pub(super) fn kept(name: &str, checksum: Checksum, form: TraceForm, schedule: Schedule) -> Trace {
        Trace {
            name: one_word(name),
            source: Source::Kept { checksum, form },
            period: schedule.period(),
            mean: schedule.mean(),
            schedule: Some(schedule),
        }
    }

    /// Name of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The checksum of the file that must be had to serve packets by it; `None` where there is none.
    pub fn checksum(&self) -> Option<&Checksum> {
        match &self.source {
            Source::Inline => None,
            Source::Kept { checksum, .. } => Some(checksum),
        }
    }

    /// The form in which its file was read.
    pub fn form(&self) -> &TraceForm {
        match &self.source {
            Source::Inline => &TraceForm::Mahimahi,
            Source::Kept { form, .. } => form,
        }
    }

    /// The mean rate over a period.
    pub const fn mean_rate(&self) -> BitRate {
        self.mean
    }

    /// After which time it begins again.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// When how much may pass; `None` where its file has not been read in this process.
    pub const fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }

    /// Takes its schedule from its file's bytes, whose checksum is the right one.
    pub(super) fn load(&mut self, bytes: &[u8]) -> Result<(), ConditionError> {
        let Source::Kept { form, .. } = &self.source else { return Ok(()) };
        let (_, schedule) = read(&self.name, bytes, Some(form))?;
        if (schedule.period(), schedule.mean()) != (self.period, self.mean) {
            return Err(ConditionError::Trace {
                name: self.name.clone(),
                problem: format!(
                    "its file says {} and {} in the mean, and not {} and {}; name the file again",
                    schedule.period(),
                    schedule.mean(),
                    self.period,
                    self.mean
                ),
            });
        }
        self.schedule = Some(schedule);
        Ok(())
    }

    /// For people: its name, how it was read, its mean rate and its length.
    pub(super) fn describe(&self) -> String {
        let mean = self.mean.bits_per_second() as f64 / 1e6;
        let digits = if mean < 0.1 { 4 } else { 1 };
        let period = format!("{:.3}", self.period.as_secs_f64());
        format!(
            "rate of {} ({}; {mean:.digits$} Mbit/s in the mean; again every {}s)",
            self.name,
            self.form().describe(),
            period.trim_end_matches('0').trim_end_matches('.')
        )
    }
}

impl PartialEq for Trace {
    /// Whether both say the same, whoever of them has read its file.
    fn eq(&self, other: &Trace) -> bool {
        match (&self.source, &other.source) {
            (Source::Inline, Source::Inline) => self.name == other.name && self.schedule == other.schedule,
            (a, b) => (a, &self.name, self.period, self.mean) == (b, &other.name, other.period, other.mean),
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({self})")
    }
}

impl fmt::Display for Trace {
    /// `kept NAME sha256:HEX PERIOD MEAN FORM`, or `inline NAME GAP[xCOUNT] …`: milliseconds since the opportunity
    /// before, and how many there are at once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, &self.schedule) {
            (Source::Kept { checksum, form }, _) => {
                write!(f, "kept {} {checksum} {} {} {form}", self.name, self.period, self.mean)
            }
            (Source::Inline, Some(Schedule::Opportunities(all))) => {
                write!(f, "inline {}", self.name)?;
                let mut last = 0;
                for group in all.chunk_by(|a, b| a == b) {
                    match group.len() {
                        1 => write!(f, " {}", group[0] - last)?,
                        n => write!(f, " {}x{n}", group[0] - last)?,
                    }
                    last = group[0];
                }
                Ok(())
            }
            (Source::Inline, _) => Err(fmt::Error),
        }
    }
}

/// Of a trace that stands in the text of conditions; a longer one belongs into a file.
const MOST_INLINE: usize = 1000;

impl FromStr for Trace {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Trace, ConditionError> {
        let wrong = |name: &str, problem: String| ConditionError::Trace { name: name.to_owned(), problem };
        let (word, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text, ""));
        let (name, rest) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest, ""));
        if word == "kept" {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let [checksum, period, mean, form @ ..] = &words[..] else {
                return Err(wrong(name, "`kept` needs its checksum, length, mean rate and form".into()));
            };
            let form = form.join(" ").parse().map_err(|problem| wrong(name, problem))?;
            let checksum = checksum.parse().map_err(|problem| wrong(name, problem))?;
            let source = Source::Kept { checksum, form };
            let (period, mean) = (period.parse()?, mean.parse()?);
            return Ok(Trace { name: one_word(name), source, period, mean, schedule: None });
        }
        let (mut at, mut opportunities) = (0u32, Vec::new());
        for word in rest.split_whitespace() {
            let (gap, count) = word.split_once('x').unwrap_or((word, "1"));
            let (Ok(gap), Ok(count)) = (gap.parse::<u32>(), count.parse::<usize>()) else {
                return Err(wrong(name, format!("`{word}` is not GAP[xCOUNT]")));
            };
            at = at.checked_add(gap).ok_or_else(|| wrong(name, format!("`{word}` is more than there can be")))?;
            if opportunities.len() + count > MOST_INLINE {
                return Err(wrong(name, format!("it has more than {MOST_INLINE} opportunities; put them into a file")));
            }
            opportunities.extend(std::iter::repeat_n(at, count));
        }
        let schedule = read::opportunities(name, opportunities)?;
        let (period, mean) = (schedule.period(), schedule.mean());
        Ok(Trace { name: one_word(name), source: Source::Inline, period, mean, schedule: Some(schedule) })
    }
}

#[cfg(test)]
mod tests;
