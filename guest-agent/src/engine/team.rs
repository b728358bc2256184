//! Several threads (fio's `numjobs` with `thread=1`): each has its own engine, pattern and file, or
//! descriptor of the one that they share, and is pinned to a CPU, round-robin. A stretch begins for all of them at one moment, and ends for all
//! at one; rates are sums.

use super::{Engine, How, Span};
use crate::{
    clock,
    fail::{Fail, Result},
    file::PreparedFile,
    latency::Latency,
    seconds, sys,
};
use diorama_wire::{Bound, Workload};
use std::{
    ops::Range,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

/// From the order to the beginning of a stretch, ns: enough to wake every thread.
const LEAD_NS: u64 = 500_000;

/// Stack of a thread in bytes.
const STACK: usize = 256 << 10;

/// What a thread is told.
enum Order {
    Rewind,
    Run { at: u64, bound: Bound },
    PerSecond,
    Verify,
    Written(Range<u64>),
}

/// What it answers.
enum Answer {
    Ready(Vec<String>),
    Rewound,
    Ran(Span, Box<Latency>),
    PerSecond(Vec<u64>),
    Verified(u64),
    Written(Vec<Vec<u64>>),
}

/// One thread; it ends when its orders do.
struct Member {
    orders: Option<Sender<Order>>,
    answers: Receiver<Result<Answer>>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    fn tell(&self, order: Order) -> Result<()> {
        let orders = self.orders.as_ref().ok_or_else(ended)?;
        orders.send(order).map_err(|_| ended())
    }

    fn answer(&self) -> Result<Answer> {
        self.answers.recv().map_err(|_| ended())?
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so, and powered the guest off.
            let _ = thread.join();
        }
    }
}

fn ended() -> Box<Fail> {
    Fail::step("a thread of the engine ended before its work")
}

/// The threads.
pub struct Team {
    members: Vec<Member>,
    features: Vec<String>,
    /// The file that they share, if they do.
    shared: Option<Arc<PreparedFile>>,
}

impl Team {
    /// Starts a thread for each file and has each set its engine up.
    ///
    /// # Errors
    /// The first thread's that fails.
    pub fn new(workload: &Workload, files: &[Arc<PreparedFile>], how: How) -> Result<Team> {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let mut team = Team {
            members: Vec::new(),
            features: Vec::new(),
            shared: (files.first().filter(|_| workload.shares_a_file())).map(Arc::clone),
        };
        for (index, file) in (0u32..).zip(files) {
            let (orders, to_do) = channel();
            let (done, answers) = channel();
            let (workload, file) = (workload.clone(), Arc::clone(file));
            let place = Place {
                index,
                cpu: index as usize % cpus,
            };
            let thread = thread::Builder::new()
                .stack_size(STACK)
                .spawn(move || work(&workload, file, &place, how, &to_do, &done))
                .map_err(|e| Fail::os(format_args!("start thread {index}"), &e))?;
            team.members.push(Member {
                orders: Some(orders),
                answers,
                thread: Some(thread),
            });
            // One after the other, so that their set-up is in one order in every run.
            if let Some(Answer::Ready(features)) =
                team.members.last().map(Member::answer).transpose()?
            {
                team.features = features;
            }
        }
        Ok(team)
    }
}

impl Team {
    /// What each wrote last in a span of their file.
    fn ask(&self, span: &Range<u64>) -> Result<Vec<Vec<u64>>> {
        let mut all = Vec::with_capacity(self.members.len());
        for member in &self.members {
            member.tell(Order::Written(span.clone()))?;
            if let Answer::Written(own) = member.answer()? {
                all.extend(own);
            }
        }
        Ok(all)
    }
}

/// Which thread, and its CPU.
struct Place {
    index: u32,
    cpu: usize,
}

/// A thread's life.
fn work(
    workload: &Workload,
    file: Arc<PreparedFile>,
    place: &Place,
    how: How,
    orders: &Receiver<Order>,
    answers: &Sender<Result<Answer>>,
) {
    clock::sleep_exactly();
    let made = pin(place.cpu).and_then(|()| super::runner(workload, file, place.index, how));
    let mut engine = match made {
        Ok(engine) => {
            let _ = answers.send(Ok(Answer::Ready(engine.features())));
            engine
        }
        Err(e) => {
            let _ = answers.send(Err(e));
            return;
        }
    };
    let mut latency = Box::new(Latency::new());
    for order in orders {
        let answer = match order {
            Order::Rewind => engine.rewind().map(|()| Answer::Rewound),
            Order::PerSecond => engine.per_second().map(Answer::PerSecond),
            Order::Verify => engine.verify().map(Answer::Verified),
            Order::Written(span) => engine.written(span).map(Answer::Written),
            Order::Run { at, bound } => {
                latency.reset();
                clock::sleep_until_exactly(at);
                // The window closes for all at once, even for a thread that comes late.
                let bound = match bound {
                    Bound::Runtime(ns) => Bound::Runtime((at + ns).saturating_sub(clock::now())),
                    ios => ios,
                };
                engine
                    .run(bound, &mut latency)
                    .map(|span| Answer::Ran(span, latency.clone()))
            }
        };
        // The other end may have given up because of another thread.
        if answers.send(answer).is_err() {
            return;
        }
    }
}

/// Binds the calling thread to a CPU.
fn pin(cpu: usize) -> Result<()> {
    // SAFETY: a set of CPUs may be all zeros.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: a valid set; a CPU beyond its size is ignored.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: a valid set of the size named.
    let returned = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
    sys::check(returned.into())
        .map(drop)
        .map_err(|e| Fail::os(format_args!("sched_setaffinity to CPU {cpu}"), &e))
}

/// The stretch of all threads: one window, sums of what they did in it.
fn together(at: u64, bound: Bound, spans: &[Span]) -> Span {
    let sum = |of: fn(&Span) -> u64| spans.iter().map(of).sum();
    let end = spans.iter().map(|s| s.end).max().unwrap_or(at);
    Span {
        start: at,
        window_ns: match bound {
            Bound::Runtime(ns) => ns,
            Bound::Ios(_) => end - at,
        },
        window_ios: sum(|s| s.window_ios),
        window_reads: sum(|s| s.window_reads),
        end,
        ios: sum(|s| s.ios),
        reads: sum(|s| s.reads),
        fsyncs: sum(|s| s.fsyncs),
        user_ns: sum(|s| s.user_ns),
        // The device stalls for all of them.
        stalls: spans.iter().map(|s| s.stalls).max().unwrap_or(0),
        stall_end: spans.iter().filter_map(|s| s.stall_end).max(),
    }
}

impl Engine for Team {
    fn features(&self) -> Vec<String> {
        self.features.clone()
    }

    fn rewind(&mut self) -> Result<()> {
        // One after the other: the file system then lays the files out the same way every time.
        for member in &self.members {
            member.tell(Order::Rewind)?;
            member.answer()?;
        }
        Ok(())
    }

    fn run(&mut self, bound: Bound, latency: &mut Latency) -> Result<Span> {
        let at = clock::now() + LEAD_NS;
        for member in &self.members {
            member.tell(Order::Run { at, bound })?;
        }
        let mut spans = Vec::with_capacity(self.members.len());
        for member in &self.members {
            if let Answer::Ran(span, more) = member.answer()? {
                spans.push(span);
                latency.add(&more);
            }
        }
        Ok(together(at, bound, &spans))
    }

    fn per_second(&mut self) -> Result<Vec<u64>> {
        let mut sum = Vec::new();
        for member in &self.members {
            member.tell(Order::PerSecond)?;
            if let Answer::PerSecond(counts) = member.answer()? {
                seconds::add(&mut sum, &counts);
            }
        }
        Ok(sum)
    }

    fn verify(&mut self) -> Result<u64> {
        if let Some(file) = &self.shared {
            return file.verify_shared(|span| self.ask(&span));
        }
        let mut blocks = 0;
        for member in &self.members {
            member.tell(Order::Verify)?;
            if let Answer::Verified(n) = member.answer()? {
                blocks += n;
            }
        }
        Ok(blocks)
    }

    fn written(&mut self, span: Range<u64>) -> Result<Vec<Vec<u64>>> {
        self.ask(&span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_one_window_and_their_work_adds_up() {
        let one = Span {
            start: 1010,
            window_ns: 500,
            window_ios: 40,
            window_reads: 10,
            end: 1600,
            ios: 50,
            reads: 12,
            fsyncs: 3,
            user_ns: 20,
            stalls: 2,
            stall_end: Some(1500),
        };
        let other = Span {
            end: 1700,
            stalls: 1,
            stall_end: None,
            ..one
        };
        let both = together(1000, Bound::Runtime(500), &[one, other]);
        assert_eq!((both.start, both.window_ns, both.end), (1000, 500, 1700));
        assert_eq!((both.window_ios, both.window_reads), (80, 20));
        assert_eq!(
            (both.ios, both.reads, both.fsyncs, both.user_ns),
            (100, 24, 6, 40)
        );
        assert_eq!((both.stalls, both.stall_end), (2, Some(1500)));
        assert_eq!(together(1000, Bound::Ios(50), &[one, other]).window_ns, 700);
    }
}
