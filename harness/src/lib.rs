//! Diorama's harness: scenario -> plan -> virtual machines -> records -> comparison -> report.
//!
//! Arrows point downwards only; the modules marked *pure* know no file system, process, clock
//! or async runtime. See ARCHITECTURE.md.

pub mod bundle;
pub mod carried;
pub mod cli;
pub mod clock;
pub mod compare; // pure
pub mod devices;
pub mod digest; // pure
pub mod error;
pub mod files;
pub mod filesystem; // pure
#[doc(hidden)]
pub mod fuzz;
pub mod host;
pub mod image;
pub mod kernel;
pub mod lock;
pub mod metal; // pure
pub mod pages;
pub mod plan; // pure
pub mod profile;
pub mod provision;
pub mod record;
pub mod report; // pure
pub mod run;
pub mod runtime;
pub mod scenario; // pure, but for reading the file
pub mod shared_object; // pure
pub mod sharing;
pub mod store;
pub mod suggest; // pure
pub mod text; // pure
pub mod units; // pure
pub mod vm;
pub mod vocabulary; // pure
