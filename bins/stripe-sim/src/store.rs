//! All that the simulator remembers, and the journal that keeps it. Every change is one entry:
//! written as a line before it is applied, so that what was answered survives a kill at any
//! moment. It must never change state in another way than by an entry.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use common::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Events remembered; the oldest go first, as after Stripe's 30 days.
const EVENTS_MAX: usize = 100_000;
/// Idempotency keys remembered besides the rule of 24 hours.
const KEYS_MAX: usize = 100_000;
/// Stripe forgets a key when it is this old.
pub const KEY_AGE_MAX_S: i64 = 24 * 3600;
/// Longer than any entry: a customer of Stripe's largest, its event and its answer.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The journal is rewritten when it has grown by so much, and doubled, since the last time.
const JOURNAL_GROWTH_BYTES: u64 = 64 * 1024 * 1024;

/// A customer: the object as shown, or as it was before its deletion.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Customer {
    pub seq: u64,
    pub id: String,
    pub created: i64,
    pub email: Option<String>,
    #[serde(default)]
    pub deleted: bool,
    /// When it last changed, for the lag of the search.
    pub changed_ms: i64,
    pub json: Box<RawValue>,
    /// What the search showed before that; `None` when it was not there yet.
    #[serde(default)]
    pub before: Option<Box<RawValue>>,
}

/// An event, and who still waits for it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Event {
    pub seq: u64,
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub subject: String,
    pub created: i64,
    pub json: Box<RawValue>,
    /// The endpoints that have not answered 2xx yet.
    pub pending: Vec<String>,
}

/// The answer kept for an idempotency key.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Kept {
    pub key: String,
    pub fingerprint: String,
    pub status: u16,
    pub body: String,
    pub request_id: String,
    pub at: i64,
}

/// One change: all of it happens, or none.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<Customer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// An event's id and the endpoint that took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
}

#[derive(Debug, Default)]
pub struct Store {
    /// In the order of creation.
    pub customers: BTreeMap<u64, Customer>,
    ids: HashMap<String, u64>,
    pub events: BTreeMap<u64, Event>,
    event_ids: HashMap<String, u64>,
    keys: HashMap<String, Kept>,
    keys_by_age: VecDeque<String>,
    last_seq: u64,
    pub clock_offset_ms: i64,
    journal: Option<Journal>,
}

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    compacted_bytes: u64,
}

impl Store {
    /// Opens the state kept in `path`, or an empty one; a line torn by a kill is cut off.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let mut store = Self::default();
        let Some(path) = path else { return Ok(store) };
        let operation = || format!("open the state {}", path.display());
        if path.exists() && !path.is_file() {
            return Err(Error::fatal(operation(), "it is not a regular file"));
        }
        if path.exists() {
            store.load(path).map_err(|cause| {
                Error::fatal(operation(), cause).hint("name another file, or remove this one")
            })?;
        } else if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|cause| Error::fatal(operation(), cause))?;
        }
        store.compact(path).map_err(|cause| Error::fatal(operation(), cause))?;
        Ok(store)
    }

    fn load(&mut self, path: &Path) -> std::result::Result<(), String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let mut reader = BufReader::new(file);
        let (mut line, mut number) = (Vec::new(), 0_usize);
        loop {
            line.clear();
            let mut bounded = reader.by_ref().take(LINE_BYTES_MAX);
            bounded.read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
            if line.len() as u64 == LINE_BYTES_MAX {
                return Err(format!("line {} is too long for a journal", number + 1));
            }
            // Without its end the line was never answered for.
            if line.pop() != Some(b'\n') {
                return Ok(());
            }
            number += 1;
            let entry: Entry =
                serde_json::from_slice(&line).map_err(|e| format!("line {number}: {e}"))?;
            self.apply(entry);
        }
    }

    /// Writes the state afresh beside the old file and puts it in its place.
    fn compact(&mut self, path: &Path) -> std::io::Result<()> {
        let fresh = path.with_extension("tmp");
        let mut out = BufWriter::new(File::create(&fresh)?);
        for entry in self.entries() {
            serde_json::to_writer(&mut out, &entry)?;
            out.write_all(b"\n")?;
        }
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&fresh, path)?;
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        let mut file = OpenOptions::new().append(true).open(path)?;
        let bytes = file.seek(SeekFrom::End(0))?;
        let path = path.to_owned();
        self.journal = Some(Journal { path, file, bytes, compacted_bytes: bytes });
        Ok(())
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let clock = Entry { clock_offset_ms: Some(self.clock_offset_ms), ..Entry::default() };
        let customers = self.customers.values().cloned();
        let events = self.events.values().cloned();
        let keys = self.keys_by_age.iter().filter_map(|key| self.keys.get(key)).cloned();
        std::iter::once(clock)
            .chain(customers.map(|c| Entry { customer: Some(c), ..Entry::default() }))
            .chain(events.map(|e| Entry { event: Some(e), ..Entry::default() }))
            .chain(keys.map(|k| Entry { kept: Some(k), ..Entry::default() }))
    }

    /// Writes the entry to the journal, then applies it.
    pub fn commit(&mut self, entry: Entry) -> Result<()> {
        self.write(&entry).map_err(|cause| Error::retry("write the journal", cause))?;
        self.apply(entry);
        Ok(())
    }

    fn write(&mut self, entry: &Entry) -> std::io::Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if let Err(error) = journal.file.write_all(&line) {
            // Half a line would make the next one unreadable.
            drop(journal.file.set_len(journal.bytes));
            return Err(error);
        }
        journal.bytes += line.len() as u64;
        let limit = journal.compacted_bytes.saturating_mul(2) + JOURNAL_GROWTH_BYTES;
        if journal.bytes > limit {
            let path = journal.path.clone();
            // The entry in hand is in the old file and not yet in the state: keep it in both.
            self.compact(&path)?;
            if let Some(journal) = &mut self.journal {
                journal.file.write_all(&line)?;
                journal.bytes += line.len() as u64;
            }
        }
        Ok(())
    }

    fn apply(&mut self, entry: Entry) {
        if let Some(customer) = entry.customer {
            self.last_seq = self.last_seq.max(customer.seq);
            self.ids.insert(customer.id.clone(), customer.seq);
            self.customers.insert(customer.seq, customer);
        }
        if let Some(event) = entry.event {
            self.last_seq = self.last_seq.max(event.seq);
            self.event_ids.insert(event.id.clone(), event.seq);
            self.events.insert(event.seq, event);
            if self.events.len() > EVENTS_MAX
                && let Some((_, oldest)) = self.events.pop_first()
            {
                self.event_ids.remove(&oldest.id);
            }
        }
        if let Some(kept) = entry.kept {
            self.forget_keys(kept.at);
            if self.keys.insert(kept.key.clone(), kept.clone()).is_none() {
                self.keys_by_age.push_back(kept.key);
            }
        }
        if let Some((id, endpoint)) = entry.delivered
            && let Some(event) = self.event_ids.get(&id).and_then(|seq| self.events.get_mut(seq))
        {
            event.pending.retain(|pending| *pending != endpoint);
        }
        if let Some(offset_ms) = entry.clock_offset_ms {
            self.clock_offset_ms = offset_ms;
        }
    }

    fn forget_keys(&mut self, now_s: i64) {
        while let Some(oldest) = self.keys_by_age.front() {
            let old = self.keys.get(oldest).is_none_or(|kept| now_s - kept.at >= KEY_AGE_MAX_S);
            if !old && self.keys_by_age.len() < KEYS_MAX {
                return;
            }
            if let Some(oldest) = self.keys_by_age.pop_front() {
                self.keys.remove(&oldest);
            }
        }
    }

    /// Forgets everything, in the journal too.
    pub fn reset(&mut self) -> Result<()> {
        let path = self.journal.take().map(|journal| journal.path);
        *self = Self::default();
        match path {
            Some(path) => self.compact(&path).map_err(|e| Error::retry("empty the journal", e)),
            None => Ok(()),
        }
    }

    /// Makes the journal durable against a power cut as well.
    pub fn sync(&self) -> Result<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        journal.file.sync_all().map_err(|cause| Error::retry("sync the journal", cause))
    }

    pub fn next_seq(&self) -> u64 {
        self.last_seq + 1
    }

    pub fn customer(&self, id: &str) -> Option<&Customer> {
        self.ids.get(id).and_then(|seq| self.customers.get(seq))
    }

    pub fn event(&self, id: &str) -> Option<&Event> {
        self.event_ids.get(id).and_then(|seq| self.events.get(seq))
    }

    /// The answer kept for a key that is not too old.
    pub fn kept(&self, key: &str, now_s: i64) -> Option<&Kept> {
        self.keys.get(key).filter(|kept| now_s - kept.at < KEY_AGE_MAX_S)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on has failed
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn customer(seq: u64) -> Customer {
        Customer {
            seq,
            id: format!("cus_{seq}"),
            created: 1,
            email: None,
            deleted: false,
            changed_ms: 0,
            json: raw("{\"a\":1}"),
            before: None,
        }
    }

    fn kept(key: &str, at: i64) -> Kept {
        let text = String::new;
        let key = key.to_owned();
        Kept { key, fingerprint: text(), status: 200, body: text(), request_id: text(), at }
    }

    #[test]
    fn what_was_committed_is_there_again_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state");
        let mut store = Store::open(Some(&path)).unwrap();
        for seq in 1..4 {
            let entry = Entry { customer: Some(customer(seq)), ..Entry::default() };
            store.commit(entry).unwrap();
        }
        drop(store);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"customer\":{\"seq\":9");
        fs::write(&path, text).unwrap();
        let store = Store::open(Some(&path)).unwrap();
        assert_eq!(store.customers.len(), 3);
        assert_eq!(store.next_seq(), 4);
        assert_eq!(store.customer("cus_2").unwrap().json.get(), "{\"a\":1}");
    }

    #[test]
    fn a_file_that_is_not_a_journal_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "dear diary\n").unwrap();
        assert!(Store::open(Some(&path)).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "dear diary\n");
    }

    #[test]
    fn a_key_is_forgotten_after_24_hours() {
        let mut store = Store::default();
        store.commit(Entry { kept: Some(kept("a", 1000)), ..Entry::default() }).unwrap();
        assert!(store.kept("a", 1000 + KEY_AGE_MAX_S - 1).is_some());
        assert!(store.kept("a", 1000 + KEY_AGE_MAX_S).is_none());
        let at = 1000 + KEY_AGE_MAX_S;
        store.commit(Entry { kept: Some(kept("b", at)), ..Entry::default() }).unwrap();
        assert_eq!(store.keys.len(), 1);
    }
}
