//! Parsers of the kernel's counters. Pure.

use diorama_wire::Rw;

/// Three figures of /proc/stat (Documentation/filesystems/proc.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcStat {
    /// `ctxt`
    pub context_switches: u64,
    /// `intr`, first figure.
    pub interrupts: u64,
    /// `processes`: forks since boot, of threads too.
    pub forks: u64,
}

/// Reads /proc/stat.
pub fn proc_stat(text: &[u8]) -> Option<ProcStat> {
    Some(ProcStat {
        context_switches: first_number(text, b"ctxt ")?,
        interrupts: first_number(text, b"intr ")?,
        forks: first_number(text, b"processes ")?,
    })
}

/// The number that follows `key` at the beginning of a line.
fn first_number(text: &[u8], key: &[u8]) -> Option<u64> {
    lines(text)
        .find_map(|l| l.strip_prefix(key))
        .and_then(number)
}

/// The number that a text begins with, spaces aside.
fn number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_start();
    let end = text
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b'\n')
}

/// Requests of one direction (Documentation/block/stat.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Requests completed.
    pub ios: u64,
    /// Requests merged into others before.
    pub merges: u64,
    /// 512-byte sectors of the completed ones.
    pub sectors: u64,
}

impl Requests {
    /// These and others.
    fn and(self, other: Requests) -> Requests {
        Requests {
            ios: self.ios.wrapping_add(other.ios),
            merges: self.merges.wrapping_add(other.merges),
            sectors: self.sectors.wrapping_add(other.sectors),
        }
    }

    /// What was added since `earlier`.
    pub fn since(self, earlier: Requests) -> Requests {
        Requests {
            ios: self.ios.wrapping_sub(earlier.ios),
            merges: self.merges.wrapping_sub(earlier.merges),
            sectors: self.sectors.wrapping_sub(earlier.sectors),
        }
    }

    /// Whether so many I/Os of so many bytes may have been among these. The file system's own
    /// requests may add to them, the block layer may split a large I/O into several requests, and it
    /// may merge small ones; but whatever was moved must have passed the device.
    pub fn covers(self, ios: u64, bytes: u64) -> bool {
        self.sectors * 512 >= bytes && self.ios + self.merges >= ios
    }
}

/// /sys/block/*/stat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStat {
    read: Requests,
    write: Requests,
    /// Flush requests completed; counted from 5.5 on.
    pub flushes: Option<u64>,
}

impl DiskStat {
    /// Of two disks together.
    pub fn and(self, other: DiskStat) -> DiskStat {
        let flushes = self.flushes.zip(other.flushes);
        DiskStat {
            read: self.read.and(other.read),
            write: self.write.and(other.write),
            flushes: flushes.map(|(one, other)| one.wrapping_add(other)),
        }
    }

    /// The requests of a workload's direction; both for a mix.
    pub fn of(&self, rw: Rw) -> Requests {
        match (rw.reads(), rw.writes()) {
            (true, false) => self.read,
            (false, _) => self.write,
            (true, true) => self.read.and(self.write),
        }
    }
}

/// Reads /sys/block/*/stat.
pub fn disk_stat(text: &[u8]) -> Option<DiskStat> {
    let mut fields = text
        .split(u8::is_ascii_whitespace)
        .filter(|f| !f.is_empty())
        .map(number);
    let mut direction = || {
        let requests = Requests {
            ios: fields.next()??,
            merges: fields.next()??,
            sectors: fields.next()??,
        };
        // The ticks, which are of no use here.
        fields.next()??;
        Some(requests)
    };
    let (read, write) = (direction()?, direction()?);
    // In flight, two ticks, and four figures of discards (from 4.18 on) come before.
    let flushes = fields.nth(7).flatten();
    Some(DiskStat {
        read,
        write,
        flushes,
    })
}

/// Nanoseconds idle, all CPUs, from /proc/timer_list: `.idle_sleeptime` and `.iowait_sleeptime`.
/// `None` where the kernel is not tickless when idle, and so counts none.
pub fn idle_ns(text: &[u8]) -> Option<u64> {
    let mut sum = None;
    for line in lines(text) {
        let line = line.trim_ascii_start();
        let Some(rest) = line
            .strip_prefix(b".idle_sleeptime")
            .or_else(|| line.strip_prefix(b".iowait_sleeptime"))
        else {
            continue;
        };
        let value = rest
            .trim_ascii_start()
            .strip_prefix(b":")
            .and_then(number)?;
        *sum.get_or_insert(0) += value;
    }
    sum
}

/// Nanoseconds that tasks were on the only CPU, interrupts among them: the seventh figure of the
/// line `cpu0` of /proc/schedstat (Documentation/scheduler/sched-stats.rst). `None` with more CPUs.
pub fn task_ns(text: &[u8]) -> Option<u64> {
    let mut cpus = lines(text).filter_map(|l| l.strip_prefix(b"cpu"));
    let only = cpus.next()?;
    if cpus.next().is_some() {
        return None;
    }
    only.split(u8::is_ascii_whitespace).nth(7).and_then(number)
}

/// The third field of /proc/PID/schedstat: times the thread was put on a CPU
/// (Documentation/scheduler/sched-stats.rst).
pub fn schedstat_runs(text: &[u8]) -> Option<u64> {
    text.split(u8::is_ascii_whitespace).nth(2).and_then(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_cover_what_was_moved_merged_or_not_and_no_more() {
        let requests = Requests {
            ios: 90,
            merges: 10,
            sectors: 800,
        };
        assert!(requests.covers(100, 800 * 512));
        assert!(!requests.covers(101, 800 * 512));
        assert!(!requests.covers(100, 801 * 512));
    }

    #[test]
    fn large_ios_are_more_requests_than_ios_and_their_bytes_must_still_be_there() {
        // Eight I/Os of 4 MiB at 124 KiB a request, 8 of the requests merged again.
        let split = Requests {
            ios: 8 * 34 - 8,
            merges: 8,
            sectors: 8 * (4 << 20) / 512,
        };
        assert!(split.covers(8, 8 * (4 << 20)));
        // One request fewer than it takes.
        let short = Requests {
            sectors: split.sectors - 2 * 124,
            ..split
        };
        assert!(!short.covers(8, 8 * (4 << 20)));
    }

    #[test]
    fn proc_stat_gives_switches_and_all_interrupts() {
        let text = b"cpu  1 2 3 40 5 6\ncpu0 1 2 3 4 5 6\nintr 40961 0 9 0\nctxt 73421\nbtime 1704067200\nprocesses 512\n";
        assert_eq!(
            proc_stat(text),
            Some(ProcStat {
                context_switches: 73_421,
                interrupts: 40_961,
                forks: 512,
            })
        );
        assert_eq!(proc_stat(b"ctxt 1\n"), None);
        assert_eq!(proc_stat(b"intr 1\nctxt x\n"), None);
    }

    #[test]
    fn disk_stat_tells_the_directions_apart() {
        let text =
            b"      51        1     4216        0    11234       17    90112      312        0\n";
        let stat = disk_stat(text).unwrap();
        assert_eq!(
            (stat.of(Rw::Read).ios, stat.of(Rw::Read).sectors),
            (51, 4216)
        );
        let write = stat.of(Rw::Write);
        assert_eq!(
            (write.ios, write.merges, write.sectors),
            (11_234, 17, 90_112)
        );
        assert_eq!(disk_stat(b"1 2 3 4 5"), None);
    }

    #[test]
    fn flushes_are_counted_where_the_kernel_counts_them() {
        let stat = |text: &[u8]| disk_stat(text).unwrap().flushes;
        let since_5_5 = b"1 2 3 4 5 6 7 8 0 10 11 12 13 14 15 160 17\n";
        assert_eq!(stat(since_5_5), Some(160));
        assert_eq!(stat(b"1 2 3 4 5 6 7 8 0 10 11 12 13 14 15\n"), None);
        assert_eq!(stat(b"1 2 3 4 5 6 7 8 0 10 11\n"), None);
    }

    #[test]
    fn idle_time_is_summed_over_cpus_and_kinds() {
        let text = b"cpu: 0\n  .nohz_mode      : 2\n  .idle_entrytime : 5 nsecs\n  .idle_sleeptime : 1000 nsecs\n  .iowait_sleeptime: 20 nsecs\ncpu: 1\n  .idle_sleeptime : 3 nsecs\n";
        assert_eq!(idle_ns(text), Some(1023));
        assert_eq!(idle_ns(b"cpu: 0\n  .hres_active : 1\n"), None);
    }

    #[test]
    fn schedstat_gives_the_time_of_tasks_on_a_single_cpu() {
        let one =
            b"version 17\ntimestamp 4294895099\ncpu0 0 0 0 0 0 0 6094455409 1527754556 2483\n";
        assert_eq!(task_ns(one), Some(6_094_455_409));
        let two = b"version 15\ncpu0 0 0 0 0 0 0 1 2 3\ndomain0 3 1\ncpu1 0 0 0 0 0 0 1 2 3\n";
        assert_eq!(task_ns(two), None);
        assert_eq!(task_ns(b"version 17\n"), None);
    }

    #[test]
    fn schedstat_gives_the_runs() {
        assert_eq!(schedstat_runs(b"8139251 44810 92\n"), Some(92));
        assert_eq!(schedstat_runs(b"1 2\n"), None);
    }
}
