//! Where packing and unpacking say how far they are.

/// Sees bytes go by.
pub trait Progress {
    /// Something of so many bytes is begun.
    fn started(&self, what: &str, bytes: u64);
    /// So many more bytes of it are done.
    fn advanced(&self, bytes: u64);
    /// It is done.
    fn finished(&self);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug)]
pub struct Unseen;

impl Progress for Unseen {
    fn started(&self, _: &str, _: u64) {}
    fn advanced(&self, _: u64) {}
    fn finished(&self) {}
}
