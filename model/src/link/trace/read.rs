//! Reads the files of rate traces: detects their form where none was said, and names what is wrong with the line
//! and what to write.

use super::form::{Place, RateUnit, TimeUnit, TraceForm};
use super::header::{self, Unclear};
use super::schedule::{MICRO, Schedule, Step, Steps};
use crate::link::ConditionError;

/// A column of times without a unit whose values all lie at least this far apart may as well be in milliseconds.
const FAR_APART: u64 = 100 * TimeUnit::S.nanos;
/// Seconds since 1970 are less than this for a long time yet; milliseconds are more.
const NO_SECONDS: u64 = 10_000_000_000;
/// Where rates have no unit, and this many Mbit/s or more in the mean, they may as well be in kbit/s or bit/s.
const FAST: u64 = 1000;
/// More than a link of this lab can have, in bits a second; and so that no product of a rate and a time is too large.
const MOST: u64 = 1_000_000_000_000;

/// Reads a trace in this form, or in the one that it is found to have; the form says the columns by their numbers.
///
/// # Errors
/// Names the line that is wrong, and what to write instead.
pub fn read(name: &str, bytes: &[u8], form: Option<&TraceForm>) -> Result<(TraceForm, Schedule), ConditionError> {
    File { name, form }.read(bytes).map_err(|problem| ConditionError::Trace { name: name.to_owned(), problem })
}

/// The schedule of mahimahi's opportunities.
pub(super) fn opportunities(name: &str, all: Vec<u32>) -> Result<Schedule, ConditionError> {
    let problem = match all.last() {
        None => EMPTY,
        Some(0) => "it ends at 0 ms, and so would never go on; its last line is its period",
        Some(_) => return Ok(Schedule::Opportunities(all.into())),
    };
    Err(ConditionError::Trace { name: name.to_owned(), problem: problem.to_owned() })
}

const EMPTY: &str = "it is empty; a line has a number of milliseconds (mahimahi), or a time and a rate";

struct File<'a> {
    name: &'a str,
    form: Option<&'a TraceForm>,
}

/// A line that says something, and its number.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    fn wrong<T>(self, problem: impl std::fmt::Display) -> Result<T, String> {
        Err(format!("line {}: {problem}", self.number))
    }
}

/// What parts the fields of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Separator {
    Mark(char),
    Space,
}

impl Separator {
    fn of(line: &str) -> Separator {
        [';', ',', '\t'].into_iter().find(|mark| line.contains(*mark)).map_or(Separator::Space, Separator::Mark)
    }

    fn split(self, line: &str) -> impl Iterator<Item = &str> {
        let (marked, spaced) = match self {
            Separator::Mark(mark) => (Some(line.split(mark)), None),
            Separator::Space => (None, Some(line.split_whitespace())),
        };
        marked.into_iter().flatten().chain(spaced.into_iter().flatten()).map(|field| field.trim().trim_matches('"'))
    }
}

impl File<'_> {
    fn read(&self, bytes: &[u8]) -> Result<(TraceForm, Schedule), String> {
        let text = text_of(bytes)?;
        let mut lines = lines(text).peekable();
        // A comment may be the header.
        let mut comment = None;
        while let Some(line) = lines.next_if(|line| line.text.starts_with('#')) {
            comment = Some(line.text.trim_start_matches('#').trim());
        }
        let Some(&first) = lines.peek() else { return Err(EMPTY.into()) };
        let lines = lines.filter(|line| !line.text.starts_with('#'));
        if first.text.starts_with(['{', '[']) {
            return Err("it looks like JSON; write a time and a rate a line, as `0.5 2.68` (s and Mbit/s)".into());
        }
        let separator = Separator::of(first.text);
        let fields: Vec<&str> = separator.split(first.text).collect();
        let has_header = !fields.iter().any(|field| is_number(field));
        match self.form {
            Some(TraceForm::Mahimahi) => mahimahi(self.name, lines),
            Some(TraceForm::Columns { time, rate }) => {
                let names =
                    if has_header { Some(fields) } else { comment.map(|it| Separator::of(it).split(it).collect()) };
                let find = |place: &Place| self.find(place, names.as_deref());
                let columns = Columns { time: (find(&time.0)?, time.1), rate: (find(&rate.0)?, rate.1), separator };
                columns.read(lines.skip(has_header.into())).map(|schedule| (columns.form(), schedule))
            }
            None if fields.len() == 1 => mahimahi(self.name, lines),
            None => {
                let (columns, unsaid) = self.detect(&fields, has_header, comment, separator)?;
                let mut lines = lines.skip(has_header.into()).peekable();
                let start = lines.peek().and_then(|line| decimal(columns.fields(*line).ok()?.0, 1));
                self.refuse_doubtful_times(&columns, unsaid, start)?;
                let schedule = columns.read(lines)?;
                self.refuse_doubtful(&columns, unsaid, &schedule)?;
                Ok((columns.form(), schedule))
            }
        }
    }

    /// The columns of times and rates, and which of their units nobody has said.
    fn detect(
        &self,
        fields: &[&str],
        has_header: bool,
        comment: Option<&str>,
        separator: Separator,
    ) -> Result<(Columns, Unsaid), String> {
        // A comment that has as many words as there are columns, and makes sense, is their header.
        let named: Option<Vec<&str>> = comment.map(|comment| Separator::of(comment).split(comment).collect());
        let named = named.filter(|named| named.len() == fields.len() && header::read(named).is_ok());
        let read = |names: &[&str]| {
            let found = header::read(names).map_err(|unclear| self.unclear(&unclear))?;
            let time = (found.time.0, found.time.1.unwrap_or(TimeUnit::S));
            let unsaid = Unsaid { time: found.time.1.is_none(), rate: false };
            Ok((Columns { time, rate: found.rate, separator }, unsaid))
        };
        if has_header {
            return read(fields);
        }
        if let Some(names) = named {
            return read(&names);
        }
        if fields.len() != 2 {
            let columns = fields.len();
            let unclear = Unclear {
                problem: format!("it has {columns} columns, and no header that says which are times and rates"),
                forms: vec!["columns 1:s 2:Mbit".into()],
            };
            return Err(format!("{}, if that is where they are", self.unclear(&unclear)));
        }
        let columns = Columns { time: (1, TimeUnit::S), rate: (2, RateUnit::MBIT), separator };
        Ok((columns, Unsaid { time: true, rate: true }))
    }

    /// Refuses values that would be odd in the units that nobody has said.
    fn refuse_doubtful(&self, columns: &Columns, unsaid: Unsaid, schedule: &Schedule) -> Result<(), String> {
        let Schedule::Steps(steps) = schedule else { return Ok(()) };
        if unsaid.time && steps.steps().windows(2).all(|pair| pair[1].from - pair[0].from >= FAR_APART) {
            return self.doubt_times(columns);
        }
        if unsaid.rate && schedule.mean().bits_per_second() >= FAST * RateUnit::MBIT.bits() {
            let problem = "its rates have no unit, and are many for Mbit/s";
            let forms = [RateUnit::MBIT, RateUnit::KBIT, RateUnit::BIT];
            return self.doubt(problem, forms.map(|unit| Columns { rate: (columns.rate.0, unit), ..*columns }));
        }
        Ok(())
    }

    /// Likewise for the first time.
    fn refuse_doubtful_times(&self, columns: &Columns, unsaid: Unsaid, start: Option<u64>) -> Result<(), String> {
        if unsaid.time && start.is_some_and(|start| start >= NO_SECONDS) { self.doubt_times(columns) } else { Ok(()) }
    }

    fn doubt_times(&self, columns: &Columns) -> Result<(), String> {
        let problem = "its times have no unit, and may be seconds or milliseconds";
        let forms = [TimeUnit::S, TimeUnit::MS].map(|unit| Columns { time: (columns.time.0, unit), ..*columns });
        self.doubt(problem, forms)
    }

    fn doubt(&self, problem: &str, forms: impl IntoIterator<Item = Columns>) -> Result<(), String> {
        let forms = forms.into_iter().map(|columns| columns.form().to_string()).collect();
        Err(self.unclear(&Unclear { problem: problem.into(), forms }))
    }

    /// The number of a column.
    fn find(&self, place: &Place, names: Option<&[&str]>) -> Result<usize, String> {
        match place {
            Place::Number(0) => Err("column 0: columns count from 1".into()),
            Place::Number(number) => Ok(*number),
            Place::Name(wanted) => {
                let Some(names) = names else {
                    return Err(format!("there is no column `{wanted}`: it has no header; write the column's number"));
                };
                let found = names.iter().position(|name| name == wanted);
                found.map(|at| at + 1).ok_or_else(|| {
                    format!("there is no column `{wanted}`; write one of {}, or its number", names.join(", "))
                })
            }
        }
    }

    fn unclear(&self, unclear: &Unclear) -> String {
        let forms: Vec<String> = unclear.forms.iter().map(|form| format!("`{form} {}`", self.name)).collect();
        match &forms[..] {
            [] => format!(
                "{}; say which columns they are, and in which units: `columns 1:s 2:Mbit {}`",
                unclear.problem, self.name
            ),
            forms => format!("{}; write {}", unclear.problem, forms.join(" or ")),
        }
    }
}

/// Which units are taken because they are the usual ones.
#[derive(Debug, Clone, Copy)]
struct Unsaid {
    time: bool,
    rate: bool,
}

/// The text of a file without its byte-order mark.
pub(in crate::link) fn text_of(bytes: &[u8]) -> Result<&str, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it begins with the byte-order mark of UTF-16; save it as UTF-8".into());
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line}: it is no text in UTF-8; save it as such, or unpack it if it is compressed")
    })
}

/// The lines that say something, their ends as on any system.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let end = if text.contains('\n') { '\n' } else { '\r' };
    let numbered = text.split(end).enumerate().map(|(index, text)| Line { number: index + 1, text: text.trim() });
    numbered.filter(|line| !line.text.is_empty())
}

fn mahimahi<'a>(name: &str, lines: impl Iterator<Item = Line<'a>>) -> Result<(TraceForm, Schedule), String> {
    let mut all: Vec<u32> = Vec::new();
    for line in lines {
        let Ok(at) = line.text.parse::<u32>() else {
            return line.wrong(format!(
                "`{}` is no whole number of milliseconds, which mahimahi's form has a line; a table has a time and a \
                 rate a line",
                line.text
            ));
        };
        if let Some(last) = all.last().filter(|last| **last > at) {
            return line.wrong(format!("{at} comes after {last} and is earlier; put the lines in order of time"));
        }
        all.push(at);
    }
    match opportunities(name, all) {
        Ok(schedule) => Ok((TraceForm::Mahimahi, schedule)),
        Err(ConditionError::Trace { problem, .. }) => Err(problem),
        Err(other) => Err(other.to_string()),
    }
}

/// Where times and rates are, and in which units.
#[derive(Debug, Clone, Copy)]
struct Columns {
    time: (usize, TimeUnit),
    rate: (usize, RateUnit),
    separator: Separator,
}

impl Columns {
    fn form(&self) -> TraceForm {
        TraceForm::Columns {
            time: (Place::Number(self.time.0), self.time.1),
            rate: (Place::Number(self.rate.0), self.rate.1),
        }
    }

    fn read<'a>(&self, lines: impl Iterator<Item = Line<'a>>) -> Result<Schedule, String> {
        let mut steps: Vec<Step> = Vec::new();
        let mut start = None;
        for line in lines {
            let (time, rate) = self.fields(line)?;
            let at = self.time_of(line, time)?;
            let from = at.checked_sub(*start.get_or_insert(at));
            match (from, steps.last()) {
                (Some(from), Some(last)) if from == last.from => {
                    return line.wrong(format!("its time of {time} is that of the line before it; leave one out"));
                }
                (Some(from), last) if last.is_none_or(|last| last.from < from) => {
                    steps.push(Step { from, rate: self.rate_of(line, rate)? });
                }
                _ => {
                    return line.wrong(format!(
                        "its time of {time} is earlier than that of the line before it; put the lines in order of time"
                    ));
                }
            }
        }
        match &steps[..] {
            [] => Err("it has a header and no line after it; write a time and a rate a line".into()),
            [_] => Err("it has one line; for a rate that stays write `rate` in place of the trace".into()),
            [.., before, last] => {
                // The last rate holds for as long as the one before it.
                let period = last.from.saturating_add(last.from - before.from);
                Steps::new(steps, period)
                    .map(|steps| Schedule::Steps(steps.into()))
                    .ok_or_else(|| "its rates are all 0, so that nothing would ever pass; give one above 0".into())
            }
        }
    }

    fn fields<'a>(&self, line: Line<'a>) -> Result<(&'a str, &'a str), String> {
        let mut found = (None, None);
        let mut there = 0;
        for (index, field) in self.separator.split(line.text).enumerate() {
            there = index + 1;
            if there == self.time.0 {
                found.0 = Some(field);
            }
            if there == self.rate.0 {
                found.1 = Some(field);
            }
        }
        match found {
            (Some(time), Some(rate)) => Ok((time, rate)),
            (None, _) => line.wrong(format!("it has {there} columns, and the times are in number {}", self.time.0)),
            (_, None) => line.wrong(format!("it has {there} columns, and the rates are in number {}", self.rate.0)),
        }
    }

    fn time_of(&self, line: Line<'_>, text: &str) -> Result<u64, String> {
        if text.starts_with('-') && is_number(text) {
            return line.wrong(format!("its time of {text} is below 0; count times from the start"));
        }
        match decimal(text, self.time.1.nanos) {
            Some(nanos) => Ok(nanos),
            None if is_number(text) => {
                line.wrong(format!("a time of {text} {} is more than there can be", self.time.1))
            }
            None => line.wrong(format!("`{text}` is no time in {}{}", self.time.1, hint(text))),
        }
    }

    fn rate_of(&self, line: Line<'_>, text: &str) -> Result<u64, String> {
        if text.starts_with('-') && is_number(text) {
            return line.wrong(format!("its rate of {text} is below 0; write 0 where nothing passes"));
        }
        match decimal(text, self.rate.1.bits() * MICRO) {
            Some(micro) if micro <= MOST * MICRO => Ok(micro),
            _ if is_number(text) => line.wrong(format!("a rate of {text} {}/s is more than 1000 Gbit/s", self.rate.1)),
            _ => line.wrong(format!("`{text}` is no rate in {}/s{}", self.rate.1, hint(text))),
        }
    }
}

/// What to write in place of a field that is no number.
fn hint(text: &str) -> &'static str {
    match text.to_ascii_lowercase().as_str() {
        "" | "nan" | "na" | "n/a" | "null" | "none" | "-" => "; leave the line out, or write 0 where nothing passes",
        _ if text.contains(',') => "; write a decimal point",
        _ => "; write a number alone",
    }
}

fn is_number(text: &str) -> bool {
    text.strip_prefix('-').unwrap_or(text).starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.parse::<f64>().is_ok()
}

/// A decimal number, with an exponent or without, times `scale`, rounded to the nearest whole. `None` of what is
/// none, is below 0, or does not fit.
fn decimal(text: &str, scale: u64) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
        return None;
    }
    // Eighteen digits before and after the point are more than can matter.
    let fraction = &fraction[..fraction.len().min(18)];
    let number = |text: &str| if text.is_empty() { Some(0u128) } else { text.parse::<u128>().ok() };
    let number = number(whole)?.checked_mul(10u128.pow(fraction.len() as u32))?.checked_add(number(fraction)?)?;
    let number = number.checked_mul(scale.into())?;
    let power = exponent.checked_sub(fraction.len() as i32)?;
    let value = match u32::try_from(power) {
        Ok(power) if number > 0 => number.checked_mul(10u128.checked_pow(power)?)?,
        Ok(_) => 0,
        Err(_) => match 10u128.checked_pow(power.unsigned_abs()) {
            Some(one) => number.checked_add(one / 2)? / one,
            None => 0,
        },
    };
    u64::try_from(value).ok()
}
