//! A pseudo-terminal (pty(7)).

use crate::{
    fail::{Fail, Result},
    sys,
};
use diorama_wire::{Size, config};
use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
};

/// The end that is written to and read like a keyboard and a screen, and the one that a shell has.
///
/// # Errors
/// When the kernel has no pseudo-terminals.
pub fn open(size: Size) -> Result<(File, File)> {
    let open = |path: &str| {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        // Nobody's terminal until somebody says so.
        (options.custom_flags(libc::O_NOCTTY).open(path)).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Fail::unsupported(
                format!("the kernel has no pseudo-terminals ({path})"),
                &[config::UNIX98_PTYS],
            ),
            _ => Fail::os(format_args!("open {path}"), &e),
        })
    };
    let master = open("/dev/pts/ptmx").or_else(|_| open("/dev/ptmx"))?;
    let fd = master.as_raw_fd();
    let (unlocked, mut number): (libc::c_int, libc::c_uint) = (0, 0);
    // SAFETY: an open descriptor, and integers that are read and written.
    let returned = unsafe {
        match libc::ioctl(fd, libc::TIOCSPTLCK, &raw const unlocked) {
            0 => libc::ioctl(fd, libc::TIOCGPTN, &raw mut number),
            failed => failed,
        }
    };
    sys::check(returned.into()).map_err(|e| Fail::os("unlock a pseudo-terminal", &e))?;
    let slave = open(&format!("/dev/pts/{number}"))?;
    resize(&master, size);
    Ok((master, slave))
}

/// Gives the terminal another size; the kernel tells those who are on it.
pub fn resize(master: &File, size: Size) {
    let size = libc::winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: an open descriptor, and a valid value, only read. Without a size programs take 80 by 24.
    unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_terminal_has_its_size_and_both_of_its_ends() {
        let size = Size {
            rows: 40,
            columns: 100,
        };
        let (mut master, mut slave) = open(size).unwrap();
        // SAFETY: all of it may be zero.
        let mut found: libc::winsize = unsafe { std::mem::zeroed() };
        // SAFETY: an open descriptor and a valid place.
        let asked = unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCGWINSZ, &raw mut found) };
        assert_eq!((asked, found.ws_row, found.ws_col), (0, 40, 100));
        slave.write_all(b"a\n").unwrap();
        let mut shown = [0; 3];
        master.read_exact(&mut shown).unwrap();
        assert_eq!(&shown, b"a\r\n");
    }
}
