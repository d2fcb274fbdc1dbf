//! Defines each nonlinearity as a type, so that a kernel is compiled for each of them.
//!
//! Piecewise linear functions are written with vector operations. Functions with an exponential are written
//! for a single value and applied lane by lane. Kernels are compiled for an instruction set, so the compiler
//! vectorizes that loop.

use crate::elementwise::exponential::{erf, exp, sigmoid};
use crate::simd::Simd;

/// Number of lanes in the widest vectors.
const WIDEST: usize = 16;

/// A nonlinearity known at compile time.
pub(crate) trait Curve {
    fn value<S: Simd>(simd: S, x: S::Vector) -> S::Vector;
    /// Multiplies the output's gradient by the slope at `x`.
    fn slope<S: Simd>(simd: S, x: S::Vector, gradient: S::Vector) -> S::Vector;
}

/// Runs an expression in which `$curve` is the type of the nonlinearity.
macro_rules! with_curve {
    ($activation:expr, $curve:ident => $run:expr) => {{
        use $crate::elementwise::curves;
        match $activation {
            $crate::shared::activation::Activation::Identity => {
                type $curve = curves::Identity;
                $run
            }
            $crate::shared::activation::Activation::Relu => {
                type $curve = curves::Relu;
                $run
            }
            $crate::shared::activation::Activation::Relu6 => {
                type $curve = curves::Relu6;
                $run
            }
            $crate::shared::activation::Activation::HardSwish => {
                type $curve = curves::HardSwish;
                $run
            }
            $crate::shared::activation::Activation::HardSigmoid => {
                type $curve = curves::HardSigmoid;
                $run
            }
            $crate::shared::activation::Activation::Sigmoid => {
                type $curve = curves::Sigmoid;
                $run
            }
            $crate::shared::activation::Activation::Silu => {
                type $curve = curves::Silu;
                $run
            }
            $crate::shared::activation::Activation::Tanh => {
                type $curve = curves::Tanh;
                $run
            }
            $crate::shared::activation::Activation::Gelu => {
                type $curve = curves::Gelu;
                $run
            }
        }
    }};
}
pub(crate) use with_curve;

/// Defines a nonlinearity by two functions of one value: the value at `x` and the slope at `x`.
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

/// Defines a nonlinearity by expressions with vectors.
macro_rules! vector {
    ($name:ident, |$simd:ident, $x:ident| $value:expr, |$gradient:ident| $slope:expr) => {
        pub(crate) struct $name;

        impl Curve for $name {
            #[inline(always)]
            #[allow(unused_variables, reason = "not every nonlinearity uses all arguments")]
            fn value<S: Simd>($simd: S, $x: S::Vector) -> S::Vector {
                $value
            }

            #[inline(always)]
            #[allow(unused_variables, reason = "not every nonlinearity uses all arguments")]
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

/// Applies a function lane by lane.
#[inline(always)]
fn map<S: Simd>(simd: S, x: S::Vector, gradient: S::Vector, one: impl Fn(f32, f32) -> f32) -> S::Vector {
    const { assert!(S::LANES <= WIDEST) };
    let (mut values, mut gradients) = ([0.0; WIDEST], [0.0; WIDEST]);
    // SAFETY: the arrays contain at least `LANES` values.
    unsafe {
        simd.store(values.as_mut_ptr(), x);
        simd.store(gradients.as_mut_ptr(), gradient);
    }
    for lane in 0..S::LANES {
        values[lane] = one(values[lane], gradients[lane]);
    }
    // SAFETY: the array contains at least `LANES` values.
    unsafe { simd.load(values.as_ptr()) }
}

/// Computes `min(x, limit)`. If `x` is NaN, the result is NaN.
#[inline(always)]
fn at_most<S: Simd>(simd: S, x: S::Vector, limit: f32) -> S::Vector {
    simd.min(simd.splat(limit), x)
}

/// Returns `value` where `low < x < high`, and zero elsewhere.
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
