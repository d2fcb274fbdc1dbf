//! Element-wise nonlinearities and their gradients.
//!
//! Those made of pieces of lines are written in vector instructions. Those with an exponential are written for one value, and
//! become vector instructions where the kernel around them is compiled for them.

use std::mem::MaybeUninit;

use burn::tensor::Tensor;
use burn::tensor::activation;
use rayon::prelude::*;

use crate::epilogue::Epilogue;
use crate::exponential::{erf, exp, sigmoid};
use crate::instruction_set::InstructionSet;
use crate::memory::Buffer;
use crate::simd::{Kernel, Simd};

/// Values of a task.
const TASK: usize = 16 * 1024;

/// Up to so many values the caller works alone: waking another thread takes longer.
const ALONE: usize = 4 * TASK;

/// Lanes of the widest vectors.
const WIDEST: usize = 16;

/// An element-wise nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `tanh(x)`.
    Tanh,
    /// `x / 2 * (1 + erf(x / sqrt(2)))`.
    Gelu,
}

impl From<Epilogue> for Activation {
    fn from(epilogue: Epilogue) -> Self {
        match epilogue {
            Epilogue::Nothing => Self::Identity,
            Epilogue::Relu => Self::Relu,
            Epilogue::Relu6 => Self::Relu6,
            Epilogue::HardSwish => Self::HardSwish,
        }
    }
}

impl Activation {
    /// Every one, in declaration order.
    pub const ALL: [Self; 9] = [
        Self::Identity,
        Self::Relu,
        Self::Relu6,
        Self::HardSwish,
        Self::HardSigmoid,
        Self::Sigmoid,
        Self::Silu,
        Self::Tanh,
        Self::Gelu,
    ];

    /// By burn's own operations.
    #[must_use]
    pub fn by_burn<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        let hard_sigmoid = |x: Tensor<D>| (x + 3.0).clamp(0.0, 6.0) / 6.0;
        match self {
            Self::Identity => x,
            Self::Relu => activation::relu(x),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::HardSwish => x.clone() * hard_sigmoid(x),
            Self::HardSigmoid => hard_sigmoid(x),
            Self::Sigmoid => activation::sigmoid(x),
            Self::Silu => activation::silu(x),
            Self::Tanh => activation::tanh(x),
            Self::Gelu => activation::gelu(x),
        }
    }

    pub(crate) fn forward(self, set: InstructionSet, x: &[f32]) -> Buffer {
        let fill = |output: &mut [MaybeUninit<f32>]| {
            if x.len() <= ALONE {
                return set.run(Forward { activation: self, x, output });
            }
            output.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(output, x)| {
                set.run(Forward { activation: self, x, output });
            });
        };
        // SAFETY: the chunks of input and output are equally long, and each task writes all of its own.
        unsafe { Buffer::filled(x.len(), fill) }
    }

    /// The gradient of the input `x`.
    pub(crate) fn backward(self, set: InstructionSet, x: &[f32], gradient: &[f32]) -> Buffer {
        assert_eq!(x.len(), gradient.len(), "a gradient has the shape of its tensor");
        let fill = |output: &mut [MaybeUninit<f32>]| {
            if x.len() <= ALONE {
                return set.run(Backward { activation: self, x, gradient, output });
            }
            let inputs = x.par_chunks(TASK).zip(gradient.par_chunks(TASK));
            output.par_chunks_mut(TASK).zip(inputs).for_each(|(output, (x, gradient))| {
                set.run(Backward { activation: self, x, gradient, output });
            });
        };
        // SAFETY: as above.
        unsafe { Buffer::filled(x.len(), fill) }
    }
}

/// A nonlinearity known at compile time.
pub(crate) trait Curve {
    fn value<S: Simd>(simd: S, x: S::Vector) -> S::Vector;
    /// The gradient that comes back, times the slope at `x`.
    fn slope<S: Simd>(simd: S, x: S::Vector, gradient: S::Vector) -> S::Vector;
}

/// Runs an expression in which `$curve` is the type of a nonlinearity.
macro_rules! with_curve {
    ($activation:expr, $curve:ident => $run:expr) => {{
        use $crate::activation::curves;
        match $activation {
            $crate::Activation::Identity => {
                type $curve = curves::Identity;
                $run
            }
            $crate::Activation::Relu => {
                type $curve = curves::Relu;
                $run
            }
            $crate::Activation::Relu6 => {
                type $curve = curves::Relu6;
                $run
            }
            $crate::Activation::HardSwish => {
                type $curve = curves::HardSwish;
                $run
            }
            $crate::Activation::HardSigmoid => {
                type $curve = curves::HardSigmoid;
                $run
            }
            $crate::Activation::Sigmoid => {
                type $curve = curves::Sigmoid;
                $run
            }
            $crate::Activation::Silu => {
                type $curve = curves::Silu;
                $run
            }
            $crate::Activation::Tanh => {
                type $curve = curves::Tanh;
                $run
            }
            $crate::Activation::Gelu => {
                type $curve = curves::Gelu;
                $run
            }
        }
    }};
}
pub(crate) use with_curve;

struct Forward<'a> {
    activation: Activation,
    x: &'a [f32],
    output: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        with_curve!(self.activation, C => self.with::<S, C>(simd));
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn with<S: Simd, C: Curve>(self, simd: S) {
        let (x, output) = (self.x.as_ptr(), self.output.as_mut_ptr().cast::<f32>());
        let len = self.x.len();
        let whole = len - len % S::LANES;
        // SAFETY: input and output have `len` values, which `forward` made sure of.
        unsafe {
            for at in (0..whole).step_by(S::LANES) {
                simd.store(output.add(at), C::value(simd, simd.load(x.add(at))));
            }
            let value = C::value(simd, simd.load_first(x.add(whole), len - whole));
            simd.store_first(output.add(whole), value, len - whole);
        }
    }
}

struct Backward<'a> {
    activation: Activation,
    x: &'a [f32],
    gradient: &'a [f32],
    output: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        with_curve!(self.activation, C => self.with::<S, C>(simd));
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn with<S: Simd, C: Curve>(self, simd: S) {
        let (x, gradient) = (self.x.as_ptr(), self.gradient.as_ptr());
        let output = self.output.as_mut_ptr().cast::<f32>();
        let len = self.x.len();
        let whole = len - len % S::LANES;
        // SAFETY: input, gradient and output have `len` values, which `backward` made sure of.
        unsafe {
            for at in (0..whole).step_by(S::LANES) {
                let value = C::slope(simd, simd.load(x.add(at)), simd.load(gradient.add(at)));
                simd.store(output.add(at), value);
            }
            let rest = len - whole;
            let (x, gradient) = (x.add(whole), gradient.add(whole));
            let value = C::slope(simd, simd.load_first(x, rest), simd.load_first(gradient, rest));
            simd.store_first(output.add(whole), value, rest);
        }
    }
}

/// Lane by lane.
#[inline(always)]
fn map<S: Simd>(simd: S, x: S::Vector, gradient: S::Vector, one: impl Fn(f32, f32) -> f32) -> S::Vector {
    const { assert!(S::LANES <= WIDEST) };
    let (mut values, mut gradients) = ([0.0; WIDEST], [0.0; WIDEST]);
    // SAFETY: the arrays hold at least `LANES` values.
    unsafe {
        simd.store(values.as_mut_ptr(), x);
        simd.store(gradients.as_mut_ptr(), gradient);
    }
    for lane in 0..S::LANES {
        values[lane] = one(values[lane], gradients[lane]);
    }
    // SAFETY: as above.
    unsafe { simd.load(values.as_ptr()) }
}

/// `min(x, limit)`; what is not a number stays so.
#[inline(always)]
fn at_most<S: Simd>(simd: S, x: S::Vector, limit: f32) -> S::Vector {
    simd.sub(simd.zero(), simd.max(simd.splat(-limit), simd.sub(simd.zero(), x)))
}

/// `value` where `low < x < high`, zero elsewhere.
#[inline(always)]
fn between<S: Simd>(simd: S, x: S::Vector, [low, high]: [f32; 2], value: S::Vector) -> S::Vector {
    let below = simd.where_positive(simd.sub(simd.splat(high), x), value);
    simd.where_positive(simd.sub(x, simd.splat(low)), below)
}

#[inline(always)]
fn hard_sigmoid<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let raised = simd.max(simd.zero(), simd.add(x, simd.splat(3.0)));
    simd.mul(at_most(simd, raised, 6.0), simd.splat(1.0 / 6.0))
}

/// The types of the nonlinearities.
pub(crate) mod curves {
    use super::{Curve, Simd, at_most, between, erf, exp, hard_sigmoid, map, sigmoid};

    /// A nonlinearity of one value: `x` to its image, and to its slope.
    macro_rules! scalar {
        ($name:ident, $value:expr, $slope:expr) => {
            pub(crate) struct $name;

            impl Curve for $name {
                #[inline(always)]
                fn value<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
                    map(simd, x, x, |x, _| $value(x))
                }

                #[inline(always)]
                fn slope<S: Simd>(simd: S, x: S::Vector, gradient: S::Vector) -> S::Vector {
                    map(simd, x, gradient, |x, gradient| $slope(x) * gradient)
                }
            }
        };
    }

    /// A nonlinearity of vectors.
    macro_rules! vector {
        ($name:ident, |$simd:ident, $x:ident| $value:expr, |$gradient:ident| $slope:expr) => {
            pub(crate) struct $name;

            impl Curve for $name {
                #[inline(always)]
                #[allow(unused_variables, reason = "not every one needs all")]
                fn value<S: Simd>($simd: S, $x: S::Vector) -> S::Vector {
                    $value
                }

                #[inline(always)]
                #[allow(unused_variables, reason = "not every one needs all")]
                fn slope<S: Simd>($simd: S, $x: S::Vector, $gradient: S::Vector) -> S::Vector {
                    $slope
                }
            }
        };
    }

    vector!(Identity, |simd, x| x, |gradient| gradient);
    vector!(Relu, |simd, x| simd.max(simd.zero(), x), |gradient| simd.where_positive(x, gradient));
    vector!(Relu6, |simd, x| at_most(simd, simd.max(simd.zero(), x), 6.0), |gradient| between(
        simd,
        x,
        [0.0, 6.0],
        gradient
    ));
    vector!(HardSigmoid, |simd, x| hard_sigmoid(simd, x), |gradient| between(
        simd,
        x,
        [-3.0, 3.0],
        simd.mul(gradient, simd.splat(1.0 / 6.0))
    ));
    vector!(HardSwish, |simd, x| simd.mul(x, hard_sigmoid(simd, x)), |gradient| {
        let sixth = simd.mul(gradient, simd.mul(x, simd.splat(1.0 / 6.0)));
        simd.mul_add(gradient, hard_sigmoid(simd, x), between(simd, x, [-3.0, 3.0], sixth))
    });
    scalar!(Sigmoid, sigmoid, |x: f32| {
        let s = sigmoid(x);
        s * (1.0 - s)
    });
    scalar!(Silu, |x: f32| x * sigmoid(x), |x: f32| {
        let s = sigmoid(x);
        s * (1.0 + x * (1.0 - s))
    });
    scalar!(Tanh, |x: f32| 2.0 * sigmoid(2.0 * x) - 1.0, |x: f32| {
        let s = sigmoid(2.0 * x);
        4.0 * s * (1.0 - s)
    });
    scalar!(Gelu, |x: f32| 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)), |x: f32| {
        /// One over the square root of `2 pi`.
        const DENSITY: f32 = 0.398_942_3;
        0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)) + x * DENSITY * exp(-0.5 * x * x)
    });
}
