//! Reuses memory: a scratch buffer for each thread, and a pool of buffers for tensor values.
//!
//! Fresh memory costs a page fault for every 4 KiB. A page fault takes longer than a kernel takes to fill the
//! page.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{AllocationProperty, Bytes};
use burn_std::{AccessError, AccessPolicy, AllocationController};

/// The floats of one cache line, aligned to a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// Number of lines in the smallest buffer that the pool keeps: 16 KiB.
const SMALLEST: usize = 256;
/// Maximum number of lines in the pool: 1 GiB.
const LARGEST_POOL: usize = 16 << 20;

thread_local! {
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` floats of this thread's scratch buffer, aligned to a cache line. Their values are
/// arbitrary.
pub(crate) fn with_scratch<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    // The scratch buffer is moved out of the thread-local variable while `work` runs. A nested call finds an
    // empty buffer there and allocates a new one, which is dropped later.
    let mut lines = SCRATCH.with(RefCell::take);
    let needed = len.div_ceil(LINE);
    if lines.len() < needed {
        lines.resize(needed, Line([0.0; LINE]));
    }
    // SAFETY: a `Line` is `LINE` floats without padding, so the vector holds at least `len` initialized
    // floats.
    let floats = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), len) };
    let result = work(floats);
    SCRATCH.with(|scratch| scratch.replace(lines));
    result
}

type Lines = Vec<MaybeUninit<Line>>;

/// Unused buffers by their length in lines.
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

    /// Keeps a buffer. If the pool would grow too large, it is emptied first, and the removed buffers are
    /// returned.
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

/// The values of a tensor. Their memory returns to the pool when the tensor is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    lines: Lines,
    /// Number of floats. All of them are initialized.
    len: usize,
}

impl Buffer {
    /// Creates a buffer of `len` floats, which `fill` writes.
    ///
    /// # Safety
    /// `fill` writes every element.
    pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> Self {
        let needed = capacity(len.div_ceil(LINE));
        let pooled = if needed < SMALLEST { None } else { pool().take(needed) };
        let lines = pooled.unwrap_or_else(|| {
            let mut lines = Vec::with_capacity(needed);
            // SAFETY: the capacity is at least `needed`, and a `MaybeUninit` may be uninitialized.
            unsafe { lines.set_len(needed) };
            lines
        });
        let mut buffer = Self { lines, len };
        // SAFETY: the lines have room for at least `len` floats, which may be uninitialized in this slice.
        fill(unsafe { std::slice::from_raw_parts_mut(buffer.lines.as_mut_ptr().cast(), len) });
        buffer
    }

    /// Creates a buffer of `len` zeros, and then applies `change` to it.
    pub(crate) fn zeroed_and(len: usize, change: impl FnOnce(&mut [f32])) -> Self {
        let fill = |values: &mut [MaybeUninit<f32>]| {
            values.fill(MaybeUninit::new(0.0));
            // SAFETY: the line above has written every element.
            change(unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) });
        };
        // SAFETY: `fill` writes every element.
        unsafe { Self::filled(len, fill) }
    }

    /// Returns the values.
    pub(crate) fn values(&self) -> &[f32] {
        // SAFETY: the first `len` floats are written, by the contract of `filled`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// Returns the values for writing.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }

    /// Adds buffers of the same length, in order. Returns `None` if there are none.
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

    /// The values as bytes for burn.
    pub(crate) fn into_bytes(self) -> Bytes {
        let len = self.len * size_of::<f32>();
        // SAFETY: the first `len` bytes are written, by the contract of `filled`.
        unsafe { Bytes::from_controller(Box::new(self), len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines.len() >= SMALLEST && lines.len() <= LARGEST_POOL {
            // Free the buffers after the lock is released, so that other threads do not wait for the
            // deallocation.
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
        // SAFETY: the slice is the memory of the lines, and `self` is borrowed mutably.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), bytes) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes = self.lines.len() * size_of::<Line>();
        // SAFETY: the slice is the memory of the lines, and `self` is borrowed.
        Ok(unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), bytes) })
    }
}

/// Rounds a number of lines up by at most an eighth, so that tensors of similar sizes share buffers.
fn capacity(lines: usize) -> usize {
    let step = (lines.next_power_of_two() / 16).max(1);
    lines.next_multiple_of(step)
}

/// A pointer through which several threads write, each to different elements.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut(*mut f32);

// SAFETY: users write to disjoint elements. Each user states why at the place where it reads the pointer.
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
    fn capacity_exceeds_the_request_by_at_most_an_eighth() {
        for lines in [1, 7, 16, 17, 100, 255, 256, 257, 1000, 12345, 1 << 20, (1 << 20) + 1] {
            let capacity = capacity(lines);
            assert!(capacity >= lines && capacity - lines <= lines.div_ceil(8), "{lines} became {capacity}");
        }
    }

    #[test]
    fn dropped_buffer_is_reused_for_the_same_length() {
        // No other test uses this length.
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
