//! What a stranger may have built in place of QEMU: it tries one thing, and ends with 0 if it could. Compiled
//! by the test; never a part of anything else.

use std::{
    env, fs, io,
    net::{TcpListener, TcpStream},
    os::{
        fd::FromRawFd as _,
        unix::{
            fs::FileExt as _,
            net::{UnixDatagram, UnixListener, UnixStream},
            process::CommandExt as _,
        },
    },
    process::Command,
    thread,
};

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(status: i32) -> !;
    fn kill(pid: i32, signal: i32) -> i32;
    fn syscall(number: i64, ...) -> i64;
    fn fcntl(fd: i32, command: i32, ...) -> i32;
    fn prctl(option: i32, ...) -> i32;
    fn signal(number: i32, action: usize) -> usize;
}

fn done(result: i64) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn attempt(what: &str, of: &str) -> io::Result<()> {
    let pid = || of.parse::<i32>().expect("a process's number");
    match what {
        "read" => fs::read(of).map(drop),
        "list" => fs::read_dir(of)?
            .next()
            .map_or(Ok(()), |entry| entry.map(drop)),
        "write" => fs::write(of, "x"),
        "lengthen" => {
            // What a limit does without this: end the program.
            // SAFETY: takes numbers alone; 25 is SIGXFSZ, 1 is SIG_IGN.
            unsafe { signal(25, 1) };
            // SAFETY: the test lets this descriptor be inherited, for this.
            let file = unsafe { fs::File::from_raw_fd(pid()) };
            file.write_at(b"x", 2 << 20).map(drop)
        }
        "append" => fs::OpenOptions::new().append(true).open(of).map(drop),
        "cut" => fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(of)
            .map(drop),
        "remove" => fs::remove_file(of),
        "rename" => fs::rename(of, format!("{of}.moved")),
        "directory" => fs::create_dir(of),
        "link" => fs::hard_link(of, format!("{of}.link")),
        "mode" => fs::set_permissions(of, fs::Permissions::from(fs::metadata("/")?.permissions())),
        "connect" => TcpStream::connect(of).map(drop),
        "listen" => TcpListener::bind("127.0.0.1:0").map(drop),
        "connect-local" => UnixStream::connect(of).map(drop),
        "listen-local" => UnixListener::bind(of).map(drop),
        "send-local" => {
            let (one, _other) = UnixDatagram::pair()?;
            one.send_to(b"x", of).map(drop)
        }
        "start" => Command::new("/bin/true").status().map(drop),
        "become" => Err(Command::new("/bin/true").exec()),
        "fork" => unsafe {
            match fork() {
                -1 => Err(io::Error::last_os_error()),
                0 => _exit(0),
                child => done(waitpid(child, &mut 0, 0).into()),
            }
        },
        "thread" => thread::Builder::new()
            .spawn(|| ())
            .map(|thread| thread.join().expect("its end")),
        "kill" => unsafe { done(kill(pid(), 15).into()) },
        // tgkill(2)
        "kill-thread" => unsafe { done(syscall(234, pid(), pid(), 15)) },
        // rt_sigqueueinfo(2), with SI_QUEUE.
        "queue-signal" => unsafe {
            let mut info = [0i32; 32];
            (info[0], info[2]) = (15, -1);
            done(syscall(129, pid(), 15, &info))
        },
        // pidfd_open(2)
        "open-process" => unsafe { done(syscall(434, pid(), 0)) },
        // F_SETOWN
        "own-signals" => unsafe { done(fcntl(0, 8, pid()).into()) },
        // PTRACE_TRACEME
        "trace" => unsafe { done(syscall(101, 0, 0, 0, 0)) },
        "look-into" => fs::read(format!("/proc/{of}/environ")).map(drop),
        // PR_SET_PDEATHSIG: to survive the harness.
        "outlive" => unsafe { done(prctl(1, 0, 0, 0, 0).into()) },
        // unshare(2) of nothing: whether there is such a call.
        "unshare" => unsafe { done(syscall(272, 0)) },
        "environment" => match env::var_os(of) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        },
        "descriptor" => unsafe { done(fcntl(pid(), 1).into()) },
        other => panic!("{other}: no such attempt"),
    }
}

fn main() {
    let words: Vec<String> = env::args().collect();
    let of = words.get(2).map_or("", String::as_str);
    if let Err(error) = attempt(&words[1], of) {
        eprintln!("{}: {error}", words[1]);
        std::process::exit(1);
    }
}
