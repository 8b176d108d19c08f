//! Which threads the kernel runs first when there are more than processors.

use std::io;

/// How much the calling thread steps back: a tenth of a busy processor is left to it, and a shard that wakes takes its place at once.
const STEP_BACK_NICE: libc::c_int = 10;

/// Lets every thread of ordinary priority run before the calling one. For threads whose work may take long, so that those who answer
/// in microseconds do not queue behind it.
///
/// Errors: the host forbids it; the thread goes on as it was.
pub fn step_back() -> io::Result<()> {
    // SAFETY: no pointer is passed; on Linux the number 0 names the calling thread alone.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, STEP_BACK_NICE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
