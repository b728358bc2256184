//! Tests with real guests, each file one concern. One program: the harness is linked once, and as many
//! tests run at once as there are CPUs.

#[path = "../common/mod.rs"]
mod common;

mod carried;
mod cell_faults;
mod disk;
mod drive;
mod exact;
mod explain;
mod faults;
mod filesystems;
mod fio;
mod hostile;
mod image;
mod interrupted;
mod local;
mod metal;
mod patterns;
mod raw;
mod replay;
mod share;
mod sharing;
mod shell;
mod store;
mod strangers;
mod subjects;
mod terminal;
mod throttled;
