//! Figures as text: three significant digits, and their spread over the seeds.

use crate::stats;

/// A number with at most three significant decimals and no exponent, as people write it.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size < 1e-12 {
        return "0".into();
    }
    let decimals = (2 - size.log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
    let (whole, rest) = digits.split_once('.').map_or((digits, None), |(w, r)| (w, Some(r)));
    let mut grouped = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) && whole.len() > 4 {
            grouped.push('\u{2009}');
        }
        grouped.push(c);
    }
    match rest {
        Some(rest) => format!("{sign}{grouped}.{rest}"),
        None => format!("{sign}{grouped}"),
    }
}

/// A figure with its spread over seeds, as tables say it: `12.3 (11.8–12.9)`, or the
/// median alone where the seeds read alike; `–` where missing.
pub(crate) fn spread(values: &[f64]) -> String {
    let Some(median) = stats::median(values) else { return "–".into() };
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    range(median, low, high)
}

/// A median with the smallest and the largest value, as [`spread`] says it.
pub(crate) fn range(median: f64, low: f64, high: f64) -> String {
    let (low, high) = (number(low), number(high));
    if low == high { number(median) } else { format!("{} ({low}–{high})", number(median)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for (value, text) in [
            (0.0, "0"),
            (0.001, "0.001"),
            (0.5, "0.5"),
            (1.0, "1"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1000.0, "1000"),
            (12_345.6, "12\u{2009}346"),
            (-2.5, "−2.5"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
