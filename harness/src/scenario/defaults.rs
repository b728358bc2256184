//! What a scenario that says nothing means: every default in one place. scenarios/README.md
//! quotes them.

/// `[model] size`: room for the file three quarters full and the file system's own blocks.
pub const MODEL_SIZE: &str = "512MiB";
/// `[model] block_size`: what NVMe drives are formatted with.
pub const MODEL_BLOCK_SIZE: &str = "4096";
/// `[model] latency`: that of a fast drive's write buffer.
pub const MODEL_LATENCY: &str = "10us";
/// `[model] bandwidth`: above any 4k figure and below any 16k one in the exact lane, as the
/// report's drive was.
pub const MODEL_BANDWIDTH: &str = "440MiB/s";
/// `[model] queue_depth`: that of a Linux NVMe queue.
pub const MODEL_QUEUE_DEPTH: u32 = 1023;
/// `[model] scheduler`: NVMe's default.
pub const MODEL_SCHEDULER: &str = "none";
/// `[model] fua`, with a volatile write cache: without it a durable write is a write and a flush,
/// and costs what both do. The model has one latency for all writes, so one with FUA costs no more than any other.
pub const MODEL_FUA: bool = false;
/// `[nvme] size`: as the model's, so that one scenario fits both.
pub const NVME_SIZE: &str = MODEL_SIZE;
/// `[nvme] block_size`: as the model's.
pub const NVME_BLOCK_SIZE: &str = MODEL_BLOCK_SIZE;
/// `[nvme] serial`
pub const NVME_SERIAL: &str = "diorama";
/// `[nvme] scheduler`: NVMe's default. `[nvme] queues` are as many as the guest has CPUs.
pub const NVME_SCHEDULER: &str = "none";
/// `[guest] memory`
pub const GUEST_MEMORY: &str = "1GiB";
/// `[guest] smp`: one CPU, on which a queue of work is no one else's. `[model] submit_queues` is as
/// many, as an NVMe drive's queues are.
pub const GUEST_SMP: u32 = 1;
/// `[measure] repetitions`
pub const REPETITIONS: u32 = 5;
/// `[measure] warmup_ios`: one whole repetition.
pub const WARMUP_IOS: u32 = 0;
/// `[measure] phase_step`: its multiples meet the guest's tick (4 ms at HZ=250) at another place each,
/// for far more repetitions than anyone asks for. Windows that open at a refill have no phase.
pub const PHASE_STEP: &str = "731us";
/// `[workloads.*] iodepth`: the report's. psync has one I/O in flight, always.
pub const IODEPTH: u32 = 64;
/// `[workloads.*] ioengine`: the report's.
pub const IOENGINE: &str = "libaio";
/// `[workloads.*] size`: the report's 2 GB, scaled to a drive in memory; the path is the same.
pub const FILE_SIZE: &str = "64MiB";
