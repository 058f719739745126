//! The run directory: what a run leaves, and all that a report may be drawn from.
//!
//! ```text
//! experiment.toml   as resolved
//! inputs/<sha256>   each file that its conditions name, once
//! manifest.json     how, when and on what it was run; checksums once it is sealed
//! trials.jsonl      one line an attempt at a trial, appended and synced as it ends
//! trials/<id>/      messages.parquet  ledger.parquet  series.parquet
//!                   book.jsonl   of a workload whose server keeps one
//!                   message-ranges.parquet  packet-observations.parquet   where packets were attributed to messages
//! trials/<id>.attempt-<n>/   the same of an attempt that another followed
//! ```
//!
//! Every file is written beside its place and renamed, but for `trials.jsonl`, whose last line
//! alone can be half-written: it is passed over on reading and removed on appending. So a run that
//! was killed at any instant can be opened, shown and resumed.

mod error;
mod files;
mod inputs;
mod names;
mod seal;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use samepath_model::attribution::{LayoutRecord, ObservationRecord};
use samepath_model::book;
use samepath_model::experiment::{Experiment, Trial, TrialId};
use samepath_model::flow::{FlowId, UNDER_TEST, book_of};
use samepath_model::link::Inputs;
use samepath_model::record::{MessageRecord, RECORD_SCHEMA, SeriesPoint, TrialRecord};
use serde::Deserialize;

pub use error::StoreError;
pub(crate) use files::write_atomically;
pub use files::{check_named, write_named};
pub use names::EVIDENCE;
pub use seal::{Difference, DifferenceKind};
pub use trial::{Ledger, TrialWriter, write_ledger};

use crate::judge::{self, Expectation, Needed};
use crate::manifest::Manifest;
use names::{EXPERIMENT, MANIFEST, TRIAL_LINES, TRIALS};

/// An opened run directory.
#[derive(Debug)]
pub struct Run {
    dir: PathBuf,
    experiment: Experiment,
    expectations: Vec<Expectation>,
    needs: Vec<Needed>,
    manifest: Manifest,
    /// The experiment's matrix.
    trials: Vec<TrialRecord>,
    /// The competing flows of each of them.
    competing: OnceLock<Vec<Vec<TrialRecord>>>,
    earlier: Vec<TrialRecord>,
    /// Bytes of `trials.jsonl` that are whole lines.
    whole: u64,
    /// Whether the manifest on the disk has checksums.
    sealed: AtomicBool,
    handle: RunHandle,
}

/// The part of a run that threads share which write its trials at the same time.
#[derive(Debug, Clone)]
pub struct RunHandle {
    dir: PathBuf,
    ids: Arc<HashSet<TrialId>>,
    /// `trials.jsonl`, open and locked, once this process writes to the run.
    lines: Arc<Mutex<Option<File>>>,
}

/// A run that is being recorded. It keeps no record in memory, so that a run of any length needs no
/// more of it than a short one.
#[derive(Debug)]
pub struct Recorder(Run);

impl Recorder {
    /// The run's directory.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// See [`Run::handle`].
    pub fn handle(&self) -> RunHandle {
        self.0.handle()
    }

    /// See [`Run::append`].
    ///
    /// # Errors
    /// As there.
    pub fn append(&mut self, record: &TrialRecord) -> Result<(), StoreError> {
        self.0.write_line(record)
    }

    /// Ends the recording and reads the run back.
    ///
    /// # Errors
    /// Where what was written cannot be read.
    pub fn close(self) -> Result<Run, StoreError> {
        let dir = self.0.dir.clone();
        drop(self);
        Run::open(&dir)
    }
}

impl Run {
    /// Makes a new run directory, with its parents.
    ///
    /// # Errors
    /// Where the directory is not empty or cannot be written, what was made of it being removed again; or where the
    /// experiment expects something of a metric that there is not.
    pub fn create(dir: &Path, experiment: &Experiment, manifest: Manifest) -> Result<Run, StoreError> {
        let known = judge::expectations(experiment).and_then(|expected| Ok((expected, judge::needs(experiment)?)));
        let (expectations, needs) =
            known.map_err(|cause| StoreError::Experiment { path: dir.join(EXPERIMENT), cause })?;
        let existed = dir.exists();
        if existed && fs::read_dir(dir).map_err(StoreError::io("read", dir))?.next().is_some() {
            return Err(StoreError::Occupied(dir.to_owned()));
        }
        let trials = dir.join(TRIALS);
        let made = fs::create_dir_all(&trials)
            .map_err(StoreError::io("create", &trials))
            .and_then(|()| inputs::write(dir, experiment))
            .and_then(|()| write_atomically(&dir.join(EXPERIMENT), experiment.spec().to_toml().as_bytes()))
            // The manifest comes last: a directory without it is not a run.
            .and_then(|()| write_manifest(dir, &manifest));
        if let Err(error) = made {
            // Nothing but what was made just now can be in it.
            let _ = if existed { clear(dir) } else { fs::remove_dir_all(dir) };
            return Err(error);
        }
        let handle = RunHandle::new(dir, experiment.trials());
        let sealed = AtomicBool::new(false);
        // The files that it names are on the disk now.
        let experiment = experiment.clone().with_inputs(Inputs::default());
        Ok(Run {
            dir: dir.to_owned(),
            experiment,
            expectations,
            needs,
            manifest,
            trials: Vec::new(),
            competing: OnceLock::new(),
            earlier: Vec::new(),
            whole: 0,
            sealed,
            handle,
        })
    }

    /// Opens a run directory, finished or not, to read it or to go on with it.
    ///
    /// # Errors
    /// Where there is none, where it is something else, damaged, or of another version.
    pub fn open(dir: &Path) -> Result<Run, StoreError> {
        if !dir.exists() {
            return Err(StoreError::Missing(dir.to_owned()));
        }
        let manifest = read_manifest(dir)?;
        let path = dir.join(EXPERIMENT);
        let text = fs::read_to_string(&path).map_err(StoreError::io("read", &path))?;
        let parsed = Experiment::parse_recorded(&text).and_then(|experiment| {
            let expectations = judge::expectations(&experiment).map_err(|e| e.in_text(&text))?;
            let needs = judge::needs(&experiment).map_err(|e| e.in_text(&text))?;
            Ok((expectations, needs, experiment))
        });
        let (expectations, needs, experiment) = parsed.map_err(|cause| StoreError::Experiment { path, cause })?;
        let Lines { trials, earlier, whole } = read_lines(&dir.join(TRIAL_LINES), experiment.trials())?;
        let handle = RunHandle::new(dir, experiment.trials());
        let sealed = AtomicBool::new(!manifest.checksums.is_empty());
        let competing = OnceLock::new();
        Ok(Run {
            dir: dir.to_owned(),
            experiment,
            expectations,
            needs,
            manifest,
            trials,
            competing,
            earlier,
            whole,
            sealed,
            handle,
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The experiment, every default written out.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// What its experiment expects, in the file's order.
    pub fn expectations(&self) -> &[Expectation] {
        &self.expectations
    }

    /// What the uses of its experiment need, in the file's order.
    pub fn needs(&self) -> &[Needed] {
        &self.needs
    }

    /// The experiment with the files that its conditions name, as a new run of it needs them.
    ///
    /// # Errors
    /// Where one of them is missing or damaged.
    pub fn experiment_with_inputs(&self) -> Result<Experiment, StoreError> {
        Ok(self.experiment.clone().with_inputs(inputs::read(&self.dir, self.planned())?))
    }

    /// Makes sure that the files are there, and whole, that the conditions of these trials name.
    ///
    /// # Errors
    /// Names the one that is missing or damaged, and the remedy.
    pub fn check_inputs<'a>(&self, trials: impl IntoIterator<Item = &'a Trial>) -> Result<(), StoreError> {
        inputs::check(&self.dir, trials)
    }

    /// How, when and on what it was run; its checksums are those of the last sealing before the run
    /// was opened.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Every trial of the experiment, in the order of its matrix.
    pub fn planned(&self) -> &[Trial] {
        self.experiment.trials()
    }

    /// The trials that have ended, in the order of their first end. A trial that was run again
    /// stands here once, as it ended last.
    pub fn trials(&self) -> &[TrialRecord] {
        &self.trials
    }

    /// The competing flows of each of [these trials](Run::trials), each recorded as a trial of its own
    /// ([`TrialRecord::of_flow`]), in the order of the trial; none where nothing is known of them.
    pub(crate) fn competing(&self) -> &[Vec<TrialRecord>] {
        self.competing.get_or_init(|| {
            let of_trial = |record: &TrialRecord| {
                record
                    .trial
                    .flows()
                    .filter(|flow| *flow != UNDER_TEST)
                    .filter_map(|flow| record.of_flow(flow))
                    .collect()
            };
            self.trials.iter().map(of_trial).collect()
        })
    }

    /// The attempts that others followed, in the order in which they ended: void ones, which the machine
    /// had voided. They are shown, and part of no figure.
    pub fn earlier_attempts(&self) -> &[TrialRecord] {
        &self.earlier
    }

    /// The record of a trial, if it has ended.
    pub fn trial(&self, id: &TrialId) -> Option<&TrialRecord> {
        self.trials.iter().find(|record| record.trial.id == *id)
    }

    /// The trials of the experiment that have no record yet, in the order of its matrix.
    pub fn pending(&self) -> Vec<&Trial> {
        let ended: HashSet<_> = self.trials.iter().map(|record| &record.trial.id).collect();
        self.planned().iter().filter(|trial| !ended.contains(&trial.id)).collect()
    }

    /// What the threads need that write trials at the same time.
    pub fn handle(&self) -> RunHandle {
        self.handle.clone()
    }

    /// As [`RunHandle::begin_trial`].
    ///
    /// # Errors
    /// As there.
    pub fn begin_trial(&self, id: &TrialId) -> Result<TrialWriter, StoreError> {
        self.handle.begin_trial(id)
    }

    /// As [`RunHandle::begin_attempt`].
    ///
    /// # Errors
    /// As there.
    pub fn begin_attempt(&self, id: &TrialId, attempt: u32) -> Result<TrialWriter, StoreError> {
        self.handle.begin_attempt(id, attempt)
    }

    /// The directory of what an attempt at a trial of this run recorded, beside its line.
    pub fn directory(&self, record: &TrialRecord) -> PathBuf {
        let trials = self.dir.join(TRIALS);
        match self.trial(&record.trial.id) {
            Some(last) if record.attempt < last.attempt => trial::attempt(&trials, &record.trial.id, record.attempt),
            _ => trials.join(&record.trial.id.0),
        }
    }

    /// Appends a trial's line, whole and synced. It takes the place of an earlier line of the same trial, which
    /// of an earlier attempt is kept as one.
    ///
    /// # Errors
    /// Where the experiment has no such trial, another process writes to the run, or the file
    /// cannot be written; it is left as it was then.
    pub fn append(&mut self, record: &TrialRecord) -> Result<(), StoreError> {
        self.write_line(record)?;
        put(&mut self.trials, &mut self.earlier, record.clone());
        self.competing = OnceLock::new();
        Ok(())
    }

    /// The run as trials are carried out into it: what is recorded is on the disk alone.
    pub fn record(mut self) -> Recorder {
        (self.trials, self.competing, self.earlier) = (Vec::new(), OnceLock::new(), Vec::new());
        Recorder(self)
    }

    fn write_line(&mut self, record: &TrialRecord) -> Result<(), StoreError> {
        self.handle.check(&record.trial.id)?;
        let mut file = self.handle.lines_file()?;
        self.check_end(&mut file)?;
        if self.sealed.load(Ordering::Relaxed) {
            // The seal would be of other records than these.
            self.manifest.checksums.clear();
            write_manifest(&self.dir, &self.manifest)?;
            self.sealed.store(false, Ordering::Relaxed);
        }
        let path = self.dir.join(TRIAL_LINES);
        let wrong = StoreError::io("append to", &path);
        let mut line = serde_json::to_vec(record).map_err(io::Error::from).map_err(StoreError::io("write", &path))?;
        line.push(b'\n');
        let whole = self.whole;
        let appended = file
            .set_len(whole)
            .and_then(|()| file.seek(SeekFrom::Start(whole)))
            .and_then(|_| file.write_all(&line))
            .and_then(|()| file.sync_data());
        if let Err(error) = appended {
            // Half a line would be repaired by the next append anyway; better none now.
            let _ = file.set_len(whole);
            return Err(wrong(error));
        }
        self.whole += line.len() as u64;
        Ok(())
    }

    /// Makes sure that nobody wrote a line since the run was read: what is behind the lines that are known is half
    /// a line at most.
    fn check_end(&self, file: &mut File) -> Result<(), StoreError> {
        let path = self.dir.join(TRIAL_LINES);
        let mut behind = Vec::new();
        let length = file
            .seek(SeekFrom::Start(self.whole))
            .and_then(|_| file.read_to_end(&mut behind))
            .and_then(|_| file.metadata())
            .map_err(StoreError::io("read", &path))?
            .len();
        if length < self.whole || behind.contains(&b'\n') {
            return Err(StoreError::Changed(self.dir.clone()));
        }
        Ok(())
    }

    /// The messages of a trial's flow under test, in the order of the schedule.
    ///
    /// # Errors
    /// Where the trial has no such file, or it is damaged.
    pub fn messages(&self, id: &TrialId) -> Result<Vec<MessageRecord>, StoreError> {
        let all = trial::read_all(&self.present(id, trial::MESSAGES)?)?;
        Ok(all.into_iter().filter(|message: &MessageRecord| message.flow == UNDER_TEST).collect())
    }

    /// What stands in the book of the server of a trial's flow under test.
    ///
    /// # Errors
    /// Where the trial has no such file, or it is damaged.
    pub fn book(&self, id: &TrialId) -> Result<Vec<book::Entry>, StoreError> {
        read_book(&self.present(id, &book_of(UNDER_TEST))?)
    }

    /// The time series of a trial's flow under test, as they were written.
    ///
    /// # Errors
    /// Where the trial has no such file, or it is damaged.
    pub fn series(&self, id: &TrialId) -> Result<Vec<SeriesPoint>, StoreError> {
        self.series_of(id, UNDER_TEST)
    }

    /// The time series of one of a trial's flows.
    ///
    /// # Errors
    /// Where the trial has no such file, or it is damaged.
    pub fn series_of(&self, id: &TrialId, flow: FlowId) -> Result<Vec<SeriesPoint>, StoreError> {
        let all = trial::read_all(&self.present(id, trial::SERIES)?)?;
        Ok(all.into_iter().filter(|point: &SeriesPoint| point.flow == flow).collect())
    }

    /// The ledger of a trial, all flows together, read as it is iterated over; `None` where the trial had no emulated
    /// link, and so no ledger.
    ///
    /// # Errors
    /// Where the file is damaged.
    pub fn ledger(&self, id: &TrialId) -> Result<Option<Ledger>, StoreError> {
        let path = self.file(id, trial::LEDGER)?;
        if path.exists() { Ledger::open(&path).map(Some) } else { Ok(None) }
    }

    /// The ledger so far of a trial that failed; `None` where there is no such evidence.
    ///
    /// # Errors
    /// Where the file is damaged.
    pub fn evidence_ledger(&self, id: &TrialId) -> Result<Option<Ledger>, StoreError> {
        let path = self.file(id, EVIDENCE)?.join(trial::LEDGER);
        if path.exists() { Ledger::open(&path).map(Some) } else { Ok(None) }
    }

    /// Where the messages of a trial lie in their ordering domains, as it was written; `None` where
    /// packets were not attributed to messages.
    ///
    /// # Errors
    /// Where the file is damaged.
    pub fn layout(&self, id: &TrialId) -> Result<Option<Vec<LayoutRecord>>, StoreError> {
        let path = self.file(id, trial::LAYOUT)?;
        if path.exists() { trial::read_all(&path).map(Some) } else { Ok(None) }
    }

    /// What the ends of a trial saw in their packets, as it was written; `None` as with
    /// [`Run::layout`].
    ///
    /// # Errors
    /// Where the file is damaged.
    pub fn observations(&self, id: &TrialId) -> Result<Option<Vec<ObservationRecord>>, StoreError> {
        let path = self.file(id, trial::OBSERVATIONS)?;
        if path.exists() { trial::read_all(&path).map(Some) } else { Ok(None) }
    }

    /// Writes the checksum of every record file into the manifest.
    ///
    /// # Errors
    /// Where a file cannot be read, or the manifest not written.
    pub fn seal(&self) -> Result<(), StoreError> {
        let sealed = Manifest { checksums: seal::checksums(&self.dir)?, ..self.manifest.clone() };
        write_manifest(&self.dir, &sealed)?;
        self.sealed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The checksums as last sealed, by path; none before the first time.
    ///
    /// # Errors
    /// Where the manifest cannot be read.
    pub fn checksums(&self) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(read_manifest(&self.dir)?.checksums)
    }

    /// The files that are not what was sealed; none where all is well.
    ///
    /// # Errors
    /// Where the run was never sealed, or a file cannot be read.
    pub fn verify(&self) -> Result<Vec<Difference>, StoreError> {
        let manifest = read_manifest(&self.dir)?;
        if manifest.checksums.is_empty() {
            return Err(StoreError::Unsealed(self.dir.clone()));
        }
        Ok(seal::differences(&manifest.checksums, &seal::checksums(&self.dir)?))
    }

    /// A file that every trial has.
    fn present(&self, id: &TrialId, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.file(id, name)?;
        if path.exists() { Ok(path) } else { Err(StoreError::gone(path)) }
    }

    /// A file of a trial of this experiment: no other name ever becomes a path.
    fn file(&self, id: &TrialId, name: &str) -> Result<PathBuf, StoreError> {
        self.handle.check(id)?;
        Ok(self.dir.join(TRIALS).join(&id.0).join(name))
    }
}

/// Reads the book of a server.
///
/// # Errors
/// Where the file cannot be read, or a line of it is no payment.
pub fn read_book(path: &Path) -> Result<Vec<book::Entry>, StoreError> {
    let text = fs::read(path).map_err(StoreError::io("read", path))?;
    let lines = book::whole_lines(&text).split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let entry = |(n, line)| {
        serde_json::from_slice(line).map_err(|error: serde_json::Error| StoreError::Corrupt {
            path: path.to_owned(),
            line: Some(n + 1),
            problem: error.to_string(),
            remedy: error::ANEW,
        })
    };
    lines.enumerate().map(entry).collect()
}

impl RunHandle {
    fn new(dir: &Path, planned: &[Trial]) -> RunHandle {
        let ids = planned.iter().map(|trial| trial.id.clone()).collect();
        RunHandle { dir: dir.to_owned(), ids: Arc::new(ids), lines: Arc::default() }
    }

    /// Where the files lie that the conditions name, each under its checksum.
    pub fn inputs(&self) -> PathBuf {
        inputs::directory(&self.dir)
    }

    /// Begins to write a trial's files; what a killed run left of them is removed.
    ///
    /// # Errors
    /// Where the experiment has no such trial, another process writes to the run, or the directory
    /// cannot be written.
    pub fn begin_trial(&self, id: &TrialId) -> Result<TrialWriter, StoreError> {
        self.begin_attempt(id, 1)
    }

    /// Begins to write the files of an attempt at a trial, from 1. Those of the attempt before it are kept beside
    /// them, once these are whole.
    ///
    /// # Errors
    /// As [`RunHandle::begin_trial`].
    pub fn begin_attempt(&self, id: &TrialId, attempt: u32) -> Result<TrialWriter, StoreError> {
        self.check(id)?;
        self.lines_file()?;
        TrialWriter::begin(&self.dir.join(TRIALS), id, attempt)
    }

    fn check(&self, id: &TrialId) -> Result<(), StoreError> {
        if self.ids.contains(id) {
            Ok(())
        } else {
            Err(StoreError::UnknownTrial { dir: self.dir.clone(), id: id.0.clone() })
        }
    }

    /// `trials.jsonl`, locked for as long as this run is open: two writers would each take the
    /// other's line for a half-written one.
    fn lines_file(&self) -> Result<File, StoreError> {
        let path = self.dir.join(TRIAL_LINES);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_none() {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(StoreError::io("open", &path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(StoreError::Busy(self.dir.clone())),
                // Some network file systems cannot lock; then it is on the user to start one only.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
            }
            *lines = Some(file);
        }
        let file = lines.as_ref().expect("it was put there just now");
        file.try_clone().map_err(StoreError::io("open", &path))
    }
}

fn clear(dir: &Path) -> io::Result<()> {
    fs::remove_dir_all(dir.join(TRIALS))?;
    if inputs::directory(dir).exists() {
        fs::remove_dir_all(inputs::directory(dir))?;
    }
    for name in [EXPERIMENT, MANIFEST] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<(), StoreError> {
    let path = dir.join(MANIFEST);
    let mut text =
        serde_json::to_vec_pretty(manifest).map_err(io::Error::from).map_err(StoreError::io("write", &path))?;
    text.push(b'\n');
    write_atomically(&path, &text)
}

/// The version of a document, before the rest of it is looked at.
#[derive(Deserialize)]
struct Versioned {
    schema: u32,
}

fn read_manifest(dir: &Path) -> Result<Manifest, StoreError> {
    let path = dir.join(MANIFEST);
    let text = fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            StoreError::Foreign { path: dir.to_owned(), problem: format!("it has no {MANIFEST}") }
        }
        _ => StoreError::io("read", &path)(error),
    })?;
    let corrupt = |problem: serde_json::Error| StoreError::Corrupt {
        path: path.clone(),
        line: None,
        problem: problem.to_string(),
        remedy: "fetch the run again, or run the experiment anew",
    };
    let Versioned { schema } = serde_json::from_slice(&text).map_err(|error| match error.is_data() {
        true => StoreError::Foreign { path: dir.to_owned(), problem: format!("its {MANIFEST} has no version") },
        false => corrupt(error),
    })?;
    if schema != RECORD_SCHEMA {
        return Err(StoreError::Version { path, found: schema });
    }
    serde_json::from_slice(&text).map_err(corrupt)
}

/// What `trials.jsonl` holds.
#[derive(Debug, Default)]
struct Lines {
    /// Each trial's last attempt.
    trials: Vec<TrialRecord>,
    /// Those before it.
    earlier: Vec<TrialRecord>,
    /// Bytes that are whole lines.
    whole: u64,
}

fn read_lines(path: &Path, planned: &[Trial]) -> Result<Lines, StoreError> {
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lines::default()),
        Err(error) => return Err(StoreError::io("read", path)(error)),
    };
    let ids: HashSet<_> = planned.iter().map(|trial| &trial.id).collect();
    let mut lines = Lines::default();
    let mut places: HashMap<TrialId, usize> = HashMap::new();
    // Most trials of a run have the settings of the others, which are the larger part of a record.
    let mut settings = HashSet::new();
    let mut line = Vec::new();
    for number in 0.. {
        line.clear();
        file.read_until(b'\n', &mut line).map_err(StoreError::io("read", path))?;
        if line.last() != Some(&b'\n') {
            // What follows the last line's end was being written when the run was killed.
            break;
        }
        let corrupt = |problem: String| StoreError::Corrupt {
            path: path.to_owned(),
            line: Some(number + 1),
            problem,
            remedy: "fetch the run again, use the samepath that wrote it, or remove the line to have its trial run again",
        };
        if let Ok(Versioned { schema }) = serde_json::from_slice(&line)
            && schema != RECORD_SCHEMA
        {
            return Err(StoreError::Version { path: path.to_owned(), found: schema });
        }
        let mut record: TrialRecord = serde_json::from_slice(&line).map_err(|error| corrupt(error.to_string()))?;
        if !ids.contains(&record.trial.id) {
            return Err(corrupt(format!("trial `{}` is not of the experiment in {EXPERIMENT}", record.trial.id)));
        }
        record.share_settings(&mut settings);
        match places.entry(record.trial.id.clone()) {
            Entry::Occupied(place) => replace(&mut lines.trials[*place.get()], record, &mut lines.earlier),
            Entry::Vacant(place) => {
                place.insert(lines.trials.len());
                lines.trials.push(record);
            }
        }
        lines.whole += line.len() as u64;
    }
    Ok(lines)
}

fn put(trials: &mut Vec<TrialRecord>, earlier: &mut Vec<TrialRecord>, record: TrialRecord) {
    match trials.iter_mut().find(|before| before.trial.id == record.trial.id) {
        Some(before) => replace(before, record, earlier),
        None => trials.push(record),
    }
}

/// Puts a trial's record in the place of the one before it, which is kept where it is of an earlier attempt.
fn replace(place: &mut TrialRecord, record: TrialRecord, earlier: &mut Vec<TrialRecord>) {
    let is_another = record.attempt > place.attempt;
    let before = std::mem::replace(place, record);
    if is_another {
        earlier.push(before);
    }
}
