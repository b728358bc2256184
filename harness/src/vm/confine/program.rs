//! What a process executes, as execve(2) takes it: made before the fork, for there nothing may be.

use std::{
    ffi::{CString, OsStr, c_char},
    io,
    os::unix::ffi::OsStrExt as _,
    process::Command,
    ptr,
};

/// A program, its arguments and its environment.
pub struct Program {
    path: CString,
    /// The words that `argv` and `envp` point to.
    _words: Vec<CString>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
}

// SAFETY: the pointers are to strings that this owns and never alters.
unsafe impl Send for Program {}
// SAFETY: the same.
unsafe impl Sync for Program {}

impl Program {
    /// A command's. Of the environment only what the command itself sets: a stranger has no business with
    /// the harness's.
    ///
    /// # Errors
    /// When a word has a zero byte in it.
    pub fn of(command: &Command) -> io::Result<Program> {
        let mut words = Vec::new();
        let mut keep = |bytes: Vec<u8>| -> io::Result<*const c_char> {
            let word = CString::new(bytes)?;
            // The bytes stay where they are when the string is moved.
            let at = word.as_ptr();
            words.push(word);
            Ok(at)
        };
        let bytes = |word: &OsStr| word.as_bytes().to_vec();
        let mut argv = vec![keep(bytes(command.get_program()))?];
        for word in command.get_args() {
            argv.push(keep(bytes(word))?);
        }
        argv.push(ptr::null());
        let mut envp = Vec::new();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                envp.push(keep([name.as_bytes(), b"=", value.as_bytes()].concat())?);
            }
        }
        envp.push(ptr::null());
        Ok(Program {
            path: CString::new(bytes(command.get_program()))?,
            _words: words,
            argv,
            envp,
        })
    }

    /// Executes it, with three more words in the registers of arguments that execve(2) does not have. Returns
    /// only where it could not.
    pub fn execute(&self, [a, b, c]: [u64; 3]) -> io::Error {
        // SAFETY: the pointers are to a string and to lists of strings that end with a null pointer.
        unsafe {
            libc::syscall(
                libc::SYS_execve,
                self.path.as_ptr(),
                self.argv.as_ptr(),
                self.envp.as_ptr(),
                a,
                b,
                c,
            )
        };
        io::Error::last_os_error()
    }
}
