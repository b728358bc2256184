//! The kernel's system-wide counters, read outside the window with files kept open.

use crate::{
    clock,
    device::Device,
    fail::{Fail, Result},
    kworkers::Kworkers,
    parse::{self, DiskStat, ProcStat},
};
use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt, path::Path, time::Duration};

/// The counters that are cheap to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast {
    /// Context switches and interrupts.
    pub stat: ProcStat,
    /// The block device's requests.
    pub disk: DiskStat,
    /// Flush requests that it completed, where the kernel counts them.
    flushes: Option<u64>,
}

impl Fast {
    /// Flush requests since an earlier reading, where the kernel counts them.
    pub fn flushes_since(&self, earlier: &Fast) -> Option<u64> {
        let (before, after) = earlier.flushes.zip(self.flushes)?;
        Some(after.wrapping_sub(before))
    }
}

/// The counters that are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// Idle time since boot, all CPUs, where the kernel says: when the reading ended before a
    /// window, when it began after one.
    pub idle: Option<Idle>,
    /// Runs of each kworker thread since its start, where the kernel counts.
    pub kworkers: Option<BTreeMap<u32, u64>>,
}

/// Idle time, by the kernel's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// To the nanosecond, in ns (/proc/timer_list).
    Exact(u64),
    /// The time less what tasks ran, in ns (/proc/schedstat): interrupts that hit an idle CPU are
    /// taken for idle time.
    WithInterrupts(u64),
}

/// So much idle time by the inexact account is none: what two readings of the clock are apart, ns.
const NOT_IDLE_NS: u64 = 10_000;

impl Idle {
    /// From `self` until another reading, ns; none where the account does not tell: it is right only
    /// if the CPU never idled.
    fn until(self, after: Idle) -> Option<u64> {
        match (self, after) {
            (Idle::Exact(before), Idle::Exact(after)) => Some(after.saturating_sub(before)),
            (Idle::WithInterrupts(before), Idle::WithInterrupts(after)) => {
                Some(after.saturating_sub(before)).filter(|idle| *idle <= NOT_IDLE_NS)
            }
            _ => None,
        }
    }
}

/// All counters on one side of a stretch of work.
pub struct Reading {
    /// The cheap ones, next to the stretch.
    pub fast: Fast,
    /// The others.
    pub slow: Slow,
}

/// What the guest spent between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Context switches.
    pub context_switches: u64,
    /// Interrupts.
    pub interrupts: u64,
    /// Nanoseconds idle, all CPUs, where the kernel says exactly.
    pub idle_ns: Option<u64>,
    /// Runs of kworkers, where the kernel counts.
    pub kworker_runs: Option<u64>,
}

impl Reading {
    /// What was spent from this reading until another one.
    pub fn until(&self, after: &Reading) -> Spent {
        let (before, after_stat) = (&self.fast.stat, &after.fast.stat);
        let idle = self.slow.idle.zip(after.slow.idle);
        let kworkers = (self.slow.kworkers.as_ref()).zip(after.slow.kworkers.as_ref());
        Spent {
            context_switches: after_stat.context_switches - before.context_switches,
            interrupts: after_stat.interrupts - before.interrupts,
            idle_ns: idle.and_then(|(before, after)| before.until(after)),
            kworker_runs: kworkers.map(|(before, after)| runs_between(before, after)),
        }
    }
}

/// The counters' files.
pub struct Counters {
    stat: Probe,
    disk: Probe,
    /// Of the disk that flushes go to, where that is another one.
    flushed: Option<Probe>,
    /// Of the disk that holds the data a second time.
    mirror: Option<Probe>,
    timer_list: Option<Probe>,
    schedstat: Option<Probe>,
    kworkers: Kworkers,
}

/// A sleep just long enough that the scheduler takes this process off the CPU, and so brings its
/// accounts up to date.
const SWITCH: Duration = Duration::from_micros(1);

impl Counters {
    /// Opens the counters of the guest and of the block device.
    ///
    /// # Errors
    /// When one that every kernel has is missing.
    pub fn open(device: &Device) -> Result<Counters> {
        let mut timer_list = Probe::open(Path::new("/proc/timer_list")).ok();
        // The kernels that account idle time elsewhere (7.1 and later) have the file without it.
        if let Some(probe) = &mut timer_list
            && parse::idle_ns(probe.read()?).is_none()
        {
            timer_list = None;
        }
        Ok(Counters {
            stat: Probe::open(Path::new("/proc/stat"))?,
            disk: Probe::open(&device.data.join("stat"))?,
            flushed: stat_of(device.flushed.as_deref())?,
            mirror: stat_of(device.mirror.as_deref())?,
            timer_list,
            schedstat: Probe::open(Path::new("/proc/schedstat")).ok(),
            kworkers: Kworkers::default(),
        })
    }

    /// Reads the cheap counters: last before a window, first after it.
    ///
    /// # Errors
    /// When a file does not read as the kernel documents it.
    pub fn fast(&mut self) -> Result<Fast> {
        let mut disk = requests(&mut self.disk)?;
        if let Some(mirror) = &mut self.mirror {
            disk = disk.and(requests(mirror)?);
        }
        let flushed = self.flushed.as_mut().map(requests).transpose()?;
        Ok(Fast {
            flushes: flushed.unwrap_or(disk).flushes,
            disk,
            stat: self.stat()?,
        })
    }

    /// Reads the others. May sleep.
    ///
    /// # Errors
    /// When a file does not read as the kernel documents it.
    pub fn slow(&mut self, edge: Edge) -> Result<Slow> {
        // What sleeps lies farther from the window than what does not, on either side.
        Ok(match edge {
            Edge::Before => {
                let kworkers = self.kworkers()?;
                let idle = self.idle(edge)?;
                Slow { idle, kworkers }
            }
            Edge::After => {
                let idle = self.idle(edge)?;
                let kworkers = self.kworkers()?;
                Slow { idle, kworkers }
            }
        })
    }

    fn kworkers(&mut self) -> Result<Option<BTreeMap<u32, u64>>> {
        let forks = self.stat()?.forks;
        Ok(self.kworkers.runs(forks))
    }

    fn stat(&mut self) -> Result<ProcStat> {
        parse::proc_stat(self.stat.read()?)
            .ok_or_else(|| Fail::step("/proc/stat lacks cpu, intr or ctxt"))
    }

    fn idle(&mut self, edge: Edge) -> Result<Option<Idle>> {
        if let Some(probe) = &mut self.timer_list {
            return Ok(parse::idle_ns(probe.read()?).map(Idle::Exact));
        }
        let Some(probe) = &mut self.schedstat else {
            return Ok(None);
        };
        // The scheduler books a task's time when it leaves the CPU. So this one leaves it at the
        // far end of the reading, and the clock is read at the near end.
        let now = match edge {
            Edge::Before => {
                std::thread::sleep(SWITCH);
                clock::now()
            }
            Edge::After => {
                let now = clock::now();
                std::thread::sleep(SWITCH);
                now
            }
        };
        Ok(parse::task_ns(probe.read()?)
            .map(|tasks| Idle::WithInterrupts(now.saturating_sub(tasks))))
    }
}

fn requests(probe: &mut Probe) -> Result<DiskStat> {
    parse::disk_stat(probe.read()?)
        .ok_or_else(|| Fail::step("the block device's stat file has too few figures"))
}

/// The counters of a disk, if there is one.
fn stat_of(sysfs: Option<&Path>) -> Result<Option<Probe>> {
    sysfs
        .map(|sysfs| Probe::open(&sysfs.join("stat")))
        .transpose()
}

/// On which side of a window a reading lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Before it opens.
    Before,
    /// After its span has ended.
    After,
}

/// A file of the kernel's that is read again and again from its beginning.
struct Probe {
    path: String,
    file: File,
    buffer: Vec<u8>,
}

/// Room for a probe's text; longer texts are an error.
const PROBE_SIZE: usize = 256 << 10;

impl Probe {
    fn open(path: &Path) -> Result<Probe> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| Fail::os(format_args!("open {name}"), &e))?;
        Ok(Probe {
            path: name,
            file,
            buffer: vec![0; PROBE_SIZE],
        })
    }

    fn read(&mut self) -> Result<&[u8]> {
        let mut len = 0;
        loop {
            let room = &mut self.buffer[len..];
            if room.is_empty() {
                return Err(Fail::step(format!(
                    "{} is longer than {PROBE_SIZE} bytes",
                    self.path
                )));
            }
            match self.file.read_at(room, len as u64) {
                Ok(0) => return Ok(&self.buffer[..len]),
                Ok(n) => len += n,
                Err(e) => return Err(Fail::os(format_args!("read {}", self.path), &e)),
            }
        }
    }
}

/// Runs between two readings: threads that appeared count whole, threads that ended not at all.
fn runs_between(before: &BTreeMap<u32, u64>, after: &BTreeMap<u32, u64>) -> u64 {
    after
        .iter()
        .map(|(pid, runs)| runs.saturating_sub(before.get(pid).copied().unwrap_or(0)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_takes_interrupts_for_idle_time_is_believed_only_of_a_busy_cpu() {
        let exact = Idle::Exact(1_000).until(Idle::Exact(900_000));
        assert_eq!(exact, Some(899_000));
        let busy = Idle::WithInterrupts(1_000).until(Idle::WithInterrupts(1_400));
        assert_eq!(busy, Some(400));
        let idle = Idle::WithInterrupts(1_000).until(Idle::WithInterrupts(900_000));
        assert_eq!(idle, None);
    }

    #[test]
    fn runs_count_new_threads_whole_and_vanished_ones_not() {
        let before = BTreeMap::from([(1, 10), (2, 5)]);
        let after = BTreeMap::from([(1, 17), (3, 4)]);
        assert_eq!(runs_between(&before, &after), 11);
    }

    #[test]
    fn a_probe_reads_from_the_beginning_every_time() {
        let mut probe = Probe::open(Path::new("/proc/stat")).unwrap();
        assert!(parse::proc_stat(probe.read().unwrap()).is_some());
        assert!(parse::proc_stat(probe.read().unwrap()).is_some());
    }
}
