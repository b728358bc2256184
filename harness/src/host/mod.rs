//! The host: what it is, and what it can do.

pub mod cgroup;
pub mod doctor;
pub mod facts;
pub mod probe;
pub mod room;
