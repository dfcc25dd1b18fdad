//! The ioctls of namespace files: ioctl_ns(2). `NS_GET_USERNS` and `NS_GET_PARENT` are of Linux 4.9,
//! `NS_GET_OWNER_UID` of 4.11; older kernels answer ENOTTY.

use std::{
    io,
    os::fd::{AsFd, FromRawFd as _, OwnedFd, RawFd},
};

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};

const NSIO: u8 = 0xb7;
const GET_USERNS: Opcode = opcode::none(NSIO, 1);
const GET_PARENT: Opcode = opcode::none(NSIO, 2);
const GET_OWNER_UID: Opcode = opcode::none(NSIO, 4);

/// An nsfs ioctl without an argument whose return value is a new descriptor.
struct NewDescriptor<const OPCODE: Opcode>;

// SAFETY: the opcode takes no argument (ioctl_ns(2)), so the null pointer is never read, and its
// return value on success is a new descriptor that nobody else owns: it is taken exactly once.
unsafe impl<const OPCODE: Opcode> Ioctl for NewDescriptor<OPCODE> {
    type Output = OwnedFd;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut core::ffi::c_void {
        core::ptr::null_mut()
    }

    unsafe fn output_from_ptr(
        out: IoctlOutput,
        _: *mut core::ffi::c_void,
    ) -> rustix::io::Result<Self::Output> {
        // SAFETY: see the impl; the kernel made it with O_CLOEXEC (fs/nsfs.c, open_related_ns).
        Ok(unsafe { OwnedFd::from_raw_fd(out as RawFd) })
    }
}

/// The user namespace that owns a namespace.
///
/// # Errors
/// `ENOTTY`: not an nsfs file, or an old kernel; `EPERM`: outside the caller's own user namespace.
pub fn owning_user_namespace(namespace: impl AsFd) -> io::Result<OwnedFd> {
    // SAFETY: the pattern's contract is stated at its impl; the descriptor is borrowed for the call.
    Ok(unsafe { rustix::ioctl::ioctl(namespace, NewDescriptor::<GET_USERNS>) }?)
}

/// The parent of a user namespace.
///
/// # Errors
/// `EPERM`: the parent is above the caller's own user namespace, or there is none.
pub fn parent(user_namespace: impl AsFd) -> io::Result<OwnedFd> {
    // SAFETY: as above.
    Ok(unsafe { rustix::ioctl::ioctl(user_namespace, NewDescriptor::<GET_PARENT>) }?)
}

/// `NS_GET_OWNER_UID`, whose argument is a `uid_t` to be written.
struct OwnerUid(u32);

// SAFETY: the kernel writes exactly one uid_t (fs/nsfs.c, `put_user(uid, argp)`) to the pointer, which
// is to the value's own field and valid while the value is.
unsafe impl Ioctl for OwnerUid {
    type Output = u32;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        GET_OWNER_UID
    }

    fn as_ptr(&mut self) -> *mut core::ffi::c_void {
        core::ptr::from_mut(&mut self.0).cast()
    }

    unsafe fn output_from_ptr(
        _: IoctlOutput,
        extract: *mut core::ffi::c_void,
    ) -> rustix::io::Result<Self::Output> {
        // SAFETY: rustix hands back the pointer that `as_ptr` gave.
        Ok(unsafe { *extract.cast::<u32>() })
    }
}

/// The uid that created a user namespace, as the daemon's own user namespace numbers it.
///
/// # Errors
/// `ENOTTY`: an old kernel; `EINVAL`: not a user namespace.
pub fn owner_uid(user_namespace: impl AsFd) -> io::Result<u32> {
    // SAFETY: as stated at the impl.
    Ok(unsafe { rustix::ioctl::ioctl(user_namespace, OwnerUid(u32::MAX)) }?)
}

/// Whether an nsfs ioctl is understood here at all: asked of the daemon's own namespace.
pub fn supported(own_network_namespace: impl AsFd) -> bool {
    owning_user_namespace(own_network_namespace).and_then(owner_uid).is_ok()
}
