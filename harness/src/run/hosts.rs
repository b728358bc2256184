//! How many guests this host takes at once, and on which CPUs.

use crate::{
    error::{Error, Result},
    host::{
        doctor::{BESIDES_GUEST, guests_at_once},
        room::Room,
    },
};

/// Where guests may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// One guest at a time on each.
    pub cpus: Vec<usize>,
    /// Why there are fewer than were asked for, if so.
    pub note: Option<String>,
}

/// Slots for guests of this size on this host.
///
/// # Errors
/// When not even one guest fits into memory, or the host does not say what it has.
pub fn slots(wanted: Option<usize>, memory_mib: u32) -> Result<Slots> {
    choose(wanted, memory_mib, &Room::look()?)
}

fn choose(wanted: Option<usize>, memory_mib: u32, room: &Room) -> Result<Slots> {
    let guest = u64::from(memory_mib) << 20;
    let each = (guest + BESIDES_GUEST) >> 20;
    // More jobs than CPUs is the caller's wish: the CPUs are shared round robin.
    let wanted = wanted.unwrap_or(room.cores).max(1);
    let available = room.memory.unwrap_or(u64::MAX);
    let jobs = guests_at_once(wanted, available, guest);
    let available = available >> 20;
    if jobs == 0 {
        return Err(Error::host(format!(
            "a guest needs {each} MiB of memory, but only {available} MiB are available to this \
             process"
        ))
        .hint(
            "free some memory, raise the cgroup limit, or lower [guest] memory in the scenario",
        ));
    }
    let note = (jobs < wanted).then(|| {
        format!(
            "{jobs} guests at once instead of {wanted}: each needs {each} MiB, and {available} MiB \
             are available"
        )
    });
    Ok(Slots {
        cpus: (0..jobs).map(|i| room.cpus[i % room.cpus.len()]).collect(),
        note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(memory_mib: u64) -> Room {
        Room {
            cpus: vec![0, 1, 2, 3],
            cores: 4,
            memory: Some(memory_mib << 20),
        }
    }

    #[test]
    fn never_more_guests_than_ram_allows() {
        let slots = choose(None, 1024, &room(3000)).unwrap();
        assert_eq!(slots.cpus, [0, 1]);
        assert!(
            slots
                .note
                .unwrap()
                .starts_with("2 guests at once instead of 4")
        );
        let large = room(64_000);
        assert_eq!(choose(None, 1024, &large).unwrap().cpus, [0, 1, 2, 3]);
        assert_eq!(choose(Some(1), 1024, &large).unwrap().cpus, [0]);
        assert_eq!(
            choose(Some(6), 512, &large).unwrap().cpus,
            [0, 1, 2, 3, 0, 1]
        );
    }

    /// A control group that leaves two CPUs of four: more guests would only take turns.
    #[test]
    fn a_cpu_quota_bounds_the_guests_that_nobody_asked_for() {
        let quota = Room {
            cores: 2,
            ..room(64_000)
        };
        assert_eq!(choose(None, 1024, &quota).unwrap().cpus, [0, 1]);
        assert_eq!(choose(Some(3), 1024, &quota).unwrap().cpus, [0, 1, 2]);
    }

    #[test]
    fn a_host_that_does_not_say_what_memory_it_has_is_not_taken_for_one_without() {
        let unknown = Room {
            memory: None,
            ..room(0)
        };
        assert_eq!(choose(Some(2), 1024, &unknown).unwrap().cpus, [0, 1]);
    }

    #[test]
    fn a_host_without_memory_says_what_a_guest_needs() {
        let error = choose(None, 1024, &room(1200)).unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Host);
        assert!(error.to_string().contains("1280 MiB"), "{error}");
    }
}
