//! Process groups: killing one, its memory, and recognizing one that an earlier process of Kiln started.
//!
//! Reads `/proc`, which other systems than Linux lack. There, no memory is measured and no group recognized.

use std::fs;
use std::process::Child;

/// A program that was started, in a form that can be stored. A process id alone is not enough, because the
/// system uses ids again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The process id of the program, which is also the id of its group.
    pub id: u32,
    /// When the program started, in the system's ticks since it was booted. `None` if the system does not
    /// say.
    pub started: Option<u64>,
}

/// A line of the system's process table.
struct Listed {
    id: u32,
    group: u32,
    started: u64,
    pages: u64,
}

impl Identity {
    pub(crate) fn of(child: &Child) -> Self {
        Self::with_id(child.id())
    }

    /// Returns the identity of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::with_id(std::process::id())
    }

    fn with_id(id: u32) -> Self {
        Self { id, started: read(id).map(|listed| listed.started) }
    }

    /// Whether the program, or a program of its group, still runs. `false` where the system does not say.
    #[must_use]
    pub fn is_running(self) -> bool {
        match (self.started, read(self.id)) {
            // The usual case needs no look at the whole process table.
            (Some(started), Some(first)) => first.started == started,
            (Some(started), None) => is_running(self.id, started, &table()),
            (None, _) => false,
        }
    }

    /// Returns the memory of the program's group if it exceeds `limit`, in bytes.
    #[must_use]
    pub fn memory_above(self, limit: u64) -> Option<u64> {
        memory_above(self.id, limit)
    }

    /// Kills the group if it still runs, and waits until it is gone. A group of another program that has the
    /// same id by now is left alone. Returns whether the group was there.
    #[must_use]
    pub fn end(self) -> bool {
        let is_there = || self.started.is_some_and(|started| is_running(self.id, started, &table()));
        if !is_there() {
            return false;
        }
        kill_group(self.id);
        for _ in 0..500 {
            if !is_there() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        true
    }
}

/// Whether a process of the group runs. If the group's first process is still listed, it must have started
/// at this time. Otherwise the id belongs to a later program.
fn is_running(group: u32, started: u64, table: &[Listed]) -> bool {
    match table.iter().find(|listed| listed.id == group) {
        Some(first) => first.started == started,
        None => table.iter().any(|listed| listed.group == group && listed.started >= started),
    }
}

/// Returns a text that is the same from one start of the system to the next. Identities of processes mean
/// nothing after a restart. `None` if the system does not say.
#[must_use]
pub fn boot() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Makes the system end this process before others if memory runs out. Does nothing where the system has no
/// such order.
pub fn end_first_without_memory() {
    let _ = fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/oom_score_adj")
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"500"));
}

/// Whether this system says how much memory a program uses.
#[must_use]
pub fn can_measure_memory() -> bool {
    read(std::process::id()).is_some()
}

/// Returns the memory of all processes of a group if it exceeds `limit`, in bytes. Reading resident sizes is
/// fast, but counts shared pages several times. So the exact sizes are read only if the sum exceeds the
/// limit.
pub(crate) fn memory_above(group: u32, limit: u64) -> Option<u64> {
    let members: Vec<Listed> = table().into_iter().filter(|listed| listed.group == group).collect();
    let page = page_bytes();
    let resident: u64 = members.iter().map(|listed| listed.pages.saturating_mul(page)).sum();
    if resident <= limit {
        return None;
    }
    let exact = |listed: &Listed| proportional(listed.id).unwrap_or(listed.pages.saturating_mul(page));
    let bytes: u64 = members.iter().map(exact).sum();
    (bytes > limit).then_some(bytes)
}

#[cfg(unix)]
fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(not(unix))]
fn page_bytes() -> u64 {
    4096
}

/// Reads the memory of a process in which each shared page counts by its share.
fn proportional(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn table() -> Vec<Listed> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(read).collect()
}

fn read(id: u32) -> Option<Listed> {
    parsed(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Parses `/proc/ID/stat`. The second field is the program's name in parentheses, and may contain anything.
/// A dead process whose parent has not asked for its status counts as gone.
fn parsed(id: u32, text: &str) -> Option<Listed> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    // Fields 5, 22 and 24 of proc(5); `fields` begins with field 3.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Listed { id, group: number(5)? as u32, started: number(22)?, pages: number(24)? })
}

/// Asks all processes of a group to end.
#[cfg(unix)]
pub(crate) fn terminate_group(id: u32) {
    signal_group(id, rustix::process::Signal::TERM);
}

/// Kills all processes of a group.
#[cfg(unix)]
pub(crate) fn kill_group(id: u32) {
    signal_group(id, rustix::process::Signal::KILL);
}

#[cfg(unix)]
fn signal_group(id: u32, signal: rustix::process::Signal) {
    // Group 0 is that of Kiln itself. If the group is gone already, there is nothing to signal.
    if let Some(id) = i32::try_from(id).ok().filter(|id| *id > 1).and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(id, signal);
    }
}

#[cfg(not(unix))]
pub(crate) fn terminate_group(_id: u32) {}

#[cfg(not(unix))]
pub(crate) fn kill_group(_id: u32) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_the_process_table_is_read_whatever_the_name() {
        let text = "42 (a) R (b) S 1 40 40 0 -1 4194560 100 0 0 0 5 3 0 0 20 0 1 0 777 9000000 25 1 2 3";
        let Listed { id, group, started, pages } = parsed(42, text).unwrap();
        assert_eq!((id, group, started, pages), (42, 40, 777, 25));
        assert!(parsed(42, "42 (a) Z 1 40 40 0 -1 4194560 100 0 0 0 5 3 0 0 20 0 1 0 777 9 25").is_none());
        for broken in ["", "42 (a", "42 (a) S 1", "42 (a) S 1 x 40 0"] {
            assert!(parsed(42, broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn group_is_recognized_by_its_start() {
        let listed = |id, group, started| Listed { id, group, started, pages: 0 };
        let table = [listed(10, 10, 500), listed(12, 11, 700), listed(13, 13, 10)];
        assert!(is_running(10, 500, &table) && !is_running(10, 400, &table), "another program has the id");
        assert!(is_running(11, 600, &table), "the first process ended, its child runs");
        assert!(!is_running(11, 800, &table) && !is_running(14, 0, &table));
    }
}
