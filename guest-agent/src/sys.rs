//! Small helpers around files and system calls.

use crate::fail::{Fail, Result};
use std::{ffi::CString, fs, io, path::Path, str::FromStr};

/// Reads a whole text file without its last line's end.
pub fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path)
        .map(|s| s.trim_end().to_owned())
        .map_err(|e| Fail::os(format_args!("read {}", path.display()), &e))
}

/// Reads a file that holds one number.
pub fn read_number<T: FromStr>(path: impl AsRef<Path>) -> Result<T> {
    let path = path.as_ref();
    let text = read(path)?;
    text.parse()
        .map_err(|_| Fail::step(format!("read {}: {text:?} is no number", path.display())))
}

/// Writes a value to a file that the kernel provides.
pub fn write(path: impl AsRef<Path>, value: &str) -> Result<()> {
    let path = path.as_ref();
    // Not fs::write: it would create a file, and sysfs attributes must exist.
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut f| io::Write::write_all(&mut f, value.as_bytes()))
        .map_err(|e| Fail::os(format_args!("write {value:?} to {}", path.display()), &e))
}

/// Turns C's convention into a result.
pub fn check(returned: libc::c_long) -> io::Result<libc::c_long> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}

/// A C string; values come from JSON and may hold a NUL.
pub fn c_string(s: &str) -> Result<CString> {
    CString::new(s).map_err(|_| Fail::protocol(format!("{s:?} contains a NUL")))
}

/// mount(2) without flags.
///
/// # Errors
/// The system call's.
pub fn mount(source: &str, target: &str, kind: &str, data: &str) -> Result<io::Result<()>> {
    mount_with(source, target, kind, 0, data)
}

/// mount(2).
///
/// # Errors
/// The system call's.
pub fn mount_with(
    source: &str,
    target: &str,
    kind: &str,
    flags: libc::c_ulong,
    data: &str,
) -> Result<io::Result<()>> {
    let (source, target, kind, data) = (
        c_string(source)?,
        c_string(target)?,
        c_string(kind)?,
        c_string(data)?,
    );
    // SAFETY: four valid C strings; the kernel reads them only.
    let returned = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    };
    Ok(check(returned.into()).map(drop))
}

/// umount(2)
///
/// # Errors
/// The system call's.
pub fn unmount(target: &str) -> Result<()> {
    let path = c_string(target)?;
    // SAFETY: a valid C string; the kernel reads it only.
    let returned = unsafe { libc::umount(path.as_ptr()) };
    let returned = check(returned.into());
    returned
        .map(drop)
        .map_err(|e| Fail::os(format_args!("unmount {target}"), &e))
}
