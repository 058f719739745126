//! The table at the end of a run: every cell, its figures over the seeds, and what they prove.

use std::fmt::Write as _;
use std::ops::Range;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use samepath_model::workload::Workload;

use crate::cells::{Cell, cells};
use crate::field::Field;
use crate::stats;
use crate::store::Run;

/// What stands where nothing was measured.
const MISSING: &str = "–";

/// The table as plain text: for each part its cells, then what the number of seeds can show, then
/// the trials that do not count and why.
pub fn render(run: &Run) -> String {
    let cells = cells(run);
    let mut text = String::new();
    for part in cells.chunk_by(|a, b| a.part == b.part) {
        let plan = &part[0].plan;
        let _ = writeln!(text, "{}: {}", plan.part, plan.workload);
        let _ = writeln!(text, "{}\n", table_of(part));
    }
    text += &footer(run, &cells);
    text
}

/// A figure as people read it: three significant digits, no more than its field deserves.
pub fn number(field: Field, value: f64) -> String {
    match field {
        // 99.996 % is not all of it.
        Field::DeliveredShare if value < 100.0 => trim(format!("{:.2}", (value * 100.0).floor() / 100.0)),
        Field::DeliveredShare => "100".into(),
        Field::Messages | Field::Delivered | Field::PacketsDropped | Field::Retransmissions => {
            trim(format!("{value:.1}"))
        }
        Field::ReceivedBytes | Field::OfferedBytes | Field::WireBytes => format!("{value:.0}"),
        _ if !value.is_finite() => MISSING.into(),
        _ if value.abs() >= 99.95 => format!("{value:.0}"),
        _ if value.abs() >= 9.995 => format!("{value:.1}"),
        _ if value.abs() >= 0.9995 || value == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A field's name with its unit, on two lines where it has one.
fn head(field: Field) -> String {
    match field.unit() {
        "" => field.label().to_owned(),
        unit => format!("{}\n{unit}", field.label()),
    }
}

/// The figures that say something of a workload: in an open loop the goodput is what was offered,
/// and of a bulk transfer the delay is its completion.
fn fields(workload: &Workload) -> &'static [Field] {
    match workload {
        Workload::Bulk(_) => &[
            Field::Goodput,
            Field::Completion,
            Field::FirstByte,
            Field::DeliveredShare,
            Field::Handshake,
            Field::Retransmissions,
        ],
        Workload::Messages(_) => {
            &[Field::DelayP50, Field::DelayP99, Field::DelayMax, Field::DeliveredShare, Field::Handshake]
        }
    }
}

fn table_of(part: &[Cell<'_>]) -> String {
    let axes: Vec<&String> = part[0].axes.keys().collect();
    let fields: Vec<Field> = fields(&part[0].plan.workload)
        .iter()
        .copied()
        .filter(|&field| part.iter().any(|cell| cell.estimate(field).is_some()))
        .collect();
    let heads = axes.iter().map(|axis| axis.to_string()).chain(["arm".into(), "n".into()]);
    let mut rows = vec![heads.chain(fields.iter().map(|&field| head(field))).collect()];
    for (i, cell) in part.iter().enumerate() {
        // An axis's value stands once, at the head of its arms.
        let first = i == 0 || part[i - 1].axes != cell.axes;
        let mut row: Vec<String> =
            axes.iter().map(|axis| if first { cell.axes[*axis].clone() } else { String::new() }).collect();
        row.extend([cell.arm.to_string(), cell.n().to_string()]);
        row.extend(fields.iter().map(|&field| figure(cell, field)));
        rows.push(row);
    }
    let columns = rows[0].len();
    plain(rows, axes.len() + 1..columns)
}

/// Rows as text, the first of them the head with a rule under it; these columns hold numbers.
pub(crate) fn plain(rows: Vec<Vec<String>>, numbers: Range<usize>) -> String {
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')))
        .set_content_arrangement(ContentArrangement::Disabled);
    let mut rows = rows.into_iter();
    table.set_header(rows.next().unwrap_or_default());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if numbers.contains(&column.index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// The median, and in brackets the smallest and the largest where they differ from it.
fn figure(cell: &Cell<'_>, field: Field) -> String {
    let Some(estimate) = cell.estimate(field) else { return MISSING.into() };
    let [median, min, max] = [estimate.median, estimate.min, estimate.max].map(|value| number(field, value));
    if min == max { median } else { format!("{median} ({min}–{max})") }
}

fn footer(run: &Run, cells: &[Cell<'_>]) -> String {
    let mut text = String::from("Medians over n seeds; in brackets the smallest and the largest seed.\n");
    if let Some(most) = cells.iter().map(Cell::n).max() {
        text += &format!("{}\n", stats::what_seeds_prove(most));
        let fewest = cells.iter().map(Cell::n).min().unwrap_or(most);
        if fewest < most {
            let _ = writeln!(text, "Some cells have only {fewest}: they prove less.");
        }
    }
    let of = |count: fn(&Cell<'_>) -> usize| cells.iter().map(count).sum::<usize>();
    let (void, failed, pending) = (of(|c| c.void.len()), of(|c| c.failed.len()), of(|c| c.pending));
    if void + failed > 0 {
        let _ = writeln!(
            text,
            "Left out of every figure: {void} void and {failed} failed of {} trials.",
            run.trials().len()
        );
        for cell in cells {
            for (reason, times) in cell.troubles() {
                let place = [cell.part.as_str(), &cell.label(), &cell.arm.to_string()].join(" ").replace("  ", " ");
                let _ = writeln!(
                    text,
                    "  {place}: {reason}{}",
                    if times > 1 { format!(" ({times} times)") } else { String::new() }
                );
            }
        }
    }
    if pending > 0 {
        let _ = writeln!(text, "Not run yet: {pending} trials; go on with: samepath resume {}", run.dir().display());
    }
    if run.manifest().debug_build {
        text += "This was a debug build: rates and CPU figures are not those of the transports.\n";
    }
    text
}

fn trim(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
