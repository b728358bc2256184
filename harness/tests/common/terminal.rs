//! The program on a terminal of its own: what a person types reaches the whole foreground group.

use super::{Lab, running::PATIENCE};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

/// What a terminal sends for ^C.
pub const CTRL_C: u8 = 3;

/// A program in the foreground of a pseudo-terminal.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    said: String,
}

impl Terminal {
    /// Starts `diorama` with these words as the leader of a terminal's session.
    pub fn start(lab: &Lab, words: &[&str]) -> Terminal {
        let mut command = lab.diorama();
        command.args(words);
        Terminal::of(command)
    }

    /// The same with any command.
    pub fn of(mut command: Command) -> Terminal {
        let (master, slave) = pair();
        let end = || Stdio::from(slave.try_clone().expect("the terminal"));
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: between fork and exec, two system calls that neither allocate nor take locks.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("diorama starts");
        // Only the program has the terminal's other end now: reading ends when it does.
        drop((command, slave));
        let keyboard = File::from(master);
        let mut reader = keyboard.try_clone().expect("the terminal");
        let (tell, screen) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                if tell.send(bytes[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal {
            child,
            keyboard,
            screen,
            said: String::new(),
        }
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until these words are on the screen.
    pub fn until(&mut self, words: &str) {
        let began = Instant::now();
        while !self.said.contains(words) {
            let left = PATIENCE.saturating_sub(began.elapsed());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.said.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no `{words}` on the screen: {}", self.said),
            }
        }
    }

    /// Presses a key.
    pub fn press(&mut self, key: u8) {
        self.keyboard.write_all(&[key]).expect("a key");
    }

    /// Types this, and nothing after it.
    pub fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("keys");
    }

    /// Gives the window another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = size_of(rows, columns);
        // SAFETY: an open descriptor, and a valid value, only read.
        let set =
            unsafe { libc::ioctl(self.keyboard.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(set, 0, "another size");
    }

    /// What the person has of the terminal, for when the program has ended.
    pub fn keyboard(&self) -> File {
        self.keyboard.try_clone().expect("the terminal")
    }

    /// Whether the program has every key, ^C too.
    pub fn hands_on_every_key(&self) -> bool {
        hands_on_every_key(&self.keyboard)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("signalled");
    }

    /// Its exit code, when it has ended, and all that was on the screen.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("its end");
        while let Ok(bytes) = self.screen.recv() {
            self.said.push_str(&String::from_utf8_lossy(&bytes));
        }
        println!("{}\n=> {status}", self.said);
        (status.code(), self.said)
    }
}

/// Whether whoever is on this terminal has every key, ^C too.
pub fn hands_on_every_key(keyboard: &File) -> bool {
    // SAFETY: all of it may be zero.
    let mut termios: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor and a valid place.
    let asked = unsafe { libc::tcgetattr(keyboard.as_raw_fd(), &raw mut termios) };
    assert_eq!(asked, 0, "the terminal's settings");
    termios.c_lflag & (libc::ISIG | libc::ICANON | libc::ECHO) == 0
}

fn size_of(rows: u16, columns: u16) -> libc::winsize {
    libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// A pseudo-terminal of 100 columns: what the person has, and what the program has.
fn pair() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let size = size_of(40, 100);
    // SAFETY: the pointers are to two integers and a size; the other two may be null.
    let made = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            std::ptr::null_mut(),
            std::ptr::null(),
            &raw const size,
        )
    };
    assert_eq!(made, 0, "a pseudo-terminal");
    for fd in [master, slave] {
        // SAFETY: the descriptor was made above. A guest that inherited it would keep it open.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // SAFETY: nobody else owns them.
    unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

/// Process group of a process: field 5 of proc_pid_stat(5).
pub fn group_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    fields.nth(2)?.parse().ok()
}
