//! diorama
fn main() {}
