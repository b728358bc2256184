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

/// Whether what follows an instruction in its block is executed for certain once it is: it works on
/// registers alone, or, in the kernel, on the stack, and can neither fault nor touch a device.
/// Instructions that are not known are said not to.
#[must_use]
pub fn stays(bytes: &[u8], kernel: bool) -> bool {
    let mut rest = bytes;
    while let [0x40..=0x4f | 0x2e | 0x3e | 0x66, more @ ..] = rest {
        rest = more;
    }
    let (known, modrm, more) = match rest {
        // PUSH, POP of a register; PUSH imm
        [0x50..=0x5f | 0x68 | 0x6a, ..] => return kernel,
        // NOP, CBW and CWD in all sizes, MOV imm to a register
        [0x90 | 0x98 | 0x99 | 0xb0..=0xbf, ..] => return true,
        // ADD, OR, ADC, SBB, AND, SUB, XOR, CMP of AL/EAX and an immediate; TEST
        [op @ 0x00..=0x3f, ..] if op & 7 == 4 || op & 7 == 5 => return true,
        [0xa8 | 0xa9, ..] => return true,
        // LEA, and the NOP that has an operand: no memory is touched
        [0x8d, ..] | [0x0f, 0x1f, ..] => return true,
        // ENDBR64
        [0xf3, 0x0f, 0x1e, 0xfa] => return true,
        // BSWAP
        [0x0f, 0xc8..=0xcf, ..] => return true,
        [0x0f, op, modrm, more @ ..] => {
            let known = match op {
                // CMOVcc, SETcc; SHLD, SHRD; IMUL; MOVZX, MOVSX
                0x40..=0x4f | 0x90..=0x9f => true,
                0xa4 | 0xa5 | 0xac | 0xad | 0xaf | 0xb6 | 0xb7 | 0xbe | 0xbf => true,
                // BT, BTS, BTR, BTC of a register that holds the bits, and the same by immediates
                0xa3 | 0xab | 0xb3 | 0xbb => *modrm >= 0xc0,
                0xba => modrm >> 3 & 7 >= 4,
                _ => false,
            };
            (known, *modrm, more)
        }
        [op, modrm, more @ ..] => {
            let reg = modrm >> 3 & 7;
            let known = match op {
                // the eight operations on registers and memory; MOVSXD; the same with immediates
                0x00..=0x3f => op & 7 < 4,
                0x63 | 0x69 | 0x6b | 0x80 | 0x81 | 0x83 => true,
                // TEST, XCHG, MOV; shifts
                0x84..=0x8b | 0xc0 | 0xc1 | 0xd0..=0xd3 => true,
                // MOV imm; INC and DEC; TEST, NOT, NEG, MUL and IMUL, but not DIV
                0xc6 | 0xc7 => reg == 0,
                0xfe | 0xff => reg < 2,
                0xf6 | 0xf7 => reg < 6,
                _ => false,
            };
            (known, *modrm, more)
        }
        _ => return false,
    };
    // SIB with RSP as its base, with any displacement.
    let stack = modrm & 7 == 4
        && modrm < 0xc0
        && more.first().is_some_and(|sib| sib & 0x3f == 0x24)
        && !rex_b(bytes);
    known && (modrm >= 0xc0 || kernel && stack)
}

/// Whether a REX prefix makes the base another register.
fn rex_b(bytes: &[u8]) -> bool {
    let prefix = |byte: &&u8| matches!(byte, 0x40..=0x4f | 0x2e | 0x3e | 0x66);
    let last = bytes.iter().take_while(prefix).last();
    last.is_some_and(|byte| byte & 0xf1 == 0x41)
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
    fn what_works_on_registers_alone_stays_in_its_block() {
        // add %rbx,%rax; xor $0x10,%r8d; lea 8(%rdi),%rsi; test %al,%al; movzbl %al,%eax; nopl 0(%rax);
        // shl $3,%rax; imul %rdx,%rax; cmove %r9,%rax; mov $1,%eax; cmp $5,%eax; neg %rax; bts %rax,%rbx
        for known in [
            &[0x48, 0x01, 0xd8][..],
            &[0x41, 0x83, 0xf0, 0x10],
            &[0x48, 0x8d, 0x77, 0x08],
            &[0x84, 0xc0],
            &[0x0f, 0xb6, 0xc0],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x48, 0xc1, 0xe0, 0x03],
            &[0x48, 0x0f, 0xaf, 0xc2],
            &[0x49, 0x0f, 0x44, 0xc1],
            &[0xb8, 1, 0, 0, 0],
            &[0x83, 0xf8, 0x05],
            &[0x48, 0xf7, 0xd8],
            &[0x48, 0x0f, 0xab, 0xc3],
            &[0xf3, 0x0f, 0x1e, 0xfa],
        ] {
            assert!(stays(known, false), "{known:x?}");
        }
        // mov (%rdi),%rax; lock xadd; rep movsq; div %rcx; pause; rdtsc; wrmsr; hlt; cli; mov %gs:0,%rax;
        // in; out; syscall; int3; xbegin; bts %rax,(%rbx); mov (%r12),%rax; mov 8(%rsp,%rax),%rax; movaps
        for unknown in [
            &[0x48, 0x8b, 0x07][..],
            &[0xf0, 0x0f, 0xc1, 0x07],
            &[0xf3, 0x48, 0xa5],
            &[0x48, 0xf7, 0xf1],
            &[0xf3, 0x90],
            &[0x0f, 0x31],
            &[0x0f, 0x30],
            &[0xf4],
            &[0xfa],
            &[0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0],
            &[0xec],
            &[0xee],
            &[0x0f, 0x05],
            &[0xcc],
            &[0xc7, 0xf8, 0, 0, 0, 0],
            &[0x48, 0x0f, 0xab, 0x03],
            &[0x49, 0x8b, 0x04, 0x24],
            &[0x48, 0x8b, 0x44, 0x04, 0x08],
            &[0x0f, 0x28, 0xc1],
            &[],
        ] {
            assert!(!stays(unknown, true), "{unknown:x?}");
        }
    }

    #[test]
    fn the_kernel_has_a_stack_that_is_there() {
        // push %rbp; pop %r12; mov 0x10(%rsp),%rax; movl $0,(%rsp); add %rax,0x100(%rsp)
        for stack in [
            &[0x55][..],
            &[0x41, 0x5c],
            &[0x48, 0x8b, 0x44, 0x24, 0x10],
            &[0xc7, 0x04, 0x24, 0, 0, 0, 0],
            &[0x48, 0x01, 0x84, 0x24, 0, 1, 0, 0],
        ] {
            assert!(stays(stack, true) && !stays(stack, false), "{stack:x?}");
        }
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
