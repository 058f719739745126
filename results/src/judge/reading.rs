//! What an experiment's file says of metrics and their figures, looked up and read.

use samepath_model::experiment::{
    Bound, CellName, Expected, ExpectedCell, ExperimentError, Figure, Need, Relation, Statistic,
};
use samepath_model::{BitRate, ByteCount, Duration, Experiment, Probability};

use super::expectation::Expectation;
use crate::metric::{self, Metric, Unit};

/// The expectations of an experiment, each cell that they are of apart.
///
/// # Errors
/// Names the expectation whose metric there is not, or whose figures are not of the metric's unit, with the remedy.
/// [`ExperimentError::in_text`] adds the line.
pub fn expectations(experiment: &Experiment) -> Result<Vec<Expectation>, ExperimentError> {
    let of_each: Vec<Vec<Expectation>> = experiment.expected().iter().map(read).collect::<Result<_, _>>()?;
    Ok(of_each.into_iter().flatten().collect())
}

/// A need whose metric and figures are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Needed {
    /// Which of the file's needs it is, from 1.
    pub number: usize,
    /// The use that needs it.
    pub of: String,
    /// The metric.
    pub metric: &'static Metric,
    /// Where it is to lie, in its unit, and as the file has it.
    pub bound: (Bound<f64>, Bound<Figure>),
    /// Where it is still borne; likewise.
    pub limit: Option<(Bound<f64>, Bound<Figure>)>,
    /// What is held against the bound.
    pub statistic: Statistic,
    /// Who says so.
    pub source: String,
    /// The cells that it is of.
    pub cells: Vec<CellName>,
}

impl Needed {
    /// The same of one cell, as the judge takes it, with this bound.
    pub fn expectation(&self, cell: &CellName, (bound, written): &(Bound<f64>, Bound<Figure>)) -> Expectation {
        Expectation {
            number: self.number,
            metric: self.metric,
            cell: Some(ExpectedCell { cell: cell.clone(), other: None }),
            named: cell.to_string(),
            bound: *bound,
            written: written.clone(),
            statistic: self.statistic,
            relation: None,
        }
    }
}

/// What the uses of an experiment need.
///
/// # Errors
/// As [`expectations`].
pub fn needs(experiment: &Experiment) -> Result<Vec<Needed>, ExperimentError> {
    experiment.needs().iter().map(read_need).collect()
}

fn read_need(need: &Need) -> Result<Needed, ExperimentError> {
    let fault = |key: &str, problem: String| ExperimentError::of_need(need.place, key, problem);
    let metric = named(&need.metric).map_err(|problem| fault("metric", problem))?;
    let scale = Scale { metric, relation: None };
    let read = |bound: &Bound<Figure>| Ok((scale.bound(bound)?, bound.clone()));
    Ok(Needed {
        number: need.place + 1,
        of: need.of.clone(),
        metric,
        bound: read(&need.bound).map_err(|(key, problem)| fault(key, problem))?,
        limit: need.limit.as_ref().map(read).transpose().map_err(|(_, problem)| fault("limit", problem))?,
        statistic: need.statistic,
        source: need.source.clone(),
        cells: need.cells.clone(),
    })
}

fn read(expected: &Expected) -> Result<Vec<Expectation>, ExperimentError> {
    let Expected { place, bound: written, cells, .. } = expected;
    let fault = |key: &str, problem: String| ExperimentError::of_expectation(*place, key, problem);
    let metric = named(&expected.metric).map_err(|problem| fault("metric", problem))?;
    let scale = Scale { metric, relation: expected.relation };
    let bound = scale.bound(written).map_err(|(key, problem)| fault(key, problem))?;
    let of_cell = |cell| Expectation {
        number: place + 1,
        metric,
        cell,
        named: expected.named.clone(),
        bound,
        written: written.clone(),
        statistic: expected.statistic,
        relation: expected.relation,
    };
    if cells.is_empty() {
        return Ok(vec![of_cell(None)]);
    }
    Ok(cells.iter().map(|cell| of_cell(Some(cell.clone()))).collect())
}

/// The metric of this name in files.
fn named(name: &str) -> Result<&'static Metric, String> {
    if let Some(metric) = metric::ALL.iter().find(|metric| metric.key() == name) {
        return Ok(metric);
    }
    let column = metric::ALL.iter().find(|metric| metric.name == name.replace('-', "_"));
    Err(match column {
        Some(metric) => format!("there is no metric `{name}`; write `{}`", metric.key()),
        None => {
            let known: Vec<String> = metric::ALL.iter().map(|metric| metric.key()).collect();
            format!("there is no metric `{name}`; choose from: {}", known.join(", "))
        }
    })
}

/// What the figures of a bound count in.
struct Scale {
    metric: &'static Metric,
    relation: Option<Relation>,
}

impl Scale {
    /// The bound in the metric's unit; else the key that is wrong, and the problem.
    fn bound(&self, written: &Bound<Figure>) -> Result<Bound<f64>, (&'static str, String)> {
        let read = |key: &'static str, figure: &Figure| self.figure(&figure.0).map_err(|problem| (key, problem));
        Ok(match written {
            Bound::AtMost(most) => Bound::AtMost(read("most", most)?),
            Bound::AtLeast(least) => Bound::AtLeast(read("least", least)?),
            Bound::Between(least, most) => {
                let (low, high) = (read("between", least)?, read("between", most)?);
                if low > high {
                    return Err(("between", format!("{least} is more than {most}; write the smaller one first")));
                }
                Bound::Between(low, high)
            }
            Bound::About { value, tolerance } => {
                let (near, within) = (read("near", value)?, read("within", tolerance)?);
                if within < 0.0 {
                    return Err((
                        "within",
                        format!("`{tolerance}` is below 0; write how far from `near` is near enough"),
                    ));
                }
                Bound::About { value: near, tolerance: within }
            }
        })
    }

    fn figure(&self, text: &str) -> Result<f64, String> {
        let text = text.trim();
        match self.relation {
            None => self.of_unit(text),
            Some(Relation::Ratio) => plain(text).map_err(|()| {
                format!("`{text}` is not a number: a ratio has no unit; write 0.9 for nine tenths of the other cell's")
            }),
            Some(Relation::Difference) => match text.strip_prefix(['-', '−']) {
                Some(below) => self.of_unit(below.trim_start()).map(|figure| -figure),
                None => self.of_unit(text),
            },
        }
    }

    fn of_unit(&self, text: &str) -> Result<f64, String> {
        match self.metric.unit {
            Unit::Millis => text.parse::<Duration>().map(Duration::as_millis_f64).map_err(|error| error.to_string()),
            Unit::Bytes => text.parse::<ByteCount>().map(|size| size.bytes() as f64).map_err(|error| error.to_string()),
            Unit::MbitPerSecond => text
                .parse::<BitRate>()
                .map(|rate| rate.bits_per_second() as f64 / 1e6)
                .map_err(|error| error.to_string()),
            Unit::Percent => {
                text.parse::<Probability>().map_err(|error| error.to_string())?;
                // The number itself: a fraction times a hundred may be another one.
                plain(text.trim_end_matches('%')).map_err(|()| format!("`{text}` is not a percentage"))
            }
            Unit::Count | Unit::Index | Unit::BytesPerByte => plain(text).map_err(|()| {
                format!("`{text}` is not a number: `{}` has no unit; write a number alone", self.metric.key())
            }),
            Unit::RoundTrips => self.with_symbol(text, &["RTT", "RTTs"]),
            Unit::ByteSeconds => self.with_symbol(text, &["B·s", "B*s"]),
            Unit::SecondsPerGigabyte => self.with_symbol(text, &["s/GB"]),
            Unit::PerSecond => self.with_symbol(text, &["1/s", "/s"]),
        }
    }

    /// A number with one of these symbols for its unit.
    fn with_symbol(&self, text: &str, symbols: &[&str]) -> Result<f64, String> {
        let number = symbols.iter().find_map(|symbol| plain(text.strip_suffix(symbol)?).ok());
        let (key, symbol) = (self.metric.key(), symbols[symbols.len() - 1]);
        number.ok_or_else(|| match plain(text) {
            Ok(_) => format!("`{text}` has no unit: write {text}{}", symbols[0]),
            Err(()) => format!("`{text}` is not a figure of `{key}`, whose unit is {symbol}: write 2{symbol}"),
        })
    }
}

/// A number without unit: digits, and a decimal point where there is one.
fn plain(text: &str) -> Result<f64, ()> {
    let text = text.trim();
    let is_plain = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit() || c == '.');
    text.parse::<f64>().ok().filter(|number| is_plain && number.is_finite()).ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn read(expectation: &str) -> Result<Vec<Expectation>, String> {
        let text = format!("{}[[expect]]\npart = 'messages'\n{expectation}", fixture::EXPERIMENT);
        let experiment = Experiment::parse(&text).map_err(|error| error.to_string())?;
        expectations(&experiment).map_err(|error| error.in_text(&text).to_string())
    }

    #[test]
    fn figures_are_read_in_the_metrics_unit() {
        for (metric, figure, bound) in [
            ("delay-p99", "120ms", 120.0),
            ("delay-p99", "1.5s", 1500.0),
            ("goodput", "9.5Mbit", 9.5),
            ("delivered-percent", "99.9%", 99.9),
            ("received-bytes", "1MB", 1e6),
            ("messages", "100", 100.0),
            ("handshake-rtts", "2.1RTT", 2.1),
            ("buffered-byte-seconds", "3B*s", 3.0),
            ("client-cpu", "2.5s/GB", 2.5),
        ] {
            let read = read(&format!("metric = '{metric}'\nmost = '{figure}'")).unwrap();
            assert_eq!((read[0].bound, read.len()), (Bound::AtMost(bound), 6), "{metric}");
        }
        let count = read("metric = 'messages'\nmost = 100").unwrap();
        assert_eq!(count[0].to_string(), "messages loss 0% tcp: messages at most 100");
    }

    #[test]
    fn the_documentation_names_every_metric() {
        let text = include_str!("../../../docs/experiments.md");
        for metric in metric::ALL {
            assert!(text.contains(&format!("`{}`", metric.key())), "{}", metric.key());
        }
        let example = text.split("```").find(|block| block.contains("[[expect]]")).unwrap().trim_start_matches("toml");
        let read = expectations(&Experiment::parse(example).unwrap()).unwrap();
        assert_eq!(read.len(), 1 + 1 + 4);
        assert_eq!(read[1].bound, Bound::Between(-70.0, -50.0));
    }

    #[test]
    fn ratios_have_no_unit_and_differences_a_sign() {
        let other = |key: &str, bound: &str| read(&format!("metric = 'delay-p99'\n{key} = {{ arm = 'tcp' }}\n{bound}"));
        let ratio = other("ratio-to", "between = [0.5, 0.9]").unwrap();
        assert_eq!(ratio[0].bound, Bound::Between(0.5, 0.9));
        assert_eq!(ratio[0].to_string(), "messages loss 0% quic: delay p99, ratio to tcp, 0.5 to 0.9");
        let difference = other("difference-from", "most = '-5ms'\neach = true").unwrap();
        assert_eq!(difference[0].bound, Bound::AtMost(-5.0));
        assert_eq!(difference[0].claim(), "delay p99, difference from tcp, at most -5ms in each pair");
        assert!(other("ratio-to", "most = '5ms'").unwrap_err().contains("a ratio has no unit"));
        assert!(other("difference-from", "most = 5").unwrap_err().contains("write 5ms"));
    }

    #[test]
    fn unknown_metrics_and_figures_name_their_line() {
        let first = fixture::EXPERIMENT.lines().count() + 2;
        for (expectation, line, said) in [
            ("metric = 'delay'\nmost = '1ms'", 1, "there is no metric `delay`; choose from: messages, delivered, "),
            ("metric = 'delay_p99_ms'\nmost = '1ms'", 1, "write `delay-p99`"),
            ("metric = 'delay-p99'\nmost = 120", 2, "`120` is not a duration: the unit is missing: write 120ms"),
            ("metric = 'delay-p99'\nmost = '120kB'", 2, "not a duration"),
            ("metric = 'goodput'\nleast = '10M'", 2, "write 10Mbit"),
            ("metric = 'messages'\nleast = '10ms'", 2, "`messages` has no unit"),
            ("metric = 'handshake-rtts'\nleast = 2", 2, "write 2RTT"),
            ("metric = 'delay-p50'\nbetween = ['2ms', '1ms']", 2, "write the smaller one first"),
            ("metric = 'delay-p50'\nnear = '2ms'\nwithin = '1%'", 3, "not a duration"),
        ] {
            let error = read(expectation).unwrap_err();
            let at = format!("line {}: expectation 1: ", first + line);
            assert!(error.starts_with(&at) && error.contains(said), "{expectation}: {error}");
        }
    }
}
