//! The host: what it is, and what it can do.

pub mod cgroup;
pub mod doctor;
pub mod facts;
pub mod hygiene;
pub mod probe;
pub mod room;
