//! A short list of nonlinearities that is cheap to copy and compare.

use std::fmt;

use kiln_space::ActivationKind;

/// Bits of one nonlinearity.
const BITS: u32 = 4;

/// Up to eight nonlinearities in order, four bits each, the first one lowest. Further ones are left out.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Activations(u32);

impl Activations {
    /// Adds a nonlinearity after the others.
    pub(crate) fn push(&mut self, kind: ActivationKind) {
        let place = self.kinds().count() as u32;
        if let Some(code) = ActivationKind::ALL.iter().position(|known| *known == kind)
            && place < u32::BITS / BITS
        {
            self.0 |= (code as u32 + 1) << (place * BITS);
        }
    }

    /// The nonlinearities, in order.
    pub(crate) fn kinds(self) -> impl Iterator<Item = ActivationKind> {
        let code = move |place: u32| self.0 >> (place * BITS) & ((1 << BITS) - 1);
        (0..u32::BITS / BITS)
            .map(code)
            .map_while(|code| ActivationKind::ALL.get(code.checked_sub(1)? as usize).copied())
    }

    /// Number of nonlinearities, and of those that need an exponential.
    pub(crate) fn counts(self) -> [usize; 2] {
        let costly = |kind: &ActivationKind| {
            use ActivationKind::{Gelu, Sigmoid, Silu, Tanh};
            matches!(kind, Sigmoid | Silu | Tanh | Gelu)
        };
        [self.kinds().count(), self.kinds().filter(costly).count()]
    }
}

impl fmt::Debug for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds()).finish()
    }
}
