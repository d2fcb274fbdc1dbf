//! The vector instructions that the kernels use. They are detected at run time, limited for the whole
//! process, or forced in a test.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::portable::Portable;
use super::vectors::Kernel;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// Index in [`InstructionSet::ALL`] of the fastest set that is allowed.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

thread_local! {
    static FORCED: Cell<Option<InstructionSet>> = const { Cell::new(None) };
}

/// A set of vector instructions that the kernels are compiled for.
///
/// Results of different sets differ in rounding. Results of one set are bitwise the same for any number of
/// threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstructionSet {
    /// Only instructions that every processor of the architecture has.
    Portable,
    /// AVX2 with fused multiply-add (x86-64).
    Avx2,
    /// AVX-512F and VL (x86-64).
    Avx512,
}

impl InstructionSet {
    /// All sets, from the slowest to the fastest.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The fastest set that this processor supports and [`InstructionSet::limit`] allows.
    #[must_use]
    pub fn best() -> Self {
        let allowed = LIMIT.load(Ordering::Relaxed).saturating_add(1).min(Self::ALL.len());
        Self::ALL[..allowed].iter().copied().rev().find(|set| set.is_supported()).unwrap_or(Self::Portable)
    }

    /// Limits all later operations of this process to this set, unless another set is forced.
    ///
    /// Results are then the same as on a processor without the faster sets.
    pub fn limit(self) {
        LIMIT.store(self as usize, Ordering::Relaxed);
    }

    /// The set that operations on this thread use. It is the set that [`InstructionSet::force`] forces, or
    /// otherwise [`InstructionSet::best`].
    #[must_use]
    pub fn current() -> Self {
        FORCED.get().unwrap_or_else(Self::best)
    }

    /// The name in fingerprints and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this processor supports these instructions.
    #[must_use]
    pub fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl"),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Runs `work`. All operations that `work` calls on this thread use this set, including backward passes.
    ///
    /// # Panics
    /// When the processor lacks these instructions.
    pub fn force<T>(self, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<InstructionSet>);
        impl Drop for Restore {
            fn drop(&mut self) {
                FORCED.set(self.0);
            }
        }
        assert!(
            self.is_supported(),
            "this processor has no `{}` instructions; ask `is_supported` first",
            self.name()
        );
        let _restore = Restore(FORCED.replace(Some(self)));
        work()
    }

    /// Number of floats in a vector.
    pub(crate) const fn lanes(self) -> usize {
        match self {
            Self::Portable | Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }

    /// Number of output channels in a block of packed weights. Dense kernels compute one block at a time.
    pub(crate) const fn block_rows(self) -> usize {
        match self {
            Self::Portable | Self::Avx2 => 6,
            Self::Avx512 => 8,
        }
    }

    /// Runs a kernel with the code that was compiled for this set.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // Tests also run the code for 16 lanes on processors without AVX-512.
        #[cfg(test)]
        if self == Self::Avx512 && !self.is_supported() {
            return kernel.run(Portable::<16>);
        }
        assert!(self.is_supported(), "an instruction set is used only where the processor has it");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has AVX2 and FMA, checked above.
            Self::Avx2 => unsafe { Avx2::run(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has AVX-512F and VL, checked above.
            Self::Avx512 => unsafe { Avx512::run(kernel) },
            _ => kernel.run(Portable::<8>),
        }
    }
}
