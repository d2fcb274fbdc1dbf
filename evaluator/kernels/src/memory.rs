//! Buffers that are used again: scratch that each thread keeps, and a pool for the values of tensors.
//!
//! Fresh memory costs a page fault for every 4 KiB, which is more than a kernel takes to fill them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{AllocationProperty, Bytes};
use burn_std::{AccessError, AccessPolicy, AllocationController};

/// Floats of one cache line, and so aligned to it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// Lines of the smallest buffer that is kept, and of all that are: 16 KiB, and 1 GiB.
const SMALLEST: usize = 256;
const LARGEST_POOL: usize = 16 << 20;

thread_local! {
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` floats of this thread's scratch, aligned to a cache line, with any values in them.
pub(crate) fn with_scratch<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    // Taken out while it is lent: a nested call would find, and later drop, an empty one.
    let mut lines = SCRATCH.with(RefCell::take);
    let needed = len.div_ceil(LINE);
    if lines.len() < needed {
        lines.resize(needed, Line([0.0; LINE]));
    }
    // SAFETY: a `Line` is `LINE` floats without padding, so the vector holds at least `len` initialized floats.
    let floats = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), len) };
    let result = work(floats);
    SCRATCH.with(|scratch| scratch.replace(lines));
    result
}

type Lines = Vec<MaybeUninit<Line>>;

/// Buffers that nothing uses, by their length in lines.
struct Pool {
    free: BTreeMap<usize, Vec<Lines>>,
    lines: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: BTreeMap::new(), lines: 0 });

impl Pool {
    fn take(&mut self, lines: usize) -> Option<Lines> {
        let buffer = self.free.get_mut(&lines)?.pop()?;
        self.lines -= lines;
        Some(buffer)
    }

    /// Keeps a buffer, and returns what the pool lets go for it: everything, when it has grown too large.
    fn give(&mut self, buffer: Lines) -> BTreeMap<usize, Vec<Lines>> {
        let mut dropped = BTreeMap::new();
        if self.lines + buffer.len() > LARGEST_POOL {
            dropped = std::mem::take(&mut self.free);
            self.lines = 0;
        }
        self.lines += buffer.len();
        self.free.entry(buffer.len()).or_default().push(buffer);
        dropped
    }
}

fn pool() -> std::sync::MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The values of a tensor, in memory that goes back to the pool when the tensor is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    lines: Lines,
    /// Floats, all of them written.
    len: usize,
}

impl Buffer {
    /// A buffer of `len` floats that `fill` writes.
    ///
    /// # Safety
    /// `fill` writes every element.
    pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> Self {
        let needed = capacity(len.div_ceil(LINE));
        let pooled = if needed < SMALLEST { None } else { pool().take(needed) };
        let lines = pooled.unwrap_or_else(|| {
            let mut lines = Vec::with_capacity(needed);
            // SAFETY: the capacity is at least `needed`, and lines may be uninitialized.
            unsafe { lines.set_len(needed) };
            lines
        });
        let mut buffer = Self { lines, len };
        // SAFETY: the lines hold at least `len` floats, which may be uninitialized here.
        fill(unsafe { std::slice::from_raw_parts_mut(buffer.lines.as_mut_ptr().cast(), len) });
        buffer
    }

    /// A buffer of `len` zeros that `change` may change.
    pub(crate) fn zeroed_and(len: usize, change: impl FnOnce(&mut [f32])) -> Self {
        let fill = |values: &mut [MaybeUninit<f32>]| {
            values.fill(MaybeUninit::new(0.0));
            // SAFETY: every element has just been written.
            change(unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) });
        };
        // SAFETY: `fill` writes every element.
        unsafe { Self::filled(len, fill) }
    }

    /// The values.
    pub(crate) fn values(&self) -> &[f32] {
        // SAFETY: `filled` made sure that the first `len` floats are written.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// The values, to be changed.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and `self` lends them mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }

    /// Adds buffers of the same length in their order.
    pub(crate) fn total(buffers: Vec<Self>) -> Option<Self> {
        let mut buffers = buffers.into_iter();
        let mut total = buffers.next()?;
        for buffer in buffers {
            for (total, value) in total.values_mut().iter_mut().zip(buffer.values()) {
                *total += value;
            }
        }
        Some(total)
    }

    /// The values for burn.
    pub(crate) fn into_bytes(self) -> Bytes {
        let len = self.len * size_of::<f32>();
        // SAFETY: `filled` made sure that the first `len` bytes are written.
        unsafe { Bytes::from_controller(Box::new(self), len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines.len() >= SMALLEST && lines.len() <= LARGEST_POOL {
            // What is let go is freed when the lock is open again.
            let dropped = pool().give(lines);
            drop(dropped);
        }
    }
}

impl AllocationController for Buffer {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes = self.lines.len() * size_of::<Line>();
        // SAFETY: the slice is the memory of the lines, which `self` lends mutably.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), bytes) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes = self.lines.len() * size_of::<Line>();
        // SAFETY: the slice is the memory of the lines, which `self` lends.
        Ok(unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), bytes) })
    }
}

/// The length in lines that a request is rounded up to, by at most an eighth, so that tensors of about the same size
/// share buffers.
fn capacity(lines: usize) -> usize {
    let step = (lines.next_power_of_two() / 16).max(1);
    lines.next_multiple_of(step)
}

/// A pointer that several threads write through, each to places of its own.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut(*mut f32);

// SAFETY: the users write to disjoint places, as each of them says where it takes the pointer out.
unsafe impl Send for SharedMut {}
// SAFETY: as above.
unsafe impl Sync for SharedMut {}

impl SharedMut {
    pub(crate) const fn new(pointer: *mut f32) -> Self {
        Self(pointer)
    }

    pub(crate) const fn pointer(self) -> *mut f32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_grow_by_at_most_an_eighth() {
        for lines in [1, 7, 16, 17, 100, 255, 256, 257, 1000, 12345, 1 << 20, (1 << 20) + 1] {
            let capacity = capacity(lines);
            assert!(capacity >= lines && capacity - lines <= lines.div_ceil(8), "{lines} became {capacity}");
        }
    }

    #[test]
    fn a_dropped_buffer_is_used_again() {
        // A length that no other test asks for.
        let len = 7_654_321;
        let fill = |values: &mut [MaybeUninit<f32>]| {
            for value in values {
                value.write(1.5);
            }
        };
        // SAFETY: `fill` writes every element.
        let first = unsafe { Buffer::filled(len, fill) };
        let place = first.lines.as_ptr();
        let bytes = first.into_bytes();
        assert_eq!(bytes.len(), len * 4);
        assert_eq!(bytes[len * 4 - 4..], 1.5f32.to_le_bytes());
        let copy = bytes.clone();
        drop(bytes);
        // SAFETY: as above.
        let second = unsafe { Buffer::filled(len, fill) };
        assert_eq!(second.lines.as_ptr(), place);
        assert_eq!(copy[..4], 1.5f32.to_le_bytes());
    }
}
