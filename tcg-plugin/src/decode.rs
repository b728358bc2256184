//! The few kinds of x86-64 instructions that a profile depends on, by their encoding (AMD64
//! Architecture Programmer's Manual, volume 3).

/// How a block of instructions ends, as far as the call stack is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a call of this address; [`None`] where only its execution tells.
    Call(Option<u64>),
    /// With a return.
    Return,
    /// With anything else: a jump, a fault, the end of what was translated.
    Other,
}

/// The end of a block whose last instruction, at `address`, is this.
#[must_use]
pub fn end(address: u64, bytes: &[u8]) -> End {
    match without_prefixes(bytes) {
        // CALL rel32
        [0xe8, rel @ ..] if rel.len() == 4 => {
            let rel = i32::from_le_bytes([rel[0], rel[1], rel[2], rel[3]]);
            let after = address.wrapping_add(bytes.len() as u64);
            End::Call(Some(after.wrapping_add_signed(rel.into())))
        }
        // CALL r/m64: FF /2
        [0xff, modrm, ..] if modrm >> 3 & 7 == 2 => End::Call(None),
        // RET, RET imm16
        [0xc3] | [0xc2, _, _] => End::Return,
        _ => End::Other,
    }
}

/// Whether an instruction loads the stack pointer from memory behind RSI: in the kernel that is
/// `__switch_to_asm` going over to the next task, whose `thread.sp` it reads.
#[must_use]
pub fn switches_stack(bytes: &[u8]) -> bool {
    // MOV RSP, [RSI + disp8] and [RSI + disp32]
    matches!(bytes, [0x48, 0x8b, 0x66, _] | [0x48, 0x8b, 0xa6, ..])
}

/// The number that a mark carries, if an instruction is one: `NOP dword [RAX+RAX+disp32]`, whose
/// displacement is `mark` with the number in its lowest byte.
#[must_use]
pub fn marked(bytes: &[u8], mark: u32) -> Option<u8> {
    let [0x0f, 0x1f, 0x84, 0x00, disp @ ..] = bytes else {
        return None;
    };
    let disp = u32::from_le_bytes(disp.try_into().ok()?);
    (disp & !0xff == mark).then_some((disp & 0xff) as u8)
}

/// Without REX, CS/DS (as padding and for branch hints), operand-size and REPNE prefixes.
fn without_prefixes(mut bytes: &[u8]) -> &[u8] {
    while let [0x40..=0x4f | 0x2e | 0x3e | 0x66 | 0xf2 | 0xf3, rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_returns_are_told_from_jumps() {
        let call = [0xe8, 0xfb, 0xff, 0xff, 0xff];
        assert_eq!(end(0x1000, &call), End::Call(Some(0x1000)));
        // call *0x20(%rax); notrack call *%r11 (3e 41 ff d3)
        assert_eq!(end(0, &[0xff, 0x50, 0x20]), End::Call(None));
        assert_eq!(end(0, &[0x3e, 0x41, 0xff, 0xd3]), End::Call(None));
        // jmp *%rax, push (%rax)
        assert_eq!(end(0, &[0xff, 0xe0]), End::Other);
        assert_eq!(end(0, &[0xff, 0x30]), End::Other);
        for ret in [&[0xc3][..], &[0xf3, 0xc3], &[0xc2, 8, 0]] {
            assert_eq!(end(0, ret), End::Return);
        }
        // iretq, sysretq, syscall
        for other in [&[0x48, 0xcf][..], &[0x48, 0x0f, 0x07], &[0x0f, 0x05], &[]] {
            assert_eq!(end(0, other), End::Other);
        }
    }

    #[test]
    fn a_switch_of_stacks_reads_the_stack_pointer_behind_rsi() {
        assert!(switches_stack(&[0x48, 0x8b, 0xa6, 0x18, 0x14, 0, 0]));
        assert!(switches_stack(&[0x48, 0x8b, 0x66, 0x18]));
        // mov %rsp, 0x1418(%rdi), which saves it
        assert!(!switches_stack(&[0x48, 0x89, 0xa7, 0x18, 0x14, 0, 0]));
    }

    #[test]
    fn a_mark_is_a_nop_with_our_displacement() {
        let nop = |disp: u32| {
            let d = disp.to_le_bytes();
            [0x0f, 0x1f, 0x84, 0x00, d[0], d[1], d[2], d[3]]
        };
        let mark = 0x4449_4f00;
        assert_eq!(marked(&nop(mark | 2), mark), Some(2));
        assert_eq!(marked(&nop(0), mark), None);
        assert_eq!(marked(&nop(mark)[..7], mark), None);
    }
}
