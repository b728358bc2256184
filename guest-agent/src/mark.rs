//! Marks for whoever watches the guest's execution ([`diorama_wire::Mark`]): no-operations.

use diorama_wire::{MARK, Mark};
use std::arch::asm;

macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident = $mark:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: a no-operation. As far as the compiler knows it touches memory, so that
            // nothing is moved across it.
            unsafe {
                asm!(
                    ".byte 0x0f, 0x1f, 0x84, 0x00",
                    ".long {mark}",
                    mark = const MARK | Mark::$mark as u32,
                    options(nostack, preserves_flags)
                );
            }
        }
    )*};
}

marks! {
    /// Instructions are counted from here on, if anybody counts.
    count = Count;
    /// The windows that follow are those of repetitions.
    profile = Profile;
    /// A window opens.
    open = Open;
    /// It closes.
    close = Close;
    /// All is measured.
    end = End;
}
