//! What a static program must not ask of its host's C library.

/// Names of hosts and users are looked up by what is built into a static C library. Whatever else the
/// host's nsswitch.conf names (mdns, sss, systemd) would be loaded from the host, together with a C library
/// of another version, and that crashes. A program of the host's own does as the host says.
pub fn keep_to_itself() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    {
        use std::ffi::{CStr, c_char, c_int};
        unsafe extern "C" {
            /// `<nss.h>`: from now on, services of a database (glibc since 2.0).
            fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
        }
        const DATABASES: [(&CStr, &CStr); 4] = [
            (c"hosts", c"files dns"),
            (c"services", c"files"),
            (c"passwd", c"files"),
            (c"group", c"files"),
        ];
        for (database, services) in DATABASES {
            // SAFETY: two C strings; no other thread is there yet.
            unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
        }
    }
}
