//! The words that all floors share: which cell, what came of it, which kernel, which file (pure).
//!
//! What only one floor knows stays there; what two speak of is here, below both. Upper floors hand
//! some of it on under their own names: `scenario::Lane`, `record::Outcome`, `lock::LockedFile`.

mod accel;
pub mod canonical;
mod cell;
mod file;
mod identity;
mod kernel;
mod outcome;
mod trial;
mod verdict;
mod vmm;

pub use accel::Accel;
pub use cell::{CellKey, Clock, DeviceKind, Lane, Metric, SubjectKey};
pub use file::LockedFile;
pub use identity::{CellInputs, LANE_VERSION, MachineInputs, TreeItem, tree_text};
pub use kernel::KernelVersion;
pub use outcome::{DriveWork, HostSide, Instructions, Measured, MemoryDigests, Origin, Outcome};
pub use trial::{DeviceNode, KvmTrial};
pub use verdict::{Better, Verdict};
pub use vmm::VmmRecord;
