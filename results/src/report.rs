//! The report: one page that works offline, the charts as SVG and PNG, the tables as CSV.
//!
//! Everything is computed from the run directory, and the same records give the same bytes. The
//! report is built beside its place and moved there whole. Names and texts of the experiment are
//! other people's words: the template escapes every one, and the page allows no script.

mod comparisons;
mod page;
mod power;
mod start;
mod table_view;
mod uses;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value};

use crate::analysis::Analysis;
use crate::chart::{self, Shown};
use crate::csv;
use crate::store::StoreError;

/// A report that could not be drawn, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The run's records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The report cannot be written.
    #[error("cannot {doing} `{}`: {cause}; make the run directory writable and see that its disk has free space", path.display())]
    Write {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// Something that is no report stands in its place.
    #[error("`{}` is not a directory, so the report cannot take its place; move it away", .0.display())]
    Occupied(PathBuf),
    /// A fault of this program.
    #[error("the report cannot be made: {0}; please report this as a fault of samepath")]
    Fault(String),
}

/// Draws the report of a run into its directory, in place of one drawn before, and returns the
/// path of its page.
///
/// # Errors
/// Where records cannot be read or the report cannot be written; the report drawn before, if any,
/// is then left as it was.
pub fn draw(analysis: &Analysis<'_>) -> Result<PathBuf, ReportError> {
    let run = analysis.run();
    let shown = chart::draw_all(analysis)?;
    let html = render(&page::page(analysis, &shown)?)?;

    let place = run.dir().join("report");
    if place.exists() && !place.is_dir() {
        return Err(ReportError::Occupied(place));
    }
    let fail = |doing, path: &Path| {
        let path = path.to_owned();
        move |cause| ReportError::Write { doing, path, cause }
    };
    // Removed when dropped, so that a failure leaves nothing half-written.
    let fresh =
        tempfile::Builder::new().prefix(".report-").tempdir_in(run.dir()).map_err(fail("write into", run.dir()))?;
    let write = |name: PathBuf, bytes: &[u8]| -> Result<(), ReportError> {
        let path = fresh.path().join(name);
        fs::write(&path, bytes).map_err(fail("write", &path))
    };
    let charts = fresh.path().join("charts");
    fs::create_dir(&charts).map_err(fail("create", &charts))?;
    for one in &shown {
        if let Shown::Drawn(drawing) = one {
            let png = chart::to_png(&drawing.svg).map_err(ReportError::Fault)?;
            write(Path::new("charts").join(format!("{}.svg", drawing.stem)), drawing.svg.as_bytes())?;
            write(Path::new("charts").join(format!("{}.png", drawing.stem)), &png)?;
        }
    }
    csv::write(analysis, &fresh.path().join("tables"))?;
    write("index.html".into(), html.as_bytes())?;
    open_to_readers(fresh.path()).map_err(fail("set the permissions of", fresh.path()))?;
    swap(fresh, &place).map_err(fail("put the report at", &place))?;
    Ok(place.join("index.html"))
}

/// Gives a temporary directory, made for its owner alone, the permissions of its parent.
fn open_to_readers(dir: &Path) -> io::Result<()> {
    let parent = dir.parent().unwrap_or(dir);
    fs::set_permissions(dir, fs::metadata(parent)?.permissions())
}

/// Moves the fresh report to its place; the old one is set aside first and removed after.
fn swap(fresh: tempfile::TempDir, place: &Path) -> io::Result<()> {
    let parent = place.parent().unwrap_or(place);
    let aside = tempfile::Builder::new().prefix(".report-old-").tempdir_in(parent)?;
    let old = aside.path().join("report");
    let had_one = place.exists();
    if had_one {
        fs::rename(place, &old)?;
    }
    if let Err(error) = fs::rename(fresh.path(), place) {
        if had_one {
            fs::rename(&old, place)?;
        }
        return Err(error);
    }
    // It is no longer where the guard would look for it.
    let _ = fresh.keep();
    Ok(())
}

fn render(page: &page::Page) -> Result<String, ReportError> {
    let fault = |error: minijinja::Error| ReportError::Fault(format!("{error:#}"));
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("report.html", include_str!("../assets/report.html")).map_err(fault)?;
    environment.get_template("report.html").and_then(|t| t.render(Value::from(Serde(page)))).map_err(fault)
}
