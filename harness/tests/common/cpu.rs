//! A CPU for each test with real guests: as many such tests run at once as there are CPUs, and none
//! takes another's time.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::{Condvar, Mutex, PoisonError};

/// CPUs that no test has; none before the first test has looked which there are.
static FREE: Mutex<Option<Vec<usize>>> = Mutex::new(None);
static RETURNED: Condvar = Condvar::new();

/// One CPU. The thread that took it stays on it until the lease ends, and so do the programs that it starts.
pub struct Lease {
    cpu: usize,
    before: CpuSet,
}

impl Lease {
    /// Waits for one.
    #[must_use]
    pub fn take() -> Lease {
        let before = sched_getaffinity(None).expect("this thread's CPUs");
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu = loop {
            let all = free.get_or_insert_with(|| {
                let every = 0..CpuSet::MAX_CPU;
                every.rev().filter(|cpu| before.is_set(*cpu)).collect()
            });
            if let Some(cpu) = all.pop() {
                break cpu;
            }
            free = RETURNED.wait(free).unwrap_or_else(PoisonError::into_inner);
        };
        let mut only = CpuSet::new();
        only.set(cpu);
        sched_setaffinity(None, &only).expect("this thread, on one CPU");
        Lease { cpu, before }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.before);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.get_or_insert_default().push(self.cpu);
        RETURNED.notify_one();
    }
}
