//! Marks in the agent's own instructions, by which whoever watches the guest's execution knows what
//! is being measured. They are executed whether or not somebody watches, and do nothing.

/// A mark is `NOP dword [RAX+RAX+disp32]` whose displacement is this, with a [`Mark`] in its lowest
/// byte ("DIO").
pub const MARK: u32 = 0x4449_4f00;

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mark {
    /// Windows follow: instructions are to be counted from here on.
    Count = 1,
    /// The windows that follow are those of the repetitions, and may be profiled.
    Profile = 2,
    /// A window opens.
    Open = 3,
    /// It closes.
    Close = 4,
    /// All is measured.
    End = 5,
}
