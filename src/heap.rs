//! What the allocator may keep of memory that was given back.
//!
//! glibc gives threads heaps of their own, and each heap keeps the largest buffers that were ever freed in it: eight threads that
//! pass buffers of 8 MiB to one another held 80 to 132 MiB where 50 were in use, more or less as their turns fell. Two heaps keep
//! 76 to 86, at the same processor time. Buffers that are mapped and unmapped each time keep least (56 to 64) and cost a restore 13 %
//! of its processor time, for pages the kernel clears anew.

/// Two heaps for all threads. Call it before there is a second thread; it does nothing where the C library is not glibc.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn share() {
    // Safety: `mallopt` takes two numbers and no memory of ours; one thread is there, so nobody allocates meanwhile.
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Two heaps for all threads, where the C library is glibc: not here.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share() {}
